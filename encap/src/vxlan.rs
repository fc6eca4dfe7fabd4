//! VXLAN (RFC 7348, section 5).
//!
//! Does not look at the inner frame, and ignores the extensions that reuse reserved bits (group
//! policy, remote checksum offload, GPE).

use crate::{
    EtherType, MacAddr, ParseError, Template, TemplateBuilder, Vni,
    bytes::{array, put},
    decap::{Decap, DecapError, TunnelKey},
    template::{Carrier, Inner, TemplateError, TunnelHeader},
};

/// Length in bytes of a VXLAN header.
pub const HEADER_LEN: usize = 8;
/// The UDP destination port that IANA assigned. Linux's own default is [`UDP_PORT_LINUX`].
pub const UDP_PORT: u16 = 4789;
/// The UDP destination port of Linux when none is configured; flannel and Cilium use it.
pub const UDP_PORT_LINUX: u16 = 8472;

mod field {
    pub(super) const FLAGS: usize = 0;
    pub(super) const VNI: usize = 4;
}

/// The I flag: the VNI is valid.
const FLAG_VNI: u8 = 0x08;

/// A view of a VXLAN header and the Ethernet frame after it.
#[derive(Debug, Clone, Copy)]
pub struct VxlanPacket<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> VxlanPacket<T> {
    /// Wraps `buffer`. Reserved bits may have any value (RFC 7348: ignored on receipt).
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if shorter than [`HEADER_LEN`], [`ParseError::Malformed`] if the
    /// I flag is not set.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        if data[field::FLAGS] & FLAG_VNI == 0 {
            return Err(ParseError::Malformed);
        }
        Ok(Self { buffer })
    }

    /// The network identifier.
    #[inline]
    pub fn vni(&self) -> Vni {
        Vni::from_be_bytes(array(self.buffer.as_ref(), field::VNI))
    }

    /// The inner Ethernet frame.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

/// A VXLAN header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VxlanHeader {
    /// The network identifier.
    pub vni: Vni,
}

impl VxlanHeader {
    /// Reads the header that `datagram` (a UDP payload) begins with.
    ///
    /// # Errors
    /// As [`VxlanPacket::new_checked`].
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        Ok(Self {
            vni: VxlanPacket::new_checked(datagram)?.vni(),
        })
    }

    /// Writes the [`HEADER_LEN`] bytes of the header, reserved bits zero.
    ///
    /// # Panics
    /// If `out` is shorter.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        put(out, 0, [0; HEADER_LEN]);
        out[field::FLAGS] = FLAG_VNI;
        put(out, field::VNI, self.vni.to_be_bytes());
    }
}

/// Recognises what `datagram`, a UDP payload, carries.
///
/// # Errors
/// [`DecapError`]
#[inline]
pub fn decap(datagram: &[u8]) -> Result<Decap, DecapError> {
    let vni = VxlanPacket::new_checked(datagram)?.vni();
    let protocol = EtherType::BRIDGED;
    Decap::new(TunnelKey::Vxlan(vni), datagram, HEADER_LEN, protocol)
}

/// Where the inner frame begins, and that it is one.
#[inline]
pub(crate) const fn glance(_datagram: &[u8]) -> Option<(usize, EtherType)> {
    Some((HEADER_LEN, EtherType::BRIDGED))
}

impl TunnelHeader for VxlanHeader {
    fn carrier(&self) -> Carrier {
        Carrier::Udp(UDP_PORT)
    }

    fn len(&self) -> usize {
        HEADER_LEN
    }

    /// There is none: inside is Ethernet.
    fn protocol_offset(&self) -> Option<usize> {
        None
    }

    fn emit(&self, _protocol: EtherType, out: &mut [u8]) {
        self.emit(out);
    }
}

impl TemplateBuilder {
    /// A template for IP packets of a routed network, in VXLAN: they get an inner Ethernet header.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn vxlan(
        &self,
        vni: Vni,
        inner_dst: MacAddr,
        inner_src: MacAddr,
    ) -> Result<Template, TemplateError> {
        let inner = Inner::Ethernet {
            dst: inner_dst,
            src: inner_src,
        };
        self.build(&VxlanHeader { vni }, inner)
    }

    /// A template for Ethernet frames of a bridged network, in VXLAN.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn vxlan_bridged(&self, vni: Vni) -> Result<Template, TemplateError> {
        self.build(&VxlanHeader { vni }, Inner::Frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VNI_42: [u8; 10] = [0x08, 0, 0, 0, 0, 0, 42, 0, b'a', b'b'];

    #[test]
    fn parses_and_emits() {
        let view = VxlanPacket::new_checked(&VNI_42).unwrap();
        assert_eq!(view.vni().value(), 42);
        assert_eq!(view.payload(), b"ab");
        let mut out = [0xff; HEADER_LEN];
        VxlanHeader::parse(&VNI_42).unwrap().emit(&mut out);
        assert_eq!(out, VNI_42[..8]);
    }

    #[test]
    fn reserved_bits_are_ignored_on_receipt() {
        let header = VxlanHeader::parse(&[0xff, 0xff, 0xff, 0xff, 0, 0, 42, 0xff]);
        assert_eq!(header.map(|header| header.vni.value()), Ok(42));
    }

    #[test]
    fn the_i_flag_is_required() {
        let header = VxlanHeader::parse(&[0xf7, 0, 0, 0, 0, 0, 42, 0]);
        assert_eq!(header, Err(ParseError::Malformed));
    }

    #[test]
    fn truncation_is_an_error() {
        for len in 0..HEADER_LEN {
            assert_eq!(
                VxlanHeader::parse(&VNI_42[..len]),
                Err(ParseError::Truncated)
            );
        }
    }
}
