//! An echo request, and damaged copies of it.

use std::vec::Vec;

use super::*;

/// An echo request without data from 10.42.1.1 to 10.42.2.1.
const PING: [u8; 28] = [
    0x45, 0x00, 0x00, 0x1c, 0xa6, 0xec, 0x40, 0x00, 0x40, 0x01, 0x7c, 0x9f, 0x0a, 0x2a, 0x01, 0x01,
    0x0a, 0x2a, 0x02, 0x01, 0x08, 0x00, 0xf7, 0xff, 0x00, 0x00, 0x00, 0x00,
];

#[test]
fn reads_every_field() {
    let packet = Ipv4Packet::new_checked(PING).unwrap();
    assert_eq!(
        (packet.version(), packet.header_len(), packet.total_len()),
        (4, 20, 28)
    );
    assert_eq!((packet.dscp(), packet.ecn()), (0, Ecn::NotEct));
    assert_eq!((packet.ident(), packet.ttl()), (0xa6ec, 64));
    assert!(packet.dont_fragment() && !packet.more_fragments() && !packet.is_fragment());
    assert_eq!(packet.fragment_offset(), 0);
    assert_eq!(packet.protocol(), IpProtocol::ICMP);
    assert_eq!(packet.src_addr(), Ipv4Addr::new(10, 42, 1, 1));
    assert_eq!(packet.dst_addr(), Ipv4Addr::new(10, 42, 2, 1));
    assert!(packet.verify_checksum());
    assert_eq!(packet.payload(), &PING[20..]);
}

#[test]
fn repr_round_trips() {
    let (repr, offset) = Ipv4Repr::parse(&PING).unwrap();
    assert_eq!((repr.payload_len, offset), (8, 20));
    let mut out = [0xff; 20];
    repr.emit(&mut out);
    assert_eq!(out, PING[..20]);
}

#[test]
fn padding_is_not_payload() {
    let mut padded = PING.to_vec();
    padded.extend([0; 18]);
    let packet = Ipv4Packet::new_checked(&padded).unwrap();
    assert_eq!(packet.payload(), &PING[20..]);
}

#[test]
fn damage_is_named() {
    let with = |at: usize, byte: u8| {
        let mut damaged = PING;
        damaged[at] = byte;
        damaged
    };
    let check = |bytes: &[u8]| Ipv4Packet::new_checked(bytes).map(|_| ()).unwrap_err();
    assert_eq!(check(&with(0, 0x65)), ParseError::Version);
    assert_eq!(check(&with(0, 0x44)), ParseError::Length);
    assert_eq!(
        check(&with(0, 0x48)),
        ParseError::Truncated,
        "options beyond the buffer"
    );
    assert_eq!(
        check(&with(0, 0x46)[..24]),
        ParseError::Truncated,
        "total length beyond it"
    );
    assert_eq!(check(&with(3, 19)), ParseError::Length);
    assert_eq!(check(&with(2, 1)), ParseError::Truncated);
    assert_eq!(Ipv4Repr::parse(&with(8, 63)), Err(ParseError::Checksum));
    for len in 0..PING.len() {
        assert_eq!(check(&PING[..len]), ParseError::Truncated, "{len}");
    }
}

#[test]
fn a_repr_is_never_a_fragment() {
    for flags in [0x2000u16, 0x0001, 0x3fff] {
        let mut bytes = PING;
        put_u16(&mut bytes, field::FRAGMENT, flags);
        Ipv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
        assert_eq!(Ipv4Repr::parse(&bytes), Err(ParseError::Malformed));
        let packet = Ipv4Packet::new_checked(bytes).unwrap();
        assert!(packet.is_fragment());
        assert_eq!(packet.fragment_offset(), usize::from(flags & 0x1fff) * 8);
    }
}

#[test]
fn every_setter_keeps_the_checksum() {
    type Setter = fn(&mut Ipv4Packet<Vec<u8>>);
    let setters: [Setter; 9] = [
        |packet| packet.set_traffic_class(0xb8),
        |packet| packet.set_ecn(Ecn::Ce),
        |packet| packet.set_total_len(27),
        |packet| packet.set_ident(0xffff),
        |packet| packet.set_dont_fragment(false),
        |packet| packet.set_ttl(255),
        |packet| packet.set_src_addr(Ipv4Addr::new(255, 255, 0, 1)),
        |packet| packet.set_dst_addr(Ipv4Addr::new(0, 0, 0, 0)),
        |packet| packet.payload_mut()[0] = 1,
    ];
    for (index, set) in setters.iter().enumerate() {
        let mut packet = Ipv4Packet::new_checked(PING.to_vec()).unwrap();
        set(&mut packet);
        assert_ne!(packet.clone().into_inner(), PING, "{index}");
        assert!(packet.verify_checksum(), "{index}");
    }
}

#[test]
fn ttl_counts_down_to_zero_with_valid_checksums() {
    let mut packet = Ipv4Packet::new_checked(PING.to_vec()).unwrap();
    for expected in (0..64).rev() {
        assert_eq!(packet.decrement_ttl(), expected);
        assert!(packet.verify_checksum(), "ttl {expected}");
    }
    assert_eq!(packet.decrement_ttl(), 0);
    assert!(packet.verify_checksum());
}

#[test]
fn counting_down_changes_the_checksum_as_setting_does() {
    for ident in 0..=u16::MAX {
        let mut packet = Ipv4Packet::new_checked(PING.to_vec()).unwrap();
        packet.set_ident(ident);
        packet.fill_checksum();
        let mut counted = packet.clone();
        counted.decrement_ttl();
        packet.set_ttl(packet.ttl() - 1);
        assert_eq!(counted.into_inner(), packet.into_inner(), "{ident}");
    }
}
