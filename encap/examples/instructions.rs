//! Encapsulates or decapsulates a packet many times, for callgrind to count: see `../instructions`.
//!
//! `instructions encap|decap|nothing KIND ipv4|ipv6 LENGTH COUNT`. Does not measure time: that is
//! what the criterion benchmarks do.

use std::{env, hint::black_box, net::IpAddr};

use ringlay_encap::{
    Announced, Decap, EtherType, GreKey, IpProtocol, Ipv4Packet, Ipv4Repr, MacAddr, OuterChecksum,
    Stamp, Template, TemplateBuilder, UdpPacket, UdpRepr, Vni, checksum::sum_of_valid_packet,
    flow::flow_hash, ip::IpVersion, template,
};

const HEADROOM: usize = template::MAX_LEN;

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [what, kind, underlay, len, count] = &arguments[..] else {
        panic!("five arguments: encap|decap|nothing KIND ipv4|ipv6 LENGTH COUNT");
    };
    let (len, count) = (number(len), number(count));
    let ends: [IpAddr; 2] = match &underlay[..] {
        "ipv4" => [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
        "ipv6" => [[0xfd; 16].into(), [0xfc; 16].into()],
        other => panic!("no underlay {other}"),
    };
    let (announced, template) = choose(kind, Template::builder(ends[0], ends[1]));
    let mut frame = vec![0; HEADROOM];
    frame.extend(packet(len));
    let mut payload = vec![0; template.tunnel_len()];
    template.write_tunnel(EtherType::IPV4, &mut payload);
    payload.extend(packet(len));
    match &what[..] {
        "encap" => encap_each(&mut frame, &template, count),
        "decap" => decap_each(announced, &payload, count),
        "nothing" => nothing_each(&mut frame, count),
        other => panic!("no measurement {other}"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn choose(kind: &str, builder: TemplateBuilder) -> (Announced, Template) {
    let vni = Vni::new(42).expect("42 is a VNI");
    let [dst, src] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
    let key = Some(GreKey(42));
    let option = [0xff, 0x00, 0x01, 0x01, 1, 2, 3, 4];
    let (announced, template) = match kind {
        "vxlan" => (Announced::Vxlan, builder.vxlan(vni, dst, src)),
        "geneve" => (Announced::Geneve, builder.geneve(vni, &[], dst, src)),
        "geneve-option" => (Announced::Geneve, builder.geneve(vni, &option, dst, src)),
        "geneve-ip" => (Announced::Geneve, builder.geneve_ip(vni, &[])),
        "gre" => (Announced::Gre, builder.gre(None)),
        "gre-key" => (Announced::Gre, builder.gre(key)),
        "gre-ethernet" => (Announced::Gre, builder.gre_ethernet(key, dst, src)),
        "ipip" => (Announced::Ip(IpVersion::V4), builder.ipip()),
        other => panic!("no encapsulation {other}"),
    };
    (announced, template.expect("both ends have one version"))
}

/// A UDP packet of `len` bytes with right checksums.
fn packet(len: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; len];
    let payload_len = u16::try_from(len - 20).expect("below 64 KiB");
    Ipv4Repr {
        src_addr: [10, 42, 1, 1].into(),
        dst_addr: [10, 42, 2, 1].into(),
        protocol: IpProtocol::UDP,
        traffic_class: 0,
        ttl: 64,
        ident: 1,
        dont_fragment: true,
        payload_len,
    }
    .emit(&mut packet);
    let (src_port, dst_port) = (4000, 9);
    UdpRepr {
        src_port,
        dst_port,
        payload_len: payload_len - 8,
    }
    .emit(&mut packet[20..]);
    let pseudo_header = Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(payload_len);
    UdpPacket::new_unchecked(&mut packet[20..]).fill_checksum(pseudo_header);
    packet
}

/// Reads the inner header, hashes the flow and stamps outer headers, with a full UDP checksum where
/// there is one.
#[inline(never)]
fn encap_each(frame: &mut [u8], template: &Template, count: usize) {
    for _ in 0..count {
        black_box(encap(black_box(frame), template));
    }
}

#[inline(always)]
fn encap(frame: &mut [u8], template: &Template) -> Option<()> {
    let (headroom, packet) = frame.split_at_mut(HEADROOM);
    let checksum = match template.udp_offset() {
        Some(_) => OuterChecksum::Inner(sum_of_valid_packet(packet)?),
        None => OuterChecksum::Zero,
    };
    let stamp = Stamp {
        checksum,
        ..Stamp::of_packet(packet)
            .ok()?
            .with_flow(flow_hash(packet, 0))
    };
    let out = &mut headroom[HEADROOM - template.len()..];
    template.stamp(out, &stamp).ok()
}

/// Recognises what is inside.
#[inline(never)]
fn decap_each(announced: Announced, payload: &[u8], count: usize) {
    for _ in 0..count {
        let found: Result<Decap, _> = black_box(announced).decap(black_box(payload));
        black_box(found.is_ok());
    }
}

/// The loop alone, to be subtracted.
#[inline(never)]
fn nothing_each(frame: &mut [u8], count: usize) {
    for _ in 0..count {
        black_box(black_box(&mut *frame).len());
    }
}
