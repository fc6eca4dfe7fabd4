//! One line of text for any bytes, in the manner of tcpdump, tunnels included.
//!
//! It shows what is there, sense or nonsense, and never fails: the fuzz targets print arbitrary
//! bytes with it, and thus run every parser. Not for the packet path.

use core::fmt::{self, Display, Formatter};

use crate::{
    ArpOperation, ArpRepr, EtherType, EthernetFrame, GenevePacket, GrePacket, Icmpv4Packet,
    Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, NeighbourAdvert, NeighbourSolicit,
    ParseError, Sum, TcpPacket, UdpPacket, VxlanPacket, checksum, geneve, icmpv4, icmpv6, ipv6,
    vxlan,
};

#[cfg(test)]
mod tests;

/// How deep packets in packets are printed.
const DEPTH_MAX: u8 = 6;

/// Bytes that print as one line.
#[derive(Debug, Clone, Copy)]
pub struct Pretty<'a> {
    bytes: &'a [u8],
    layer: Layer,
}

#[derive(Debug, Clone, Copy)]
enum Layer {
    Ethernet,
    Ip,
}

impl<'a> Pretty<'a> {
    /// Bytes that are to be an Ethernet frame.
    pub const fn ethernet(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            layer: Layer::Ethernet,
        }
    }

    /// Bytes that are to be an IPv4 or IPv6 packet.
    pub const fn ip(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            layer: Layer::Ip,
        }
    }
}

impl Display for Pretty<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.layer {
            Layer::Ethernet => ethernet(f, self.bytes, 0),
            Layer::Ip => ip(f, self.bytes, 0),
        }
    }
}

/// What cannot be parsed prints as `[|name: reason, 12 bytes]`.
fn broken(f: &mut Formatter<'_>, name: &str, bytes: &[u8], error: ParseError) -> fmt::Result {
    write!(f, "[|{name}: {error}, {} bytes]", bytes.len())
}

fn ethernet(f: &mut Formatter<'_>, bytes: &[u8], depth: u8) -> fmt::Result {
    let frame = match EthernetFrame::new_checked(bytes) {
        Ok(frame) => frame,
        Err(error) => return broken(f, "eth", bytes, error),
    };
    write!(f, "{} > {}, ", frame.src(), frame.dst())?;
    if let Some(vlan) = frame.vlan() {
        write!(f, "vlan {vlan}, ")?;
    }
    match frame.ethertype() {
        EtherType::IPV4 | EtherType::IPV6 => ip(f, frame.payload(), depth),
        EtherType::ARP => arp(f, frame.payload()),
        other => write!(f, "{other}, {} bytes", frame.payload().len()),
    }
}

fn arp(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match ArpRepr::parse(bytes) {
        Ok(arp) if arp.operation == ArpOperation::Request => {
            write!(
                f,
                "arp who-has {} tell {} ({})",
                arp.target_ip, arp.sender_ip, arp.sender_mac
            )
        }
        Ok(arp) => write!(f, "arp {} is-at {}", arp.sender_ip, arp.sender_mac),
        Err(error) => broken(f, "arp", bytes, error),
    }
}

fn ip(f: &mut Formatter<'_>, bytes: &[u8], depth: u8) -> fmt::Result {
    if depth >= DEPTH_MAX {
        return write!(f, "..., {} bytes", bytes.len());
    }
    // Quoted in an ICMP error, a packet is cut off: its header suffices.
    match bytes.first().map(|first| first >> 4) {
        Some(6) => match Ipv6Packet::new_header_checked(bytes) {
            Ok(packet) => ipv6(f, &packet, bytes, depth),
            Err(error) => broken(f, "ip6", bytes, error),
        },
        _ => match Ipv4Packet::new_header_checked(bytes) {
            Ok(packet) => ipv4(f, &packet, bytes, depth),
            Err(error) => broken(f, "ip", bytes, error),
        },
    }
}

fn ipv4(f: &mut Formatter<'_>, packet: &Ipv4Packet<&[u8]>, bytes: &[u8], depth: u8) -> fmt::Result {
    write!(
        f,
        "{} > {}, ttl {}, ",
        packet.src_addr(),
        packet.dst_addr(),
        packet.ttl()
    )?;
    if packet.traffic_class() != 0 {
        write!(f, "tos {:#04x}, ", packet.traffic_class())?;
    }
    if !packet.verify_checksum() {
        f.write_str("bad ip cksum, ")?;
    }
    if let Err(error) = Ipv4Packet::new_checked(bytes) {
        write!(f, "{error}, ")?;
    }
    let (payload, protocol) = (packet.payload(), packet.protocol());
    if packet.is_fragment() {
        let more = if packet.more_fragments() { "+" } else { "" };
        let offset = packet.fragment_offset();
        write!(
            f,
            "frag {:#06x}:{}@{offset}{more}, ",
            packet.ident(),
            payload.len()
        )?;
        if offset != 0 {
            return write!(f, "{protocol}");
        }
    }
    let pseudo_header = packet.pseudo_header(payload.len() as u16);
    match protocol {
        IpProtocol::ICMP => icmpv4(f, payload, depth),
        _ => transport(f, protocol, payload, pseudo_header, depth),
    }
}

