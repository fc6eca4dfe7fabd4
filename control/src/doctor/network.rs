//! The host's links and the settings that decide whether overlay traffic gets through.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use ringlay_dataplane::sys::ethtool::{self, Feature};

use super::finding::{Finding, Section, State};
use crate::lab::leg::OVERHEAD;
use crate::lab::link::{self, Link};

/// Each link with the MTU an overlay over it would have.
pub(super) fn links() -> Section {
    let findings = match link::list() {
        Ok(links) => links
            .iter()
            .filter(|link| link.name != "lo")
            .map(|link| link_finding(link, &ethtool::features(&link.name).unwrap_or_default()))
            .collect(),
        Err(error) => vec![Finding::new("links", State::Unknown, error.to_string())],
    };
    Section {
        title: "Links",
        findings,
    }
}

/// Forwarding, reverse-path filter, socket buffers and the tunnel's port.
pub(super) fn settings() -> Section {
    let read = |path: &str| fs::read_to_string(format!("/proc/sys/net/{path}"));
    let links = link::list().unwrap_or_default();
    let names: Vec<_> = links.into_iter().map(|link| link.name).collect();
    let mut findings = vec![
        forwarding("ip_forward (IPv4)", read("ipv4/ip_forward")),
        forwarding("forwarding (IPv6)", read("ipv6/conf/all/forwarding")),
        reverse_path_filter(&names, |name| read(&format!("ipv4/conf/{name}/rp_filter"))),
        port_finding(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, VXLAN_PORT))),
    ];
    for name in ["rmem_max", "wmem_max"] {
        findings.push(plain(
            &format!("net.core.{name}"),
            read(&format!("core/{name}")),
        ));
    }
    Section {
        title: "Network settings",
        findings,
    }
}

fn link_finding(link: &Link, features: &[Feature]) -> Finding {
    let Link { name, mtu, up, .. } = link;
    let updown = if *up { "up" } else { "down" };
    let inner = mtu.saturating_sub(OVERHEAD);
    let offloads = OFFLOADS.into_iter().filter_map(|(kernel_name, meaning)| {
        let feature = features
            .iter()
            .find(|feature| feature.name == kernel_name)?;
        feature.active.then_some(meaning)
    });
    let offloads: Vec<_> = offloads.collect();
    let offloads = if offloads.is_empty() {
        "none".into()
    } else {
        offloads.join(", ")
    };
    let detail = format!(
        "{updown}, MTU {mtu}: {inner} inside VXLAN over IPv4; segmentation offloads: {offloads}"
    );
    let state = if *up && inner < IPV6_MINIMUM {
        State::Caution
    } else {
        State::Ok
    };
    Finding::new(name, state, detail)
}

fn forwarding(name: &str, value: io::Result<String>) -> Finding {
    match value.as_deref().map(str::trim) {
        Ok("0") => Finding::new(
            name,
            State::Ok,
            "off: the kernel does not route between a port and other devices of this host",
        ),
        Ok(_) => Finding::new(name, State::Ok, "on"),
        Err(_) => plain(name, value),
    }
}

/// The kernel takes the stricter of `all` and the device's own; 1 is strict, 2 loose.
fn reverse_path_filter(names: &[String], read: impl Fn(&str) -> io::Result<String>) -> Finding {
    let value = |name: &str| {
        read(name)
            .ok()
            .and_then(|text| text.trim().parse::<u8>().ok())
    };
    let Some(all) = value("all") else {
        return Finding::new("rp_filter", State::Unknown, "cannot be read");
    };
    // `max` is the kernel's rule (include/linux/inetdevice.h, IN_DEV_RPFILTER).
    let is_strict = |name: &String| value(name).is_some_and(|own| own.max(all) == 1);
    let strict: Vec<_> = names
        .iter()
        .filter(|name| *name != "lo" && is_strict(name))
        .map(String::as_str)
        .collect();
    if strict.is_empty() {
        Finding::new("rp_filter", State::Ok, "not strict on any link")
    } else {
        let detail = format!(
            "strict on {}: overlay packets from addresses routed elsewhere are lost there",
            strict.join(" ")
        );
        Finding::new("rp_filter", State::Caution, detail)
    }
}

fn port_finding(bound: io::Result<UdpSocket>) -> Finding {
    let name = format!("UDP port {VXLAN_PORT}");
    match bound {
        Ok(_) => Finding::new(name, State::Ok, "free"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::new(
            name,
            State::Caution,
            "taken, by a kernel VXLAN device or another program: give the network another `port`",
        ),
        Err(error) => Finding::new(name, State::Unknown, error.to_string()),
    }
}

fn plain(name: &str, value: io::Result<String>) -> Finding {
    match value {
        Ok(value) => Finding::new(name, State::Ok, value.trim()),
        Err(error) => Finding::new(name, State::Unknown, error.to_string()),
    }
}

/// By the kernel's names (net/ethtool/common.c, `netdev_features_strings`).
const OFFLOADS: [(&str, &str); 4] = [
    ("tx-tcp-segmentation", "TCP"),
    ("tx-udp-segmentation", "UDP"),
    ("tx-udp_tnl-segmentation", "in UDP tunnels"),
    (
        "tx-udp_tnl-csum-segmentation",
        "in UDP tunnels with checksum",
    ),
];
const VXLAN_PORT: u16 = 4789;
/// RFC 8200 section 5.
const IPV6_MINIMUM: u32 = 1280;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_too_small_for_ipv6_inside_is_noted() {
        let state = |mtu| {
            let link = Link {
                name: "eth0".into(),
                mtu,
                up: true,
                operational: true,
            };
            link_finding(&link, &[]).state
        };
        assert_eq!(state(1330), State::Ok);
        assert_eq!(state(1329), State::Caution);
    }

    #[test]
    fn a_link_tells_its_active_offloads() {
        let link = Link {
            name: "eth0".into(),
            mtu: 1500,
            up: true,
            operational: true,
        };
        let feature = |name: &str, active| Feature {
            name: name.into(),
            active,
            changeable: true,
        };
        let features = [
            feature("tx-tcp-segmentation", true),
            feature("tx-udp-segmentation", false),
        ];
        let expected = "up, MTU 1500: 1450 inside VXLAN over IPv4; segmentation offloads: TCP";
        assert_eq!(link_finding(&link, &features).detail, expected);
    }

    #[test]
    fn the_stricter_of_all_and_own_reverse_path_filter_counts() {
        let names = ["lo", "eth0", "eth1"].map(str::to_owned);
        let state = |all: &'static str, eth1: &'static str| {
            let read = move |name: &str| match name {
                "all" => Ok(all.to_owned()),
                "eth1" => Ok(eth1.to_owned()),
                _ => Ok("0\n".to_owned()),
            };
            reverse_path_filter(&names, read)
        };
        assert_eq!(state("0\n", "0\n").state, State::Ok);
        assert_eq!(state("2\n", "1\n").state, State::Ok);
        assert!(state("0\n", "1\n").detail.starts_with("strict on eth1:"));
        assert!(
            state("1\n", "0\n")
                .detail
                .starts_with("strict on eth0 eth1:")
        );
    }

    #[test]
    fn a_taken_port_is_noted() {
        let taken = io::Error::from(io::ErrorKind::AddrInUse);
        assert_eq!(port_finding(Err(taken)).state, State::Caution);
    }
}
