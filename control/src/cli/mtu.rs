//! `ringlay mtu`.

use std::{net::IpAddr, path::Path};

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    print::{self, Line, or_null},
    session::session,
    verbs::NetworkFilter,
};
use crate::proto::{
    ListMtusRequest, PeerMtu, ProbeMtuRequest, mtu_service_client::MtuServiceClient,
};

/// What to show.
#[derive(Debug, Args)]
pub(super) struct MtuArgs {
    #[command(flatten)]
    filter: NetworkFilter,
    /// Find out what really gets to the VTEP with this address, which is then in force.
    #[arg(long, value_name = "PEER", conflicts_with = "network")]
    probe: Option<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: MtuArgs, socket: &Path) -> Result<(), Failure> {
    if let Some(peer) = args.probe {
        return probe(peer, args.json, socket);
    }
    let request = ListMtusRequest {
        network: args.filter.network,
    };
    let reply = session(socket, async |channel| {
        let mut client = MtuServiceClient::new(channel)
            .max_decoding_message_size(crate::client::MESSAGE_BYTES_MAX);
        Ok(client.list_mtus(request).await?.into_inner())
    })?;
    print::list(&reply.mtus, args.json, line, value)
}

fn probe(peer: IpAddr, json: bool, socket: &Path) -> Result<(), Failure> {
    let request = ProbeMtuRequest {
        vtep: peer.to_string(),
    };
    let reply = session(socket, async |channel| {
        let mut client = MtuServiceClient::new(channel);
        Ok(client.probe_mtu(request).await?.into_inner())
    })?;
    if json {
        return print::print_json(&json!({
            "vtep": peer.to_string(),
            "reached": reply.reached,
            "mtus": reply.mtus.iter().map(value).collect::<Vec<_>>(),
        }));
    }
    let mut text = match reply.reached {
        Some(size) => format!("packets of up to {size} bytes get to {peer}\n"),
        None => format!("{peer} does not answer\n"),
    };
    text.extend(reply.mtus.iter().map(|peer| line(peer) + "\n"));
    print::print(&text)
}

fn line(peer: &PeerMtu) -> String {
    let expires = peer.expires_seconds.map(|seconds| format!("{seconds}s"));
    Line::new(&peer.vtep)
        .word("network", &peer.network)
        .word("mtu", peer.mtu)
        .word("reason", format!("({})", peer.reason))
        .optional("expires", expires)
        .word("probes", &peer.probes)
        .done()
}

fn value(peer: &PeerMtu) -> Value {
    json!({
        "network": peer.network,
        "vtep": peer.vtep,
        "mtu": peer.mtu,
        "outer": peer.outer,
        "overhead": peer.overhead,
        "origin": peer.origin,
        "reason": peer.reason,
        "router": or_null(&peer.router),
        "expires_seconds": peer.expires_seconds,
        "probes": peer.probes,
    })
}