fn ipv6(f: &mut Formatter<'_>, packet: &Ipv6Packet<&[u8]>, bytes: &[u8], depth: u8) -> fmt::Result {
    let (src, dst) = (packet.src_addr(), packet.dst_addr());
    write!(f, "{src} > {dst}, hlim {}, ", packet.hop_limit())?;
    if packet.traffic_class() != 0 {
        write!(f, "class {:#04x}, ", packet.traffic_class())?;
    }
    if packet.flow_label() != 0 {
        write!(f, "label {:#07x}, ", packet.flow_label())?;
    }
    if let Err(error) = Ipv6Packet::new_checked(bytes) {
        write!(f, "{error}, ")?;
    }
    let found = match packet.transport() {
        Ok(found) => found,
        Err(error) => return broken(f, "ip6 extension", packet.payload(), error),
    };
    let payload = packet
        .payload()
        .get(found.offset - ipv6::HEADER_LEN..)
        .unwrap_or_default();
    if let Some(fragment) = found.fragment {
        let more = if fragment.more { "+" } else { "" };
        write!(
            f,
            "frag {:#010x}:{}@{}{more}, ",
            fragment.ident,
            payload.len(),
            fragment.offset
        )?;
        if found.is_later_fragment() {
            return write!(f, "{}", found.protocol);
        }
    }
    let len = payload.len() as u32;
    match found.protocol {
        IpProtocol::ICMPV6 => icmpv6(f, packet, payload, depth),
        protocol => {
            let pseudo_header = checksum::pseudo_header_v6(src, dst, protocol, len);
            transport(f, protocol, payload, pseudo_header, depth)
        }
    }
}

fn transport(
    f: &mut Formatter<'_>,
    protocol: IpProtocol,
    payload: &[u8],
    pseudo_header: Sum,
    depth: u8,
) -> fmt::Result {
    match protocol {
        IpProtocol::UDP => udp(f, payload, pseudo_header, depth),
        IpProtocol::TCP => tcp(f, payload, pseudo_header),
        IpProtocol::GRE => gre(f, payload, depth),
        IpProtocol::IPIP | IpProtocol::IPV6 => {
            write!(f, "{protocol} | ")?;
            ip(f, payload, depth + 1)
        }
        other => write!(f, "{other}, {} bytes", payload.len()),
    }
}

fn udp(f: &mut Formatter<'_>, bytes: &[u8], pseudo_header: Sum, depth: u8) -> fmt::Result {
    let udp = match UdpPacket::new_checked(bytes) {
        Ok(udp) => udp,
        Err(error) => return broken(f, "udp", bytes, error),
    };
    write!(f, "udp {} > {}, ", udp.src_port(), udp.dst_port())?;
    if udp.checksum() == 0 {
        f.write_str("no cksum, ")?;
    } else if !udp.verify_checksum(pseudo_header) {
        f.write_str("bad udp cksum, ")?;
    }
    match udp.dst_port() {
        vxlan::UDP_PORT | vxlan::UDP_PORT_LINUX => vxlan(f, udp.payload(), depth),
        geneve::UDP_PORT => geneve(f, udp.payload(), depth),
        _ => write!(f, "{} bytes", udp.payload().len()),
    }
}

fn vxlan(f: &mut Formatter<'_>, bytes: &[u8], depth: u8) -> fmt::Result {
    match VxlanPacket::new_checked(bytes) {
        Ok(packet) => {
            write!(f, "vxlan {} | ", packet.vni())?;
            ethernet(f, packet.payload(), depth + 1)
        }
        Err(error) => broken(f, "vxlan", bytes, error),
    }
}

fn geneve(f: &mut Formatter<'_>, bytes: &[u8], depth: u8) -> fmt::Result {
    let packet = match GenevePacket::new_checked(bytes) {
        Ok(packet) => packet,
        Err(error) => return broken(f, "geneve", bytes, error),
    };
    write!(f, "geneve {}, ", packet.vni())?;
    if packet.is_control() {
        f.write_str("control, ")?;
    }
    if packet.has_critical_options() {
        f.write_str("critical, ")?;
    }
    for option in packet.options() {
        match option {
            Ok(option) => write!(
                f,
                "option {:#06x}:{:#04x} of {} bytes, ",
                option.kind.class,
                option.kind.kind,
                option.data.len()
            )?,
            Err(error) => write!(f, "bad option: {error}, ")?,
        }
    }
    inner(f, packet.protocol(), packet.payload(), depth)
}

fn gre(f: &mut Formatter<'_>, bytes: &[u8], depth: u8) -> fmt::Result {
    let packet = match GrePacket::new_checked(bytes) {
        Ok(packet) => packet,
        Err(error) => return broken(f, "gre", bytes, error),
    };
    f.write_str("gre ")?;
    if let Some(key) = packet.key() {
        write!(f, "{key}, ")?;
    }
    if let Some(sequence) = packet.sequence() {
        write!(f, "seq {sequence}, ")?;
    }
    if !packet.verify_checksum() {
        f.write_str("bad gre cksum, ")?;
    }
    inner(f, packet.protocol(), packet.payload(), depth)
}

