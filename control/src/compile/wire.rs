//! What tunnels take from the wire: without a known next hop on it, their packets go by sockets.

use std::{collections::BTreeMap, net::IpAddr};

use ringlay_dataplane::sys::xdp;
use ringlay_encap::{MacAddr, eth};

use super::Compiler;
use crate::rib::Rib;

/// The device that the packets of all tunnel endpoints leave by, past the kernel's own stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The device's own MAC address.
    pub mac: MacAddr,
    /// The device's MTU in bytes.
    pub mtu: u32,
    /// The MAC address of the next hop towards each VTEP for which it is known.
    pub next_hops: BTreeMap<IpAddr, MacAddr>,
}

impl Wire {
    /// The largest IP packet for it, in bytes.
    pub(super) fn largest(&self) -> usize {
        (self.mtu as usize).min(xdp::CHUNK - eth::HEADER_LEN)
    }

    /// The MAC address to which packets for a VTEP go.
    pub(super) fn next_hop(&self, vtep: IpAddr) -> Option<MacAddr> {
        self.next_hops.get(&vtep).copied()
    }
}

impl Compiler {
    /// Takes note of the wire, or that there is none. Returns whether that changes the tables.
    pub fn set_wire(&mut self, rib: &Rib, wire: Option<Wire>) -> bool {
        if self.wire == wire {
            return false;
        }
        self.wire = wire;
        let keys: Vec<_> = self.tunnels.iter().map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.refresh_template(rib, key));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_leads_to_next_hops_that_are_known() {
        let vteps = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let wire = Wire {
            mac,
            mtu: 9000,
            next_hops: BTreeMap::from([(vteps[0], mac)]),
        };
        assert_eq!(wire.next_hop(vteps[0]), Some(mac));
        assert_eq!(wire.next_hop(vteps[1]), None);
        assert_eq!(wire.largest(), 4096 - 14);
        assert_eq!(Wire { mtu: 1500, ..wire }.largest(), 1500);
    }
}
