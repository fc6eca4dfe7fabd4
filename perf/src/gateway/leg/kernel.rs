//! The kernel's own gateways: its VXLAN device, behind a bridge or behind routes.
//!
//! There are no routes but the default one, into the tunnel: what many cost the kernel is not asked.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use ringlay_control::lab::ringlay_node::{PORT, VNI};
use ringlay_control::lab::topology::UNDERLAY_DEVICE;
use ringlay_control::lab::{LabError, bridge, link, neighbour};

use super::super::hosts::{ACCESS_DEVICE, GATEWAY_UNDERLAY, Hosts, INSIDE_MAC, OUTSIDE};
use super::{FAR_MAC, OVERLAY_MAC};

/// Makes the VXLAN device a port of a bridge.
pub(super) fn bridge(hosts: &Hosts) -> Result<String, LabError> {
    hosts.gateway.namespace.run(|| {
        add_vxlan()?;
        bridge::add(BRIDGE, &[ACCESS_DEVICE, VXLAN])?;
        bridge::add_entry(ACCESS_DEVICE, INSIDE_MAC)?;
        bridge::add_entry(VXLAN, FAR_MAC)
    })??;
    Ok("the far end's and the inside's MAC address are in the bridge's table".into())
}

/// Routes everything into the VXLAN device.
pub(super) fn route(hosts: &Hosts) -> Result<String, LabError> {
    hosts.gateway.namespace.run(|| {
        add_vxlan()?;
        let address = Ipv4Net::new(OVERLAY, 24).expect("a prefix length within 32");
        link::add_address(VXLAN, IpNet::V4(address))?;
        neighbour::add(VXLAN, FAR.into(), FAR_MAC)?;
        link::add_default_route_via(FAR)
    })??;
    Ok("one route, by one neighbour".into())
}

fn add_vxlan() -> Result<(), LabError> {
    link::add_vxlan(VXLAN, VNI, GATEWAY_UNDERLAY, OUTSIDE, PORT, UNDERLAY_DEVICE)?;
    link::set_mac(VXLAN, OVERLAY_MAC)
}

const VXLAN: &str = "vxlan42";
/// Name of the bridge, in every leg that has one.
pub(super) const BRIDGE: &str = "br0";
const OVERLAY: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 2);