/// What a tunnel header of the type `protocol` is followed by.
fn inner(f: &mut Formatter<'_>, protocol: EtherType, bytes: &[u8], depth: u8) -> fmt::Result {
    write!(f, "{protocol} | ")?;
    match protocol {
        EtherType::BRIDGED => ethernet(f, bytes, depth + 1),
        EtherType::IPV4 | EtherType::IPV6 => ip(f, bytes, depth + 1),
        _ => write!(f, "{} bytes", bytes.len()),
    }
}

fn tcp(f: &mut Formatter<'_>, bytes: &[u8], pseudo_header: Sum) -> fmt::Result {
    let tcp = match TcpPacket::new_checked(bytes) {
        Ok(tcp) => tcp,
        Err(error) => return broken(f, "tcp", bytes, error),
    };
    write!(
        f,
        "tcp {} > {} {}, ",
        tcp.src_port(),
        tcp.dst_port(),
        tcp.flags()
    )?;
    if !tcp.verify_checksum(pseudo_header) {
        f.write_str("bad tcp cksum, ")?;
    }
    write!(
        f,
        "seq {}, ack {}, win {}, ",
        tcp.seq(),
        tcp.ack(),
        tcp.window()
    )?;
    if !tcp.options().is_empty() {
        write!(f, "{} option bytes, ", tcp.options().len())?;
    }
    write!(f, "{} bytes", tcp.payload().len())
}

fn icmpv4(f: &mut Formatter<'_>, bytes: &[u8], depth: u8) -> fmt::Result {
    let icmp = match Icmpv4Packet::new_checked(bytes) {
        Ok(icmp) => icmp,
        Err(error) => return broken(f, "icmp", bytes, error),
    };
    if !icmp.verify_checksum() {
        f.write_str("bad icmp cksum, ")?;
    }
    match icmp.kind() {
        icmpv4::kind::ECHO_REQUEST => f.write_str("icmp echo request, ")?,
        icmpv4::kind::ECHO_REPLY => f.write_str("icmp echo reply, ")?,
        kind => write!(f, "icmp type {kind} code {}, ", icmp.code())?,
    }
    if let Some(mtu) = icmp.next_hop_mtu() {
        write!(f, "mtu {mtu}, ")?;
    }
    if icmp.is_error() {
        f.write_str("about | ")?;
        return ip(f, icmp.payload(), depth + 1);
    }
    write!(f, "{} bytes", icmp.payload().len())
}

fn icmpv6(
    f: &mut Formatter<'_>,
    packet: &Ipv6Packet<&[u8]>,
    bytes: &[u8],
    depth: u8,
) -> fmt::Result {
    let icmp = match Icmpv6Packet::new_checked(bytes) {
        Ok(icmp) => icmp,
        Err(error) => return broken(f, "icmp6", bytes, error),
    };
    if !icmp.verify_checksum(packet.src_addr(), packet.dst_addr()) {
        f.write_str("bad icmp6 cksum, ")?;
    }
    match icmp.kind() {
        icmpv6::kind::NEIGHBOUR_SOLICIT => return solicit(f, bytes),
        icmpv6::kind::NEIGHBOUR_ADVERT => return advert(f, bytes),
        icmpv6::kind::ECHO_REQUEST => f.write_str("icmp6 echo request, ")?,
        icmpv6::kind::ECHO_REPLY => f.write_str("icmp6 echo reply, ")?,
        kind => write!(f, "icmp6 type {kind} code {}, ", icmp.code())?,
    }
    if let Some(mtu) = icmp.next_hop_mtu() {
        write!(f, "mtu {mtu}, ")?;
    }
    if icmp.is_error() {
        f.write_str("about | ")?;
        return ip(f, icmp.payload(), depth + 1);
    }
    write!(f, "{} bytes", icmp.payload().len())
}

fn solicit(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match NeighbourSolicit::parse(bytes) {
        Ok(solicit) => {
            write!(f, "nd who-has {}", solicit.target)?;
            solicit
                .source_mac
                .map_or(Ok(()), |mac| write!(f, " tell {mac}"))
        }
        Err(error) => broken(f, "nd solicit", bytes, error),
    }
}

fn advert(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let advert = match NeighbourAdvert::parse(bytes) {
        Ok(advert) => advert,
        Err(error) => return broken(f, "nd advert", bytes, error),
    };
    write!(f, "nd {}", advert.target)?;
    if let Some(mac) = advert.target_mac {
        write!(f, " is-at {mac}")?;
    }
    let flags = [
        (advert.router, ", router"),
        (advert.solicited, ", solicited"),
        (advert.override_, ", override"),
    ];
    flags
        .iter()
        .filter(|(set, _)| *set)
        .try_for_each(|(_, name)| f.write_str(name))
}
