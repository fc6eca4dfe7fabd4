//! What workers look up: an immutable snapshot of everything the control plane
//! decided.
//!
//! The control plane compiles its desired state into a new [`Tables`] and
//! publishes it; a worker picks it up between batches. Nothing in it changes
//! afterwards. Forwarding tables are persistent structures, so that a snapshot
//! that differs by one route shares the rest with its predecessor.

mod bridge;
mod link;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ringlay_encap::ip::IpVersion;
use ringlay_encap::template::Template;
use ringlay_encap::{DscpPolicy, MacAddr, TtlPolicy, TunnelKey};
use ringlay_lpm::{Ipv4Table, Ipv6Table};

use crate::endpoint::Endpoint;
use crate::id::{NetworkId, NextHopId, PortId, TunnelId, UnderlayId};

pub use self::bridge::{Bridge, Fdb, FdbEntry, Place};
pub use self::link::{Link, Neighbours};

/// The source of ICMP errors where this node has no IPv4 address that the
/// receiver would accept: the IPv4 dummy address (RFC 7600 section 4.8). The
/// addresses of a TUN device are the host's own, and Linux discards packets
/// that arrive from its own addresses.
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The link-local address of this node on each of its links.
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 8);

/// What every link must carry of IPv6 (RFC 8200 section 5).
pub const IPV6_MTU_MIN: usize = 1280;

/// Where a matching route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Out of an access port.
    Port(PortId),
    /// Out of an Ethernet port, to the very host that the packet is for.
    Link(PortId),
    /// Out of an Ethernet port, to a router there.
    Gateway(PortId, IpAddr),
    /// To this node itself.
    Local,
    /// Through a tunnel.
    Tunnel(TunnelId),
    /// One of several, chosen by the flow's hash. Never nested.
    Group(Group),
    /// To a far end that is not on the same link, as packets without encapsulation need it.
    OffLink,
    /// Nowhere, silently.
    Drop,
}

/// Equal-cost next hops: a table with the member for each slot of the flow
/// hash. Who fills it decides how many flows move when members come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(Arc<[NextHopId; Self::SLOTS]>);

impl Group {
    /// How many slots a group has: so many members can have fair shares.
    pub const SLOTS: usize = 1024;

    /// The lowest bit of the flow hash that counts. Those below choose the
    /// sending socket, the upper 14 are the outer source port: so all choices
    /// are independent.
    pub const SHIFT: u32 = 4;

    /// A group with these members in its slots.
    pub fn new(slots: [NextHopId; Self::SLOTS]) -> Self {
        Self(Arc::new(slots))
    }

    /// The member for a flow.
    #[inline]
    pub fn member(&self, flow_hash: u32) -> NextHopId {
        self.0[(flow_hash >> Self::SHIFT) as usize % Self::SLOTS]
    }

    /// The members of the slots, one by one.
    pub fn slots(&self) -> &[NextHopId] {
        self.0.as_slice()
    }
}

/// Forwarding tables of one network.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    /// IPv4 routes.
    pub v4: Ipv4Table<NextHopId>,
    /// IPv6 routes.
    pub v6: Ipv6Table<NextHopId>,
}

/// A routed network with its own forwarding table, by a tunnel key of its own.
#[derive(Clone, Debug)]
pub struct Network {
    /// The local tunnel endpoint it uses.
    pub underlay: UnderlayId,
    /// The UDP port that its VTEPs listen on; zero if its tunnels do not go over UDP.
    pub port: u16,
    /// Its encapsulation, and what tells it from other networks of the endpoint.
    pub key: TunnelKey,
    /// Our VTEP's MAC address in it: the inner source of what we send, and the
    /// only unicast inner destination that we accept, besides `shared_mac`.
    pub mac: MacAddr,
    /// An inner destination that all VTEPs of the network share, where there is one.
    pub shared_mac: Option<MacAddr>,
    /// The longest packet, in bytes, that devices of its ports without Ethernet are to be given.
    pub mtu: usize,
    /// Whether TCP connections are to begin with segments that fit the tunnels.
    pub mss_clamp: bool,
    /// Whether IPv4 packets that are too long for a tunnel, and may be fragmented, are so inside.
    pub fragment: bool,
    /// Where the outer time to live comes from, if the kernel's usual one will not do.
    pub ttl: Option<TtlPolicy>,
    /// Where the outer DSCP comes from, and whether it becomes the inner one again.
    pub dscp: DscpPolicy,
    /// How many more tunnels a packet that does not say may enter, as its outer IPv6 header tells
    /// (RFC 2473 section 4.1.1); none tells nothing.
    pub encap_limit: Option<u8>,
    /// Whether tunnel frames from addresses outside `vteps` are accepted.
    pub accept_unknown_vteps: bool,
    /// The outer addresses of its remote VTEPs, sorted.
    pub vteps: Vec<IpAddr>,
    /// Our own inner addresses, the preferred source of what this node says.
    pub addresses: Vec<IpAddr>,
    /// Its routes.
    pub fib: Fib,
}

