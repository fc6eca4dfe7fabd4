//! `ringlay check`: whether `ringlay run` would take a configuration file, and what it would choose
//! on this host.

use std::path::PathBuf;

use clap::Args;
use ringlay_dataplane::driver::probe;
use serde_json::json;

use super::{
    failure::Failure,
    print::{print, print_json},
};
use crate::app::{self, Chosen, Facts};

/// Arguments of `ringlay check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Configuration file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let (config, local) = app::check(&args.config).map_err(Failure::usage)?;
    let facts = Facts::gather(local.address, &local.links);
    let wires = app::wires();
    let underlay = Chosen::explained(config.settings.underlay_driver, &facts, &wires);
    let (driver, driver_reason) = match probe::choose(app::driver_choice(config.settings.driver)) {
        Ok(report) => (report.kind.to_string(), report.reason),
        Err(error) => ("none".to_owned(), error.to_string()),
    };
    let (file, objects) = (args.config.display(), config.objects.len());
    if args.json {
        let devices = facts.devices.iter().map(|device| {
            json!({
                "name": device.name,
                "ethernet": device.ethernet,
                "segments_tunnels": device.lacks.is_none(),
                "lacks": device.lacks,
                "classifiers": device.classifiers,
            })
        });
        return print_json(&json!({
            "file": file.to_string(),
            "objects": objects,
            "driver": driver,
            "driver_reason": driver_reason,
            "underlay": local.address.to_string(),
            "mtu": local.way.mtu(),
            "mtu_reason": format!("of link {}", local.way.link),
            "underlay_driver": underlay.driver.to_string(),
            "underlay_driver_reason": underlay.reason,
            "tunnel_gso": {
                "available": facts.uplinks.is_ok(),
                "reason": facts.uplinks.as_ref().err(),
                "firewall": facts.firewall,
                "devices": devices.collect::<Vec<_>>(),
            },
            "af_xdp": {
                "available": wires.is_ok(),
                "reason": wires.as_ref().err(),
            },
        }));
    }
    print(&format!(
        "{file}: ok, {objects} objects, underlay {}\n    driver {driver} ({driver_reason})\n    \
         underlay driver {} ({})\n",
        local.address, underlay.driver, underlay.reason
    ))
}
