//! Finds out what the choice of the underlay driver depends on: by trying, where that leaves
//! nothing behind.

use std::net::IpAddr;

use ringlay_dataplane::{
    driver::probe,
    port::redirect,
    sys::ethtool::{self, Feature},
};

use super::{
    chosen::{Device, Facts, TUNNEL_SEGMENTATION},
    firewall,
};
use crate::netlink::Link;

impl Facts {
    /// Looks at the devices by which packets from `local` leave, at the kernel and at the host's
    /// firewall.
    pub fn gather(local: IpAddr, links: &[Link]) -> Self {
        let devices = links.iter().map(Device::examine);
        // A kernel without nftables does not tell, and has nothing to tell.
        let firewall = firewall::forward_obstacle(local).unwrap_or_default();
        Self {
            devices: devices.collect(),
            uplinks: uplinks(probe::tunnel_gso(local)),
            firewall,
        }
    }
}

impl Device {
    /// Looks at what a link can do.
    pub fn examine(link: &Link) -> Self {
        let features = ethtool::features(&link.name).unwrap_or_default();
        Self {
            name: link.name.clone(),
            ethernet: link.ethernet,
            lacks: lacks(&features),
            classifiers: redirect::predecessors(link.index).unwrap_or_default(),
        }
    }
}

/// Nothing, or the first step that failed.
pub(crate) fn uplinks(steps: Vec<probe::Feature>) -> Result<(), String> {
    steps.into_iter().try_for_each(|step| step.state)
}

/// Whether AF_XDP sockets can be had, or what is in the way: by trying.
pub(crate) fn wires() -> Result<(), String> {
    first_refusal(probe::af_xdp())
}

/// Nothing, or the first step that failed, by its name.
fn first_refusal(steps: Vec<probe::Feature>) -> Result<(), String> {
    let named = |step: probe::Feature| {
        step.state
            .map_err(|error| format!("{}: {error}", step.name))
    };
    steps.into_iter().try_for_each(named)
}

/// The first thing that a device with these features lacks to cut super-frames in tunnels, whose
/// outer headers have checksums.
fn lacks(features: &[Feature]) -> Option<&'static str> {
    /// By the kernel's names (net/ethtool/common.c, `netdev_features_strings`); one of each.
    const NEEDED: [&[&str]; 4] = [
        &["tx-scatter-gather"],
        &[
            "tx-checksum-ip-generic",
            "tx-checksum-ipv4",
            "tx-checksum-ipv6",
        ],
        &["tx-tcp-segmentation"],
        &[TUNNEL_SEGMENTATION],
    ];
    let active = |name: &&str| {
        let mut named = features.iter().filter(|feature| feature.name == **name);
        named.any(|feature| feature.active)
    };
    let missing = NEEDED.iter().find(|any| !any.iter().any(active));
    missing.map(|any| any[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(names: &[&str]) -> Vec<Feature> {
        let feature = |name: &&str| Feature {
            name: (*name).to_owned(),
            active: true,
            changeable: true,
        };
        names.iter().map(feature).collect()
    }

    #[test]
    fn what_a_device_lacks_is_named() {
        let full = [
            "tx-scatter-gather",
            "tx-checksum-ipv4",
            "tx-tcp-segmentation",
            TUNNEL_SEGMENTATION,
        ];
        assert_eq!(lacks(&features(&full)), None);
        assert_eq!(lacks(&features(&full[..3])), Some(TUNNEL_SEGMENTATION));
        assert_eq!(lacks(&features(&full[..2])), Some("tx-tcp-segmentation"));
        assert_eq!(lacks(&features(&full[..1])), Some("tx-checksum-ip-generic"));
        assert_eq!(lacks(&[]), Some("tx-scatter-gather"));
        let mut off = features(&full);
        off[3].active = false;
        assert_eq!(lacks(&off), Some(TUNNEL_SEGMENTATION));
    }

    #[test]
    fn the_first_refusal_counts() {
        let step = |state| probe::Feature { name: "x", state };
        assert_eq!(uplinks(vec![step(Ok(())), step(Ok(()))]), Ok(()));
        let refused = Err("no".to_owned());
        let steps = || vec![step(Ok(())), step(refused.clone())];
        assert_eq!(uplinks(steps()), refused);
        assert_eq!(first_refusal(steps()), Err("x: no".to_owned()));
    }
}
