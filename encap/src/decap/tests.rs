//! The entry against the parsers behind it. Each encapsulation's own bytes are tested beside it.

use std::string::ToString;

use super::*;

const VXLAN: [u8; 8] = [0x08, 0, 0, 0, 0, 0, 42, 0];
const GENEVE: [u8; 8] = [0, 0, 0x65, 0x58, 0, 0, 42, 0];

#[test]
fn ports_and_numbers_announce() {
    let port = Announced::by_udp_port;
    assert_eq!(
        (port(4789), port(8472)),
        (Some(Announced::Vxlan), Some(Announced::Vxlan))
    );
    assert_eq!((port(6081), port(53)), (Some(Announced::Geneve), None));
    let number = |number| Announced::by_protocol(IpProtocol(number));
    assert_eq!(number(4), Some(Announced::Ip(IpVersion::V4)));
    assert_eq!(number(41), Some(Announced::Ip(IpVersion::V6)));
    assert_eq!((number(47), number(17)), (Some(Announced::Gre), None));
}

#[test]
fn the_same_bytes_are_what_is_announced() {
    let inner = [0x60; 14];
    let vxlan = [&VXLAN[..], &inner].concat();
    let vni = Vni::new(42).unwrap();
    let found = Announced::Vxlan.decap(&vxlan).unwrap();
    assert_eq!((found.key, found.offset), (TunnelKey::Vxlan(vni), 8));
    // As Geneve these are options that end behind the datagram.
    assert_eq!(Announced::Geneve.decap(&vxlan), Err(DecapError::Truncated));
    let geneve = [&GENEVE[..], &inner].concat();
    let found = Announced::Geneve.decap(&geneve).unwrap();
    assert_eq!(
        (found.key, found.inner),
        (TunnelKey::Geneve(vni), InnerType::Ethernet)
    );
    assert_eq!(Announced::Vxlan.decap(&geneve), Err(DecapError::Header));
    let found = Announced::Ip(IpVersion::V6).decap(&inner).unwrap();
    assert_eq!((found.key, found.offset), (TunnelKey::Ipip, 0));
    assert_eq!(found.inner, InnerType::Ip(IpVersion::V6));
    let mismatch = Announced::Ip(IpVersion::V4).decap(&inner);
    assert_eq!(mismatch, Err(DecapError::InnerProtocol));
}

#[test]
fn a_frame_has_a_header() {
    let vxlan = [&VXLAN[..], &[0; 14]].concat();
    for len in 0..vxlan.len() {
        assert_eq!(
            Announced::Vxlan.decap(&vxlan[..len]),
            Err(DecapError::Truncated)
        );
    }
    assert!(Announced::Vxlan.decap(&vxlan).is_ok());
}

#[test]
fn keys_print() {
    let vni = Vni::new(7).unwrap();
    for (key, text) in [
        (TunnelKey::Vxlan(vni), "vxlan 7"),
        (TunnelKey::Geneve(vni), "geneve 7"),
        (TunnelKey::Gre(Some(GreKey(9))), "gre 9"),
        (TunnelKey::Gre(None), "gre"),
        (TunnelKey::Ipip, "ipip"),
    ] {
        assert_eq!(key.to_string(), text);
    }
}