impl Tunnel {
    /// The largest packet of an IP version that is let in, longer ones are answered
    /// with. IPv6 counts on [`IPV6_MTU_MIN`] everywhere: where less fits, the outer
    /// packet is fragmented (RFC 2473 section 7.1).
    #[inline]
    pub fn mtu_of(&self, version: IpVersion) -> usize {
        match version {
            IpVersion::V4 => self.mtu,
            IpVersion::V6 => self.mtu.max(IPV6_MTU_MIN),
        }
    }

    /// Whether there are Ethernet frames in it, rather than IP packets.
    pub fn carries_frames(&self, network: &Network) -> bool {
        let headers = self.template.as_ref().map(|it| it.tunnel_bytes().len());
        // Only where there are, headers have to wait for a MAC address.
        headers.is_none_or(|len| len > network.key.header_len())
    }
}

impl Network {
    /// A network by this key at a local tunnel endpoint, with the usual port of its encapsulation: it
    /// has no MAC address, far end, address of its own or route yet, lets packets be as long as they
    /// are, and does nothing that it need not do.
    pub fn new(underlay: UnderlayId, key: TunnelKey) -> Self {
        Self {
            underlay,
            port: key.encapsulation().udp_port().unwrap_or(0),
            key,
            mac: MacAddr::ZERO,
            shared_mac: None,
            mtu: usize::MAX,
            mss_clamp: false,
            fragment: false,
            ttl: None,
            dscp: DscpPolicy::default(),
            encap_limit: None,
            accept_unknown_vteps: false,
            vteps: Vec::new(),
            addresses: Vec::new(),
            fib: Fib::default(),
        }
    }

    /// Whether `address` is a VTEP of this network.
    #[inline]
    pub fn knows_vtep(&self, address: IpAddr) -> bool {
        self.vteps.binary_search(&address).is_ok()
    }

    /// The source address of ICMPv4 errors sent into the tunnel.
    pub fn icmp_source_v4(&self) -> Ipv4Addr {
        let own = self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        own.unwrap_or(ROUTER_V4)
    }

    /// The source address of ICMPv6 errors sent into the tunnel.
    pub fn icmp_source_v6(&self) -> Ipv6Addr {
        let own = self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) if !address.is_unicast_link_local() => Some(*address),
            _ => None,
        });
        own.unwrap_or(ROUTER_V6)
    }
}

/// One remote VTEP of one network.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// The network.
    pub network: NetworkId,
    /// The local tunnel endpoint that packets leave by: its network's, unless they are sent
    /// without encapsulation in a network that has one.
    pub underlay: UnderlayId,
    /// Outer source address.
    pub local: IpAddr,
    /// Outer destination address and port; without encapsulation the neighbour, and zero.
    pub remote: SocketAddr,
    /// The largest inner IP packet that reaches the far end in one outer packet, in bytes.
    pub mtu: usize,
    /// The headers of every frame through it; `None` until the far end's MAC
    /// address is known. With an outer Ethernet header, frames leave by the
    /// underlay's uplink, otherwise by its sockets.
    pub template: Option<Template>,
}

/// One access port.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// The network it belongs to.
    pub network: NetworkId,
}

/// One snapshot. Identifiers index dense vectors; a hole is an object that is gone.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    networks: Vec<Option<Network>>,
    /// Of the networks that are bridged.
    bridges: Vec<Option<Bridge>>,
    tunnels: Vec<Option<Tunnel>>,
    ports: Vec<Option<Port>>,
    /// Of the ports that have one.
    links: Vec<Option<Link>>,
    underlays: Vec<Option<Endpoint>>,
    /// The largest IP packet of each endpoint whose uplink is a wire.
    wires: Vec<Option<usize>>,
    next_hops: Vec<NextHop>,
    /// Sorted.
    keys: Vec<(KeyAt, NetworkId)>,
}

/// A tunnel key at an endpoint. Where it is absent, the remote address is a part of it; without
/// that it stands for all addresses that have no entry.
type KeyAt = (UnderlayId, TunnelKey, Option<IpAddr>);

impl Network {
    /// What its frames come with.
    fn keys(&self) -> impl Iterator<Item = KeyAt> {
        let (named, anybody) = if self.key.is_absent() {
            (self.vteps.as_slice(), self.accept_unknown_vteps)
        } else {
            (&[][..], true)
        };
        let remotes = named.iter().copied().map(Some);
        remotes
            .chain(anybody.then_some(None))
            .map(|remote| (self.underlay, self.key, remote))
    }
}

