//! Which overlay joins the two hosts, and what people call it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::lab::{kernel_vxlan, one_packet_loop, ringlay_node};

/// Which overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegKind {
    /// A Ringlay node on host a, at least.
    Ringlay(RinglayLeg),
    /// The kernel's VXLAN device on both hosts.
    KernelVxlan,
    /// [`one_packet_loop`] on both hosts.
    OnePacketLoop,
}

/// How Ringlay runs, and against whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RinglayLeg {
    /// `dataplane.driver`: `auto`, `io_uring` or `epoll`.
    pub driver: String,
    /// `underlay.driver`: `auto`, `udp`, `tunnel-gso` or `af_xdp`.
    pub underlay: String,
    /// `network.encap`: `vxlan`, `geneve`, `gre`, `ipip` or `none`.
    pub encap: String,
    /// What host b has.
    pub peer: Peer,
}

/// The far end of a Ringlay node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A node like it.
    Ringlay,
    /// The kernel's VXLAN device.
    KernelVxlan,
}

impl LegKind {
    /// Two nodes with this `dataplane.driver` that choose the rest themselves.
    pub fn ringlay(driver: &str) -> Self {
        Self::Ringlay(RinglayLeg {
            driver: driver.to_owned(),
            underlay: AUTO.to_owned(),
            encap: VXLAN.to_owned(),
            peer: Peer::Ringlay,
        })
    }

    /// Name for people who see few legs.
    pub fn name(&self) -> String {
        match self {
            Self::Ringlay(_) if *self == Self::ringlay(AUTO) => "Ringlay".into(),
            Self::Ringlay(ringlay) if *self == Self::ringlay(&ringlay.driver) => {
                format!("Ringlay ({})", ringlay.driver)
            }
            Self::Ringlay(_) => format!("Ringlay ({self})"),
            Self::KernelVxlan => "kernel VXLAN".into(),
            Self::OnePacketLoop => "one-packet loop".into(),
        }
    }

    /// Whether a Ringlay node takes part.
    pub fn is_ringlay(&self) -> bool {
        matches!(self, Self::Ringlay(_))
    }

    /// Name of the overlay's device in host a and in host b.
    pub fn devices(&self) -> [&'static str; 2] {
        match self {
            Self::Ringlay(ringlay) => match ringlay.peer {
                Peer::Ringlay => [ringlay_node::DEVICE; 2],
                Peer::KernelVxlan => [ringlay_node::DEVICE, kernel_vxlan::PEER_DEVICE],
            },
            Self::KernelVxlan => [kernel_vxlan::DEVICE; 2],
            Self::OnePacketLoop => [one_packet_loop::DEVICE; 2],
        }
    }

    /// Overlay addresses of the two hosts.
    pub fn addresses(&self) -> [Ipv4Addr; 2] {
        match self {
            Self::Ringlay(_) => ringlay_node::ADDRESSES,
            Self::KernelVxlan => kernel_vxlan::ADDRESSES,
            Self::OnePacketLoop => one_packet_loop::ADDRESSES,
        }
    }
}

/// What [`FromStr`] reads: `kernel`, `loop`, or `DRIVER/UNDERLAY`, with `/ENCAP` behind it where
/// that is not VXLAN, and with `+kernel` where the far end is the kernel's device.
impl fmt::Display for LegKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelVxlan => f.pad(KERNEL),
            Self::OnePacketLoop => f.pad(LOOP),
            Self::Ringlay(leg) => {
                let peer = match leg.peer {
                    Peer::Ringlay => "",
                    Peer::KernelVxlan => KERNEL_PEER,
                };
                let encap = match leg.encap.as_str() {
                    VXLAN => String::new(),
                    other => format!("/{other}"),
                };
                f.pad(&format!("{}/{}{encap}{peer}", leg.driver, leg.underlay))
            }
        }
    }
}

/// Why a text names no leg.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "use kernel, loop, DRIVER/UNDERLAY[/ENCAP] or DRIVER/UNDERLAY+kernel, with auto, io_uring or \
     epoll, with auto, udp, tunnel-gso or af_xdp, and with vxlan, geneve, gre, ipip or none"
)]
pub struct ParseLegError;

impl FromStr for LegKind {
    type Err = ParseLegError;

    fn from_str(text: &str) -> Result<Self, ParseLegError> {
        match text {
            KERNEL => return Ok(Self::KernelVxlan),
            LOOP => return Ok(Self::OnePacketLoop),
            _ => {}
        }
        let (modes, peer) = text
            .strip_suffix(KERNEL_PEER)
            .map_or((text, Peer::Ringlay), |modes| (modes, Peer::KernelVxlan));
        let (driver, underlay) = modes.split_once('/').ok_or(ParseLegError)?;
        let (underlay, encap) = underlay.split_once('/').unwrap_or((underlay, VXLAN));
        let known =
            DRIVERS.contains(&driver) && UNDERLAYS.contains(&underlay) && ENCAPS.contains(&encap);
        if !known || peer == Peer::KernelVxlan && encap != VXLAN {
            return Err(ParseLegError);
        }
        Ok(Self::Ringlay(RinglayLeg {
            driver: driver.to_owned(),
            underlay: underlay.to_owned(),
            encap: encap.to_owned(),
            peer,
        }))
    }
}

const AUTO: &str = "auto";
const KERNEL: &str = "kernel";
const LOOP: &str = "loop";
const KERNEL_PEER: &str = "+kernel";
const DRIVERS: [&str; 3] = [AUTO, "io_uring", "epoll"];
const UNDERLAYS: [&str; 4] = [AUTO, "udp", "tunnel-gso", "af_xdp"];
const VXLAN: &str = "vxlan";
const ENCAPS: [&str; 5] = [VXLAN, "geneve", "gre", "ipip", "none"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for text in [
            "kernel",
            "loop",
            "auto/auto",
            "io_uring/udp",
            "epoll/tunnel-gso",
            "io_uring/af_xdp",
            "io_uring/udp/gre",
            "auto/tunnel-gso+kernel",
        ] {
            let kind: LegKind = text.parse().unwrap();
            assert_eq!(kind.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_leg_is_refused() {
        for text in [
            "",
            "udp",
            "dpdk/udp",
            "epoll/dpdk",
            "epoll/udp+ovs",
            "kernel+kernel",
            "epoll/udp/",
            "epoll/udp/stt",
            "epoll/udp/gre+kernel",
        ] {
            assert_eq!(text.parse::<LegKind>(), Err(ParseLegError), "{text}");
        }
    }

    #[test]
    fn a_mixed_leg_has_a_device_of_each_kind() {
        let kind: LegKind = "epoll/udp+kernel".parse().unwrap();
        let [near, far] = kind.devices();
        assert_eq!(near, ringlay_node::DEVICE);
        assert_eq!(far, kernel_vxlan::PEER_DEVICE);
        assert!(kind.is_ringlay());
    }

    #[test]
    fn names_for_people_tell_what_was_chosen() {
        assert_eq!(LegKind::ringlay("auto").name(), "Ringlay");
        assert_eq!(LegKind::ringlay("epoll").name(), "Ringlay (epoll)");
        let whole: LegKind = "epoll/udp".parse().unwrap();
        assert_eq!(whole.name(), "Ringlay (epoll/udp)");
    }
}
