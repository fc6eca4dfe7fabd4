//! How large inner packets may be: what paths take, less what the encapsulation adds.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use ringlay_dataplane::{
    endpoint::Endpoint,
    tables::{self, IPV6_MTU_MIN, Place},
};
use ringlay_encap::{
    EtherType, Ipv4Packet, Ipv6Packet, MacAddr, Template, UdpChecksum, encap_limit, flow,
    ip::IpVersion, ipv6, template, udp,
};

use super::{Compiler, Environment, NetworkEntry, TunnelKey, path_tunnels};
use crate::{
    mtu::{Sizes, icmp::Quote},
    object::{Inner, MssClamp, Name, Network, Path},
};

/// The least that a tunnel is said to take: the smallest MTU of an IPv4 link (RFC 791).
const MTU_MIN: u16 = 68;

/// Of an inner packet, so much must be quoted for its destination to be looked at: a whole header.
const INNER_SEEN: usize = ipv6::HEADER_LEN;

/// The MTU of a network, and what it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NetworkMtus {
    pub(super) configured: Option<u16>,
    /// By how many bytes an outer IP packet is longer than the inner one.
    pub(super) overhead: u16,
    pub(super) clamp: MssClamp,
    /// That of its ports: what the widest of its tunnels takes, unless it is configured.
    current: u16,
}

/// By how many bytes the encapsulation of a network makes packets longer.
pub(super) fn overhead(environment: &Environment, network: &Network) -> u16 {
    // MAC addresses do not change the length.
    let inner = match network.encap.inner() {
        Inner::Ip => template::Inner::Ip,
        Inner::Ethernet => template::Inner::Ethernet {
            dst: MacAddr::ZERO,
            src: MacAddr::ZERO,
        },
    };
    let template = Template::builder(environment.local, environment.local)
        .tunnel(network.encap.tunnel_key(), inner)
        .expect("the ends are of one IP version, and each encapsulation carries what it says");
    let limit = match network.headers.encap_limit {
        Some(_) => encap_limit::OPTION_HEADER_LEN,
        None => 0,
    };
    (template.overhead() + limit) as u16 // at most a template's length, and that
}

impl NetworkEntry {
    /// Whether a frame, of which there may be only the beginning, is from a station here.
    fn has_station(&self, frame: &[u8]) -> bool {
        let Some(source) = frame.get(6..).and_then(<[u8]>::first_chunk) else {
            return true;
        };
        let bridge = self.bridge.as_ref();
        let station = bridge.and_then(|it| it.table.fdb.entry(MacAddr(*source)));
        station.is_some_and(|it| matches!(it.place, Place::Port(_)))
    }
}

impl NetworkMtus {
    fn fits(self, outer: u16) -> u16 {
        // More than a super-frame with its headers holds is of no use.
        let most = *Network::MTU_RANGE.end();
        outer.saturating_sub(self.overhead).clamp(MTU_MIN, most)
    }
}

/// What is quoted of the inner packet or frame, if the headers in front of it are what tunnels of a
/// network send, as far as they are quoted.
fn inner_of<'a>(network: &tables::Network, quote: &Quote<'a>) -> Option<&'a [u8]> {
    let payload = match quote.udp_ports() {
        Some((source, destination)) => {
            if destination != network.port || !flow::SOURCE_PORTS.contains(&source) {
                return None;
            }
            quote.payload.get(udp::HEADER_LEN..).unwrap_or_default()
        }
        None => {
            let local = SocketAddr::new(quote.source, network.port);
            let encapsulation = network.key.encapsulation();
            let endpoint = Endpoint {
                local,
                encapsulation,
                checksum: UdpChecksum::On,
            };
            if !endpoint.protocols().contains(&quote.protocol) {
                return None;
            }
            quote.payload
        }
    };
    // Some routers quote no more than eight bytes behind the IP header.
    let Some((header, inner)) = payload.split_at_checked(network.key.header_len()) else {
        return Some(&[]);
    };
    let mut expected = header.to_vec();
    network.key.emit(EtherType::IPV4, &mut expected);
    // Only the type of the inner packet may differ, which the third and fourth byte tell.
    let same = |at: usize| (2..4).contains(&at) || header[at] == expected[at];
    (0..header.len()).all(same).then_some(inner)
}

/// Where the packet was going whose beginning is quoted; nothing if too little is.
fn inner_destination(inner: &[u8]) -> Option<IpAddr> {
    match IpVersion::of(inner).ok()? {
        IpVersion::V4 => {
            let packet = Ipv4Packet::new_header_checked(inner).ok()?;
            Some(packet.dst_addr().into())
        }
        IpVersion::V6 => {
            let packet = Ipv6Packet::new_header_checked(inner).ok()?;
            Some(packet.dst_addr().into())
        }
    }
}

