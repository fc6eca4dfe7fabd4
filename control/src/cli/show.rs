//! `ringlay show`: the running state.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{
    failure::Failure,
    print::{Line, print, print_json, warnings},
    session::session,
};
use crate::proto::{
    GetNodeRequest, ShowConfigRequest, node_service_client::NodeServiceClient,
    state_service_client::StateServiceClient,
};

/// What to show.
#[derive(Debug, Subcommand)]
pub(super) enum ShowCommand {
    /// The running state as a configuration file.
    Config,
    /// The daemon: version, workers, and the drivers that it chose when it started, with reasons.
    Node {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &ShowCommand, socket: &Path) -> Result<(), Failure> {
    match command {
        ShowCommand::Config => config(socket),
        ShowCommand::Node { json } => node(socket, *json),
    }
}

fn config(socket: &Path) -> Result<(), Failure> {
    let reply = session(socket, async |channel| {
        let mut client = StateServiceClient::new(channel)
            .max_decoding_message_size(crate::client::MESSAGE_BYTES_MAX);
        Ok(client.show_config(ShowConfigRequest {}).await?.into_inner())
    })?;
    print(&reply.config)
}

fn node(socket: &Path, json: bool) -> Result<(), Failure> {
    let reply = session(socket, async |channel| {
        let mut client = NodeServiceClient::new(channel);
        Ok(client.get_node(GetNodeRequest {}).await?.into_inner())
    })?;
    let (node, instance) = (
        reply.node.unwrap_or_default(),
        reply.instance.unwrap_or_default(),
    );
    let cpus: Vec<_> = node.workers.iter().map(|worker| worker.cpu).collect();
    if json {
        return print_json(&json!({
            "name": node.name,
            "version": node.version,
            "instance": instance.uuid,
            "generation": instance.generation,
            "uptime_seconds": node.uptime_seconds,
            "driver": node.driver,
            "driver_reason": node.driver_reason,
            "underlay": node.underlay,
            "underlay_driver": node.underlay_driver,
            "underlay_driver_reason": node.underlay_driver_reason,
            "underlay_mode": (!node.underlay_mode.is_empty()).then_some(&node.underlay_mode),
            "warnings": node.warnings,
            "workers": cpus.iter().map(|cpu| json!({ "cpu": cpu })).collect::<Vec<_>>(),
        }));
    }
    let cpus: Vec<_> = cpus
        .iter()
        .map(|cpu| cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string()))
        .collect();
    let line = Line::new(&node.name)
        .word("version", &node.version)
        .word("uptime", format!("{}s", node.uptime_seconds))
        .word("underlay", &node.underlay)
        .done();
    let driver = format!("    driver {} ({})", node.driver, node.driver_reason);
    let mut underlay = format!(
        "    underlay driver {} ({})",
        node.underlay_driver, node.underlay_driver_reason
    );
    if !node.underlay_mode.is_empty() {
        underlay += &format!("\n    underlay device {}", node.underlay_mode);
    }
    let workers = format!("    workers {} cpus {}", node.workers.len(), cpus.join(","));
    let instance = format!(
        "    instance {} generation {}",
        instance.uuid, instance.generation
    );
    let warnings = warnings(&node.warnings);
    print(&format!(
        "{line}\n{driver}\n{underlay}\n{workers}\n{instance}\n{warnings}"
    ))
}
