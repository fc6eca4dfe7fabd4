//! The kernel's own tunnel devices, found by making one of each in a namespace that is thrown
//! away.
//!
//! Ringlay needs none of them. They tell whether a far end on this host could be the kernel, and
//! what `ringlay demo` can compare with.

use std::net::Ipv4Addr;

use ringlay_dataplane::sys::netns;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{LinkGeneve, LinkGre, LinkIpIp, LinkVxlan};

use super::finding::{Finding, Section, State};
use crate::lab::{LabError, link};

/// Tries each kind.
pub(super) fn examine() -> Section {
    let findings = netns::run_in_new(|| kinds().map(|(name, message)| try_kind(name, message)))
        .map_or_else(
            |error| {
                let why = format!("cannot make a network namespace to try it in: {error}");
                kinds()
                    .map(|(name, _)| Finding::new(name, State::Unknown, why.clone()))
                    .into()
            },
            Vec::from,
        );
    Section {
        title: "Kernel tunnels (Ringlay needs none)",
        findings,
    }
}

fn kinds() -> [(&'static str, LinkMessage); 4] {
    let [local, remote] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];
    [
        (
            "VXLAN",
            LinkVxlan::new(NAME, 1)
                .local(local)
                .remote(remote)
                .port(4789)
                .build(),
        ),
        (
            "IPIP",
            LinkIpIp::new(NAME).local(local).remote(remote).build(),
        ),
        (
            "GRE",
            LinkGre::new(NAME).local(local).remote(remote).build(),
        ),
        ("Geneve", LinkGeneve::new(NAME, 1).remote(remote).build()),
    ]
}

fn try_kind(name: &'static str, message: LinkMessage) -> Finding {
    let made = link::add(message, format!("add a {name} device"));
    let removed = made.is_ok().then(|| link::remove(NAME));
    match (made, removed) {
        (Ok(()), Some(Err(error))) => Finding::new(name, State::Caution, error.to_string()),
        (Ok(()), _) => Finding::new(name, State::Ok, ""),
        (Err(error), _) => refusal(name, &error),
    }
}

fn refusal(name: &str, error: &LabError) -> Finding {
    if link::is_unsupported(error) {
        Finding::new(name, State::Missing, "this kernel has no such device")
    } else {
        Finding::new(name, State::Unknown, error.to_string())
    }
}

const NAME: &str = "rlprobe";
