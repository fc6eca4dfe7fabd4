//! The kernel's own VXLAN device: between the two hosts, the yardstick; on host b alone, the far
//! end of a Ringlay node.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::topology::{Host, Topology, UNDERLAY_DEVICE};
use super::{LabError, link, ringlay_node};

/// Overlay addresses of the two hosts.
pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 43, 0, 1), Ipv4Addr::new(10, 43, 0, 2)];

/// Name of the device in each host.
pub const DEVICE: &str = "vxlan43";

/// Name of the device that faces a node.
pub const PEER_DEVICE: &str = "vxlan42";

/// Makes the devices on both hosts; they go with the namespaces.
///
/// They have the kernel's defaults (outer UDP checksum, learning), a port of their own, and the
/// MTU that the kernel derives from the underlay's.
///
/// # Errors
/// [`LabError::Unsupported`] where the kernel has no such device.
pub fn join(topology: &Topology) -> Result<(), LabError> {
    let [a, b] = ADDRESSES;
    let device = |remote, address| Device {
        name: DEVICE,
        vni: VNI,
        port: PORT,
        remote,
        address: Ipv4Net::new(address, 24).expect("a prefix length within 32"),
    };
    device(topology.b.underlay, a).add(&topology.a)?;
    device(topology.a.underlay, b).add(&topology.b)
}

/// Makes a device on host b for the node of host a, in the same way.
///
/// The node's addresses are on the device's link, so each finds the other's MAC address by ARP.
///
/// # Errors
/// [`LabError::Unsupported`] where the kernel has no such device.
pub fn face_node(topology: &Topology) -> Result<(), LabError> {
    let device = Device {
        name: PEER_DEVICE,
        vni: ringlay_node::VNI,
        port: ringlay_node::PORT,
        remote: topology.a.underlay,
        address: Ipv4Net::new(ringlay_node::ADDRESSES[1], 16).expect("a prefix length within 32"),
    };
    device.add(&topology.b)
}

struct Device {
    name: &'static str,
    vni: u32,
    port: u16,
    remote: Ipv4Addr,
    address: Ipv4Net,
}

impl Device {
    fn add(&self, host: &Host) -> Result<(), LabError> {
        let Self {
            name,
            vni,
            port,
            remote,
            address,
        } = *self;
        host.namespace.run(|| {
            link::add_vxlan(name, vni, host.underlay, remote, port, UNDERLAY_DEVICE)?;
            link::add_address(name, IpNet::V4(address))
        })?
    }
}

const VNI: u32 = 43;
/// Not 4789: that is Ringlay's in the same hosts.
const PORT: u16 = 4790;
