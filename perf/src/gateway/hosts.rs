//! The hosts: one inside, the gateway, one outside, joined by veth pairs; or the first and the last
//! joined to each other, to see what traffic alone costs.
//!
//! Only the kernels of the hosts are here; what forwards in the gateway is a leg.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::topology::{Host, UNDERLAY_A, UNDERLAY_B, UNDERLAY_DEVICE};
use ringlay_control::lab::{LabError, link, neighbour, sysctl};

/// A MAC address.
pub(super) type Mac = [u8; 6];

/// The device of the host inside.
pub(super) const INSIDE_DEVICE: &str = "in0";
/// The gateway's device towards it.
pub(super) const ACCESS_DEVICE: &str = "acc0";
/// The device of the host outside.
pub(super) const OUTSIDE_DEVICE: &str = "out0";

/// Address of the host inside.
pub(super) const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 40, 0, 2);
/// The gateway's towards it.
pub(super) const ACCESS: Ipv4Addr = Ipv4Addr::new(10, 40, 0, 1);
/// That of Ringlay there, where it is a station beside the gateway's kernel.
pub(super) const STATION: Ipv4Addr = Ipv4Addr::new(10, 40, 0, 3);
/// The gateway's on the underlay.
pub(super) const GATEWAY_UNDERLAY: Ipv4Addr = UNDERLAY_A;
/// Address of the host outside: the far end of the tunnel.
pub(super) const OUTSIDE: Ipv4Addr = UNDERLAY_B;

/// Of the device inside.
pub(super) const INSIDE_MAC: Mac = [2, 0, 0, 0, 0x40, 2];
/// Of the gateway's device towards it.
pub(super) const ACCESS_MAC: Mac = [2, 0, 0, 0, 0x40, 1];
/// Of the gateway's device on the underlay.
pub(super) const UNDERLAY_MAC: Mac = [2, 0, 0, 0, 0x77, 1];
/// Of the device outside.
pub(super) const OUTSIDE_MAC: Mac = [2, 0, 0, 0, 0x77, 2];

/// MTU on the way inside, in bytes.
pub(super) const ACCESS_MTU: u32 = 1500;
/// MTU of the underlay: a full frame and its outer headers fit.
pub(super) const UNDERLAY_MTU: u32 = 1600;

/// What joins the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// One veth pair, without a gateway.
    Directly,
    /// A gateway with a pair to each side. Its kernel forwards on this CPU, where one is named.
    ByGateway(Option<usize>),
}

/// The hosts; they go when this is dropped.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    /// The host inside.
    pub(super) inside: Namespace,
    /// The gateway.
    pub(super) gateway: Host,
    /// The host outside.
    pub(super) outside: Namespace,
}

impl Hosts {
    pub(super) fn create(
        cleanup: &Cleanup,
        prefix: &str,
        joined: Joined,
    ) -> Result<Self, LabError> {
        let create = |name: &str| Namespace::create(cleanup, &format!("{prefix}-{name}"));
        let hosts = Self {
            inside: create("in")?,
            gateway: Host {
                namespace: create("gw")?,
                underlay: GATEWAY_UNDERLAY,
            },
            outside: create("out")?,
        };
        match joined {
            Joined::Directly => hosts.join()?,
            Joined::ByGateway(cpu) => hosts.join_by_gateway(cpu)?,
        }
        Ok(hosts)
    }

    fn join(&self) -> Result<(), LabError> {
        let join = || link::add_veth(INSIDE_DEVICE, &self.outside, OUTSIDE_DEVICE);
        self.inside.run(join)??;
        self.raise_ends(UNDERLAY_MTU)
    }

    fn join_by_gateway(&self, cpu: Option<usize>) -> Result<(), LabError> {
        let gateway = &self.gateway.namespace;
        // Devices take it over when they are made.
        if let Some(cpu) = cpu {
            let steer = || sysctl::set("core/rps_default_mask", &mask(cpu));
            gateway.run(steer)??;
        }
        let join = |device, far_device| link::add_veth(device, gateway, far_device);
        self.inside.run(|| join(INSIDE_DEVICE, ACCESS_DEVICE))??;
        self.outside
            .run(|| join(OUTSIDE_DEVICE, UNDERLAY_DEVICE))??;
        gateway.run(raise_gateway)??;
        self.raise_ends(ACCESS_MTU)
    }

    fn raise_ends(&self, access_mtu: u32) -> Result<(), LabError> {
        self.inside.run(|| {
            raise(INSIDE_DEVICE, INSIDE_MAC, INSIDE, access_mtu)?;
            neighbour::add(INSIDE_DEVICE, ACCESS.into(), ACCESS_MAC)
        })??;
        self.outside.run(|| {
            raise(OUTSIDE_DEVICE, OUTSIDE_MAC, OUTSIDE, UNDERLAY_MTU)?;
            neighbour::add(OUTSIDE_DEVICE, GATEWAY_UNDERLAY.into(), UNDERLAY_MAC)
        })?
    }
}

/// Nothing has to be asked for by ARP, neither before nor during a measurement.
fn raise_gateway() -> Result<(), LabError> {
    raise(ACCESS_DEVICE, ACCESS_MAC, ACCESS, ACCESS_MTU)?;
    neighbour::add(ACCESS_DEVICE, INSIDE.into(), INSIDE_MAC)?;
    raise(
        UNDERLAY_DEVICE,
        UNDERLAY_MAC,
        GATEWAY_UNDERLAY,
        UNDERLAY_MTU,
    )?;
    neighbour::add(UNDERLAY_DEVICE, OUTSIDE.into(), OUTSIDE_MAC)?;
    // Packets come from all over the internet.
    for key in ["all", "default", ACCESS_DEVICE, UNDERLAY_DEVICE] {
        sysctl::set(&format!("ipv4/conf/{key}/rp_filter"), "0")?;
    }
    sysctl::set("ipv4/ip_forward", "1")
}

fn raise(device: &str, mac: Mac, address: Ipv4Addr, mtu: u32) -> Result<(), LabError> {
    link::set_mac(device, mac)?;
    link::set_mtu(device, mtu)?;
    let address = Ipv4Net::new(address, 24).expect("a prefix length within 32");
    link::add_address(device, IpNet::V4(address))?;
    link::set_up(device)
}

/// A CPU as the kernel writes sets of them: hexadecimal, 32 to a group, the lowest last.
fn mask(cpu: usize) -> String {
    format!("{:x}{}", 1u32 << (cpu % 32), ",00000000".repeat(cpu / 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_bits() {
        assert_eq!(mask(0), "1");
        assert_eq!(mask(31), "80000000");
        assert_eq!(mask(65), "2,00000000,00000000");
    }
}