fn place<T>(vector: &mut Vec<Option<T>>, index: usize, value: T) {
    if vector.len() <= index {
        vector.resize_with(index + 1, || None);
    }
    vector[index] = Some(value);
}

impl Tables {
    /// Adds or replaces a network. Its pair of underlay and key must be unique; where the key is
    /// absent, that and each of its VTEPs.
    pub fn insert_network(&mut self, id: NetworkId, network: Network) {
        self.keys.retain(|&(_, owner)| owner != id);
        for key in network.keys() {
            let at = self.keys.partition_point(|&(other, _)| other < key);
            self.keys.insert(at, (key, id));
        }
        place(&mut self.networks, id.index(), network);
    }

    /// Says that a network is bridged, and where its stations are.
    pub fn insert_bridge(&mut self, id: NetworkId, bridge: Bridge) {
        place(&mut self.bridges, id.index(), bridge);
    }

    /// Adds or replaces a tunnel.
    pub fn insert_tunnel(&mut self, id: TunnelId, tunnel: Tunnel) {
        place(&mut self.tunnels, id.index(), tunnel);
    }

    /// Adds or replaces a port.
    pub fn insert_port(&mut self, id: PortId, port: Port) {
        place(&mut self.ports, id.index(), port);
    }

    /// Says that a port is an Ethernet port, and what is known of it.
    pub fn insert_link(&mut self, id: PortId, link: Link) {
        place(&mut self.links, id.index(), link);
    }

    /// Adds or replaces a local tunnel endpoint. What comes by one that is not here is dropped.
    pub fn insert_underlay(&mut self, id: UnderlayId, endpoint: Endpoint) {
        place(&mut self.underlays, id.index(), endpoint);
    }

    /// Says that the uplink of a local tunnel endpoint is a wire, which takes frames as they are,
    /// with IP packets of at most `mtu` bytes. Other uplinks cut super-frames and finish checksums.
    pub fn insert_wire(&mut self, id: UnderlayId, mtu: usize) {
        place(&mut self.wires, id.index(), mtu);
    }

    /// Adds a next hop and names it, for use in a network's `fib`.
    ///
    /// # Panics
    ///
    /// If there are 2^32 next hops.
    pub fn insert_next_hop(&mut self, next_hop: NextHop) -> NextHopId {
        self.next_hops.push(next_hop);
        NextHopId(u32::try_from(self.next_hops.len() - 1).expect("fewer than 2^32 next hops"))
    }

    /// The network with this identifier.
    #[inline]
    pub fn network(&self, id: NetworkId) -> Option<&Network> {
        self.networks.get(id.index())?.as_ref()
    }

    /// What is known of a bridged network's stations.
    #[inline]
    pub fn bridge(&self, id: NetworkId) -> Option<&Bridge> {
        self.bridges.get(id.index())?.as_ref()
    }

    /// The tunnel with this identifier.
    #[inline]
    pub fn tunnel(&self, id: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(id.index())?.as_ref()
    }

    /// The port with this identifier.
    #[inline]
    pub fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(id.index())?.as_ref()
    }

    /// What is known of an Ethernet port.
    #[inline]
    pub fn link(&self, id: PortId) -> Option<&Link> {
        self.links.get(id.index())?.as_ref()
    }

    /// The local tunnel endpoint with this identifier.
    #[inline]
    pub fn underlay(&self, id: UnderlayId) -> Option<Endpoint> {
        *self.underlays.get(id.index())?
    }

    /// The largest IP packet for the endpoint's uplink, if that is a wire.
    #[inline]
    pub fn wire(&self, id: UnderlayId) -> Option<usize> {
        *self.wires.get(id.index())?
    }

    /// The local tunnel endpoints.
    pub fn underlays(&self) -> impl Iterator<Item = (UnderlayId, Endpoint)> {
        let all = self.underlays.iter().enumerate();
        all.filter_map(|(index, endpoint)| Some((UnderlayId(index as u16), (*endpoint)?)))
    }

    /// The network that a tunnel frame from `remote` belongs to.
    #[inline]
    pub fn network_by_key(
        &self,
        underlay: UnderlayId,
        key: TunnelKey,
        remote: IpAddr,
    ) -> Option<NetworkId> {
        let find = |remote: Option<IpAddr>| {
            let wanted = (underlay, key, remote);
            let found = self.keys.binary_search_by_key(&wanted, |&(key, _)| key);
            found.ok().map(|at| self.keys[at].1)
        };
        let exactly = key.is_absent().then(|| find(Some(remote))).flatten();
        exactly.or_else(|| find(None))
    }

    /// The next hop of a flow: a member of the group if it is one.
    #[inline]
    pub fn next_hop(&self, id: NextHopId, flow_hash: u32) -> &NextHop {
        match &self.next_hops[id.index()] {
            NextHop::Group(group) => &self.next_hops[group.member(flow_hash).index()],
            single => single,
        }
    }
}