impl Compiler {
    /// Takes up what is known of the paths to far ends. Returns whether the tables changed.
    pub fn set_paths(&mut self, paths: impl IntoIterator<Item = (IpAddr, Sizes)>) -> bool {
        let paths: BTreeMap<_, _> = paths.into_iter().collect();
        let changed = paths != self.paths;
        self.paths = paths;
        if changed {
            let names: Vec<_> = self.networks.keys().cloned().collect();
            names.iter().for_each(|name| self.refresh_mtu(name));
        }
        changed
    }

    /// The MTU of a network: that of its ports.
    pub fn mtu(&self, network: &Name) -> Option<u32> {
        Some(self.networks.get(network)?.mtus.current.into())
    }

    /// By how many bytes a network's encapsulation makes packets longer.
    pub fn overhead(&self, network: &Name) -> Option<u16> {
        Some(self.networks.get(network)?.mtus.overhead)
    }

    /// The largest inner IP packet that goes through a tunnel in one outer packet.
    pub fn tunnel_mtu(&self, key: &TunnelKey) -> u16 {
        let mut mtus = self.networks[&key.network].mtus;
        if self.is_plain(key) {
            mtus.overhead = 0;
        }
        let fits = mtus.fits(self.sizes(key.vtep).now);
        match mtus.configured {
            // What does not fit the path may be fragmented on it.
            Some(configured) if !self.environment.dont_fragment => configured,
            Some(configured) => configured.min(fits),
            None => fits,
        }
    }

    /// Whether a tunnel leads to where a packet was going, and what is quoted of it is what that
    /// tunnel sends.
    pub fn may_have_sent(&self, quote: &Quote<'_>) -> bool {
        let mut to_there = self.networks.iter().filter(|(name, _)| {
            let mut ends = self.tunnels.of(name);
            ends.any(|key| key.vtep == quote.destination)
        });
        to_there.any(|(_, entry)| {
            let inner = inner_of(&entry.table, quote);
            inner.is_some_and(|inner| match entry.inner {
                Inner::Ethernet if entry.bridge.is_some() => entry.has_station(inner),
                Inner::Ethernet => inner.get(6..12).is_none_or(|mac| mac == entry.table.mac.0),
                Inner::Ip => inner.len() < INNER_SEEN || self.routes_there(entry, inner, quote),
            })
        })
    }

    /// Whether the inner packet that is quoted goes to that far end: by a route, or as a probe.
    fn routes_there(&self, entry: &NetworkEntry, inner: &[u8], quote: &Quote<'_>) -> bool {
        let Some(destination) = inner_destination(inner) else {
            return false;
        };
        let fib = &entry.table.fib;
        let route = match destination {
            IpAddr::V4(destination) => fib.v4.lookup(destination),
            IpAddr::V6(destination) => fib.v6.lookup(destination),
        };
        let leads_there = |id| {
            let key = self.tunnels.key(id);
            key.is_some_and(|key| key.vtep == quote.destination)
        };
        destination == quote.destination
            || route.is_some_and(|id| self.next_hops.any_tunnel(*id, &leads_there))
    }

    /// What goes all the way along a path of a network's routes.
    pub fn route_mtu(&self, network: &Name, prefix: IpNet, path: &Path) -> Option<u32> {
        let tunnels = path_tunnels(network, path);
        // Those that are direct now may have to go through a tunnel at any time.
        let mtus = tunnels.map(|key| self.tunnel_mtu(&key.tunnelled()));
        let narrowest = mtus.min()?;
        Some(match prefix {
            IpNet::V4(_) => narrowest.into(),
            IpNet::V6(_) => u32::from(narrowest).max(IPV6_MTU_MIN as u32),
        })
    }

    pub(super) fn refresh_mtu(&mut self, name: &Name) {
        let Some(entry) = self.networks.get(name) else {
            return;
        };
        let ends = self.tunnels.of(name);
        let widest = ends.map(|key| self.sizes(key.vtep).way).max();
        let widest = widest.unwrap_or(self.environment.mtu);
        let mtus = entry.mtus;
        let current = mtus.configured.unwrap_or_else(|| mtus.fits(widest));
        let clamp = match mtus.clamp {
            MssClamp::On => true,
            MssClamp::Off => false,
            MssClamp::Auto => {
                let mut ends = self.tunnels.of(name);
                self.has_wide_hosts(name) || ends.any(|key| self.tunnel_mtu(key) < current)
            }
        };
        if let Some(entry) = self.networks.get_mut(name) {
            entry.mtus.current = current;
            entry.table.mtu = current.into();
            entry.table.mss_clamp = clamp;
        }
    }

    fn sizes(&self, end: IpAddr) -> Sizes {
        let unknown = Sizes {
            way: self.environment.mtu,
            now: self.environment.mtu,
        };
        self.paths.get(&end).copied().unwrap_or(unknown)
    }
}
