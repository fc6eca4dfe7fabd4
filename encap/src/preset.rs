//! What other systems put on the wire: encapsulation, port, identifier and inner MAC address.
//!
//! Constants only. How those systems publish their nodes is the control plane's to know.

use crate::{Encapsulation, MacAddr, Vni, geneve, vxlan};

/// The conventions of one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// How it encapsulates by default.
    pub encapsulation: Encapsulation,
    /// The UDP destination port.
    pub port: u16,
    /// The network identifier.
    pub vni: Vni,
    /// The inner destination MAC address that it expects.
    pub inner_mac: InnerMac,
    /// Whether it sends, and expects, IP packets only; each in an inner Ethernet frame.
    pub is_routed: bool,
}

/// The inner destination MAC address that a system expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerMac {
    /// Each node's own, as it published it.
    Published,
    /// The same on all nodes.
    Shared(MacAddr),
    /// Any: it is not looked at.
    Any,
}

impl Preset {
    /// flannel's `vxlan` backend on Linux: VNI 1 (`defaultVNI`, `pkg/backend/vxlan/vxlan.go`), and
    /// no port of its own, so that of the kernel; the MAC address is the `VtepMAC` of the lease.
    pub const FLANNEL: Self = Self {
        name: "flannel",
        encapsulation: Encapsulation::Vxlan,
        port: vxlan::UDP_PORT_LINUX,
        vni: vni(1),
        inner_mac: InnerMac::Published,
        is_routed: true,
    };

    /// Calico: `VXLANPort` 4789 and `VXLANVNI` 4096 (`felix/config/config_params.go`); the MAC
    /// address is `vxlanTunnelMACAddr` of the node.
    pub const CALICO: Self = Self {
        name: "calico",
        encapsulation: Encapsulation::Vxlan,
        port: vxlan::UDP_PORT,
        vni: vni(4096),
        inner_mac: InnerMac::Published,
        is_routed: true,
    };

    /// A VXLAN tunnel endpoint outside a Cilium cluster: port 8472 (`TunnelPortVXLAN`,
    /// `pkg/defaults/defaults.go`) and VNI 2, the identity "world", which alone it accepts
    /// (`Documentation/network/vtep.rst`). Its overlay program does not look at the MAC address.
    pub const CILIUM: Self = Self {
        name: "cilium",
        encapsulation: Encapsulation::Vxlan,
        port: vxlan::UDP_PORT_LINUX,
        vni: vni(2),
        inner_mac: InnerMac::Any,
        is_routed: true,
    };

    /// Antrea: Geneve on its assigned port, key 0 (no flow of its sets one), and the MAC address
    /// that all its nodes share (`GlobalVirtualMAC`, `pkg/agent/openflow`).
    pub const ANTREA: Self = Self {
        name: "antrea",
        encapsulation: Encapsulation::Geneve,
        port: geneve::UDP_PORT,
        vni: vni(0),
        inner_mac: InnerMac::Shared(MacAddr([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff])),
        is_routed: true,
    };

    /// All of them.
    pub const ALL: [Self; 4] = [Self::FLANNEL, Self::CALICO, Self::CILIUM, Self::ANTREA];

    /// The one with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }
}

const fn vni(value: u32) -> Vni {
    Vni::new(value).expect("a VNI of 24 bits")
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::{EtherType, Stamp, Template, TemplateBuilder};

    const PUBLISHED: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn template(preset: Preset) -> Template {
        let end = |host| IpAddr::V4(Ipv4Addr::new(192, 0, 2, host));
        let builder: TemplateBuilder = Template::builder(end(1), end(2)).port(preset.port);
        let mac = match preset.inner_mac {
            InnerMac::Shared(mac) => mac,
            InnerMac::Published | InnerMac::Any => PUBLISHED,
        };
        match preset.encapsulation {
            Encapsulation::Vxlan => builder.vxlan(preset.vni, mac, OWN),
            Encapsulation::Geneve => builder.geneve(preset.vni, &[], mac, OWN),
            other => panic!("{other}"),
        }
        .unwrap()
    }

    /// Name, UDP destination port, tunnel header, inner destination.
    type Expected = (&'static str, [u8; 2], [u8; 8], [u8; 6]);

    #[test]
    fn each_puts_on_the_wire_what_the_system_expects() {
        let expected: [Expected; 4] = [
            (
                "flannel",
                [0x21, 0x18],
                [8, 0, 0, 0, 0, 0, 1, 0],
                PUBLISHED.0,
            ),
            (
                "calico",
                [0x12, 0xb5],
                [8, 0, 0, 0, 0, 0x10, 0, 0],
                PUBLISHED.0,
            ),
            (
                "cilium",
                [0x21, 0x18],
                [8, 0, 0, 0, 0, 0, 2, 0],
                PUBLISHED.0,
            ),
            (
                "antrea",
                [0x17, 0xc1],
                [0, 0, 0x65, 0x58, 0, 0, 0, 0],
                [0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff],
            ),
        ];
        for (name, port, header, mac) in expected {
            let template = template(Preset::by_name(name).unwrap());
            let mut bytes = [0xff; 50];
            template
                .stamp(&mut bytes, &Stamp::new(EtherType::IPV4, 100))
                .unwrap();
            assert_eq!(
                (&bytes[22..24], &bytes[28..36]),
                (&port[..], &header[..]),
                "{name}"
            );
            assert_eq!(
                (&bytes[36..42], &bytes[42..48]),
                (&mac[..], &OWN.0[..]),
                "{name}"
            );
            assert_eq!(bytes[48..], [0x08, 0x00], "{name}");
        }
        assert_eq!(Preset::by_name("weave"), None);
    }
}
