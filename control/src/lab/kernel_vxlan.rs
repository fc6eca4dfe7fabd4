//! The kernel's own VXLAN device between the two hosts: the yardstick.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::topology::{Host, Topology, UNDERLAY_DEVICE};
use super::{LabError, link};

/// Overlay addresses of the two hosts.
pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 43, 0, 1), Ipv4Addr::new(10, 43, 0, 2)];

/// Makes the devices on both hosts; they go with the namespaces.
///
/// They have the kernel's defaults (outer UDP checksum, learning), a port of their own, and the
/// MTU that the kernel derives from the underlay's.
///
/// # Errors
/// [`LabError::Unsupported`] where the kernel has no such device.
pub fn join(topology: &Topology) -> Result<(), LabError> {
    let [a, b] = ADDRESSES;
    add(&topology.a, topology.b.underlay, a)?;
    add(&topology.b, topology.a.underlay, b)
}

fn add(host: &Host, remote: Ipv4Addr, address: Ipv4Addr) -> Result<(), LabError> {
    let address = Ipv4Net::new(address, 24).expect("a prefix length within 32");
    host.namespace.run(|| {
        link::add_vxlan(DEVICE, VNI, host.underlay, remote, PORT, UNDERLAY_DEVICE)?;
        link::add_address(DEVICE, IpNet::V4(address))
    })?
}

/// Name of the device in each host.
pub const DEVICE: &str = "vxlan43";
const VNI: u32 = 43;
/// Not 4789: that is Ringlay's in the same hosts.
const PORT: u16 = 4790;
