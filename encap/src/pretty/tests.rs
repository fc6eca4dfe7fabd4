//! Lines for whole packets, and for what is left of them when cut.

use std::{format, string::ToString, vec::Vec};

use super::*;
use crate::{Icmpv4Error, MacAddr, OuterChecksum, Stamp, Template, Vni};

/// An echo request without data from 10.42.1.1 to 10.42.2.1.
const PING: [u8; 28] = [
    0x45, 0x00, 0x00, 0x1c, 0xa6, 0xec, 0x40, 0x00, 0x40, 0x01, 0x7c, 0x9f, 0x0a, 0x2a, 0x01, 0x01,
    0x0a, 0x2a, 0x02, 0x01, 0x08, 0x00, 0xf7, 0xff, 0x00, 0x00, 0x00, 0x00,
];

fn vxlan_ping() -> Vec<u8> {
    let (a, b) = (
        "192.168.77.1".parse().unwrap(),
        "192.168.77.2".parse().unwrap(),
    );
    let [outer_dst, outer_src, inner_dst, inner_src] =
        [1, 2, 3, 4].map(|i| MacAddr([2, 0, 0, 0, 0, i]));
    let template = Template::builder(a, b).ethernet(outer_dst, outer_src);
    let template = template
        .vxlan(Vni::new(42).unwrap(), inner_dst, inner_src)
        .unwrap();
    let mut bytes = std::vec![0; template.len()];
    let checksum = OuterChecksum::Inner(checksum::sum(&PING));
    let stamp = Stamp {
        checksum,
        ..Stamp::new(EtherType::IPV4, PING.len())
    };
    template.stamp(&mut bytes, &stamp).unwrap();
    bytes.extend(PING);
    bytes
}

#[test]
fn tunnels_nest() {
    assert_eq!(
        Pretty::ethernet(&vxlan_ping()).to_string(),
        "02:00:00:00:00:02 > 02:00:00:00:00:01, 192.168.77.1 > 192.168.77.2, ttl 64, \
         udp 49152 > 4789, vxlan 42 | \
         02:00:00:00:00:04 > 02:00:00:00:00:03, 10.42.1.1 > 10.42.2.1, ttl 64, \
         icmp echo request, 0 bytes"
    );
}

#[test]
fn icmp_errors_show_what_they_are_about() {
    let error = Icmpv4Error::FragmentationNeeded { mtu: 1450 };
    let header = icmpv4::error_header(error, "10.42.1.254".parse().unwrap(), &PING).unwrap();
    assert_eq!(
        Pretty::ip(&[&header[..], &PING].concat()).to_string(),
        "10.42.1.254 > 10.42.1.1, ttl 64, tos 0xc0, icmp type 3 code 4, mtu 1450, about | \
         10.42.1.1 > 10.42.2.1, ttl 64, icmp echo request, 0 bytes"
    );
}

#[test]
fn damage_shows() {
    let mut bytes = vxlan_ping();
    bytes[24] ^= 1;
    bytes[40] ^= 1;
    let line = Pretty::ethernet(&bytes).to_string();
    assert!(
        line.contains("bad ip cksum") && line.contains("bad udp cksum"),
        "{line}"
    );
}

#[test]
fn every_prefix_prints_one_line() {
    let bytes = vxlan_ping();
    for len in 0..bytes.len() {
        let line = Pretty::ethernet(&bytes[..len]).to_string();
        assert!(
            line.contains("truncated") && !line.contains('\n'),
            "{len}: {line}"
        );
    }
}

#[test]
fn nesting_ends() {
    let header = [
        0x45, 0, 0xff, 0xff, 0, 0, 0, 0, 64, 4, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
    ];
    let line = format!("{}", Pretty::ip(&header.repeat(3000)));
    assert_eq!(line.matches("ipip").count(), usize::from(DEPTH_MAX));
    assert!(line.ends_with("bytes"), "{line}");
}
