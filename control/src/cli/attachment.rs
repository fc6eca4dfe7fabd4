//! `ringlay attachment`: containers on networks. The CNI plugin makes them; people look at them,
//! and take back what a runtime forgot.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    print::{self, Line},
    session::session,
    verbs::NetworkFilter,
};
use crate::proto::{
    Attachment, AttachmentKey, DetachRequest, ListAttachmentsRequest,
    attach_service_client::AttachServiceClient,
};

/// What to do with attachments.
#[derive(Debug, Subcommand)]
pub(super) enum AttachmentVerb {
    /// List them.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: NetworkFilter,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take one back, as the runtime of its container should have.
    #[command(visible_alias = "del")]
    Delete(KeyArgs),
}

/// Names one.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The container, as its runtime names it.
    container: String,
    /// The device inside it.
    #[arg(long, default_value = "eth0")]
    device: String,
}

pub(super) fn run(verb: AttachmentVerb, socket: &Path) -> Result<(), Failure> {
    match verb {
        AttachmentVerb::List { filter, json } => {
            let network = filter.network;
            let reply = session(socket, async |channel| {
                let request = ListAttachmentsRequest { network };
                let mut client = AttachServiceClient::new(channel);
                Ok(client.list_attachments(request).await?.into_inner())
            })?;
            print::list(&reply.attachments, json, line, value)
        }
        AttachmentVerb::Delete(KeyArgs { container, device }) => {
            let key = Some(AttachmentKey {
                container_id: container,
                device,
            });
            session(socket, async |channel| {
                let mut client = AttachServiceClient::new(channel);
                client.detach(DetachRequest { key }).await?;
                Ok(())
            })
        }
    }
}

fn line(attachment: &Attachment) -> String {
    let key = attachment.key.clone().unwrap_or_default();
    let status = attachment.status.clone().unwrap_or_default();
    Line::new(&key.container_id)
        .word("device", &key.device)
        .word("network", &attachment.network)
        .word("mac", &attachment.mac)
        .word("addresses", attachment.addresses.join(","))
        .word("netns", &attachment.netns)
        .word("owner", &attachment.owner)
        .word("problem", &status.problem)
        .done()
}

fn value(attachment: &Attachment) -> Value {
    let key = attachment.key.clone().unwrap_or_default();
    let status = attachment.status.clone().unwrap_or_default();
    let routes: Vec<_> = attachment.routes.iter().map(|it| &it.prefix).collect();
    json!({
        "container": key.container_id,
        "device": key.device,
        "network": attachment.network,
        "owner": attachment.owner,
        "netns": attachment.netns,
        "kind": attachment.kind,
        "mac": attachment.mac,
        "addresses": attachment.addresses,
        "routes": routes,
        "port": status.port,
        "mtu": status.mtu,
        "problem": status.problem,
    })
}
