//! Wire formats and header templates of the Ringlay overlay dataplane.
//!
//! # Layers
//!
//! - *Views* ([`EthernetFrame`], [`Ipv4Packet`], [`Ipv6Packet`], [`UdpPacket`], [`TcpPacket`],
//!   [`Icmpv4Packet`], [`Icmpv6Packet`], [`VxlanPacket`]) wrap any `AsRef<[u8]>` and read fields in
//!   place; setters exist where the buffer is `AsMut<[u8]>`.
//! - *Reprs* ([`EthernetRepr`], [`ArpRepr`], [`Ipv4Repr`], [`Ipv6Repr`], [`UdpRepr`],
//!   [`VxlanHeader`], [`NeighbourSolicit`], [`NeighbourAdvert`]) are small validated values that
//!   are parsed from bytes and emitted to bytes.
//! - *Templates* ([`Template`]) are outer headers built once for a next hop and stamped onto every
//!   packet sent there.
//! - [`checksum`] and [`flow`] are the arithmetic the above share; [`pretty`] prints any bytes.
//!
//! # Contract
//!
//! - `new_checked` and `parse` take any bytes and never panic. After `new_checked` succeeded no
//!   accessor panics.
//! - `new_unchecked` skips the checks: accessors may then panic, but never read out of bounds.
//! - `emit` writes exactly the header length it documents and panics only if the buffer is shorter.
//! - A view shows whatever is on the wire; a repr holds only what makes sense.
//! - Integers are in host order at the API and in network order in the bytes. All checksums are
//!   those of RFC 1071.
//! - Reserved bits are zero on send and ignored on receipt, unless the protocol says otherwise.
//!
//! There is no IO, no clock, no allocation and no unsafe code here. The crate does not reassemble
//! fragments, keep neighbours, choose routes or limit rates: that is the dataplane's work.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

mod bytes;

pub mod arp;
pub mod checksum;
pub mod coalesce;
pub mod decap;
pub mod df;
pub mod dscp;
pub mod ecn;
pub mod encap_limit;
pub mod encapsulation;
pub mod error;
pub mod eth;
pub mod flow;
pub mod fragment;
pub mod geneve;
pub mod gre;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipip;
pub mod ipv4;
pub mod ipv6;
pub mod mac;
pub mod ndisc;
pub mod plain;
pub mod preset;
pub mod pretty;
pub mod propagation;
pub mod segment;
pub mod tcp;
pub mod template;
pub mod ttl;
pub mod udp;
pub mod vni;
pub mod vxlan;
pub mod zero_checksum;

pub use crate::{
    arp::{ArpOperation, ArpRepr},
    checksum::Sum,
    decap::{Announced, Decap, DecapError, InnerType, TunnelKey},
    df::DfPolicy,
    dscp::{Dscp, DscpPolicy},
    ecn::{Ecn, EcnMode},
    encapsulation::Encapsulation,
    error::ParseError,
    eth::{EtherType, EthernetFrame, EthernetRepr},
    geneve::{GeneveHeader, GeneveOption, GenevePacket, OptionKind},
    gre::{GreHeader, GreKey, GrePacket},
    icmpv4::{Icmpv4Error, Icmpv4Packet},
    icmpv6::{Icmpv6Error, Icmpv6Packet},
    ip::IpProtocol,
    ipv4::{Ipv4Packet, Ipv4Repr},
    ipv6::{Ipv6Packet, Ipv6Repr},
    mac::MacAddr,
    ndisc::{NeighbourAdvert, NeighbourSolicit},
    preset::Preset,
    pretty::Pretty,
    propagation::{CongestionDrop, IpFields, Propagation},
    tcp::{TcpFlags, TcpPacket},
    template::{OuterChecksum, Stamp, Template, TemplateBuilder},
    ttl::TtlPolicy,
    udp::{UdpPacket, UdpRepr},
    vni::Vni,
    vxlan::{VxlanHeader, VxlanPacket},
    zero_checksum::UdpChecksum,
};
