//! Why frames are dropped. Each reason is a counter; its name is the public name.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A reason for which a frame left the dataplane without being sent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The counter's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// The port handed over something that is no whole IPv4 or IPv6 packet.
    IpMalformed = "ip_malformed",
    /// The IPv4 header checksum is wrong.
    IpBadChecksum = "ip_bad_checksum",
    /// Multicast, broadcast, loopback or unspecified destination, or such a source.
    IpNotForwardable = "ip_not_forwardable",
    /// TTL or hop limit ran out (RFC 1812 section 5.3.1, RFC 8200 section 3).
    TtlExpired = "ip_ttl_expired",
    /// No route matches the destination.
    NoRoute = "ip_no_route",
    /// The matching route says to drop.
    RouteDrop = "ip_route_drop",
    /// The route sends packets without encapsulation to a far end that a router is in front of, or
    /// that the host has no route to.
    OffLink = "next_hop_off_link",
    /// The route leads back out of the port that the packet came from.
    Hairpin = "ip_hairpin",
    /// The packet does not fit the network's MTU.
    TooBig = "ip_too_big",
    /// A frame from an Ethernet port is shorter than its header.
    EtherMalformed = "ether_malformed",
    /// Its destination MAC is neither ours nor a group, or its source can be none.
    EtherMacForeign = "ether_mac_foreign",
    /// It has a VLAN tag.
    EtherVlan = "ether_vlan",
    /// It is none of ARP, IPv4 and IPv6.
    EtherProtocolUnknown = "ether_protocol_unknown",
    /// It is for the stations of one link, such as its link-layer control protocols.
    EtherLinkLocal = "ether_link_local",
    /// Its destination is where it came from.
    FdbHairpin = "fdb_hairpin",
    /// It came through a tunnel, and its destination is behind another.
    FdbSplitHorizon = "fdb_split_horizon",
    /// Its destination is not known, and it came by the only way there is.
    FloodNowhere = "flood_nowhere",
    /// It is for this node itself, and for nothing that the node serves.
    LocalUnserved = "local_unserved",
    /// The uplink handed over something that is no UDP packet for its tunnel endpoint.
    UplinkForeign = "uplink_foreign",
    /// The outer UDP checksum is wrong, or missing over IPv6.
    UnderlayBadChecksum = "underlay_bad_checksum",
    /// Shorter than a VXLAN header, or no Ethernet frame inside.
    VxlanMalformed = "vxlan_malformed",
    /// The VXLAN header lacks the I flag (RFC 7348 section 5).
    VxlanBadFlags = "vxlan_bad_flags",
    /// No network has this VNI on this tunnel endpoint.
    VxlanUnknownVni = "vxlan_unknown_vni",
    /// A Geneve header or option is truncated or contradicts itself, or what is inside is.
    GeneveMalformed = "geneve_malformed",
    /// A Geneve option that must be understood is not known (RFC 8926 section 3.5).
    GeneveCriticalOption = "geneve_critical_option",
    /// A Geneve control message (RFC 8926 section 3.4): it is for the tunnel's end, not to be
    /// forwarded.
    GeneveControl = "geneve_control",
    /// No network has this VNI on this Geneve endpoint.
    GeneveUnknownVni = "geneve_unknown_vni",
    /// A GRE header is truncated or has flags that must be refused (RFC 2784 section 2.3), or what
    /// is inside is too short.
    GreMalformed = "gre_malformed",
    /// The GRE checksum is wrong.
    GreBadChecksum = "gre_bad_checksum",
    /// No network has this GRE key.
    GreUnknownKey = "gre_unknown_key",
    /// An IP-in-IP packet has no IP packet inside.
    IpipMalformed = "ipip_malformed",
    /// The outer source is no VTEP of the network; where nothing else tells, of no network.
    VtepUnknown = "vtep_unknown",
    /// A router on the way marked congestion, and the inner packet's sender knows no ECN
    /// (RFC 6040 section 4.2).
    EcnCongestion = "ecn_congestion",
    /// A packet of this network's own tunnels was to enter it again: the underlay's route to a
    /// VTEP leads into the overlay.
    TunnelLoop = "tunnel_loop",
    /// The packet is in more tunnels of this node already than make sense.
    TunnelTooDeep = "tunnel_too_deep",
    /// The packet may not enter another tunnel (RFC 2473 section 4.1.1).
    EncapLimit = "encap_limit",
    /// The inner destination MAC is neither ours nor a group that we listen to.
    InnerMacForeign = "inner_mac_foreign",
    /// What is inside the tunnel is none of ARP, IPv4 and IPv6.
    InnerProtocolUnknown = "inner_protocol_unknown",
    /// An ARP packet that does not parse or contradicts itself.
    ArpMalformed = "arp_malformed",
    /// A neighbour discovery message that does not parse or breaks RFC 4861 section 7.1.
    NdiscMalformed = "ndisc_malformed",
    /// No MAC address was found for the tunnel's far end, or the host on the port, in time.
    NeighbourUnresolved = "neighbour_unresolved",
    /// Too many frames were already waiting for MAC addresses.
    HoldFull = "neighbour_hold_full",
    /// The port was removed while the frame was on its way.
    PortGone = "port_gone",
    /// The tunnel was removed while the frame was on its way, or is not there yet.
    TunnelGone = "tunnel_gone",
    /// The mempool had no frame left.
    PoolExhausted = "pool_exhausted",
    /// The driver received only a part of a datagram or packet.
    RxTruncated = "rx_truncated",
    /// The device queue of the port was full.
    PortTxFull = "port_tx_full",
    /// The device refused the packet.
    PortTxError = "port_tx_error",
    /// The underlay socket's buffer was full.
    UnderlayTxFull = "underlay_tx_full",
    /// The kernel refused to send to the underlay (no route, unreachable, too big).
    UnderlayTxError = "underlay_tx_error",
    /// The worker stopped.
    Shutdown = "shutdown",
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn names_are_unique_and_indices_dense() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
