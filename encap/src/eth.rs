//! Ethernet II frames; 802.1Q and 802.1ad tags are skipped.
//!
//! Does not keep, add or remove VLAN tags, and has no frame check sequence: the device has it.

use core::fmt;

use crate::{
    MacAddr, ParseError,
    bytes::{array, put, put_u16, u16_at},
};

/// Length in bytes of an untagged Ethernet II header.
pub const HEADER_LEN: usize = 14;
/// Length in bytes of one VLAN tag.
pub const TAG_LEN: usize = 4;
/// How many VLAN tags are skipped: an 802.1ad service tag and an 802.1Q customer tag.
pub const TAGS_MAX: usize = 2;

mod field {
    pub(super) const DST: usize = 0;
    pub(super) const SRC: usize = 6;
    pub(super) const ETHERTYPE: usize = 12;
}

/// An EtherType (IEEE 802 Numbers); below 0x600 it is the length of an 802.3 frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// Transparent Ethernet bridging, as in GRE and Geneve.
    pub const BRIDGED: Self = Self(0x6558);
    /// 802.1Q customer VLAN tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// 802.1ad service VLAN tag.
    pub const SERVICE_VLAN: Self = Self(0x88a8);

    /// Whether a VLAN tag follows.
    #[inline]
    pub const fn is_vlan(self) -> bool {
        matches!(self, Self::VLAN | Self::SERVICE_VLAN)
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4 => f.write_str("ipv4"),
            Self::ARP => f.write_str("arp"),
            Self::BRIDGED => f.write_str("bridged"),
            Self::VLAN => f.write_str("vlan"),
            Self::IPV6 => f.write_str("ipv6"),
            Self::SERVICE_VLAN => f.write_str("service-vlan"),
            Self(other) => write!(f, "ethertype-{other:#06x}"),
        }
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A view of an Ethernet II frame.
#[derive(Debug, Clone, Copy)]
pub struct EthernetFrame<T> {
    buffer: T,
    payload_offset: usize,
}

impl<T: AsRef<[u8]>> EthernetFrame<T> {
    /// Wraps `buffer`, having found the end of its VLAN tags.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if it ends within the header or a tag.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let payload_offset = payload_offset(buffer.as_ref())?;
        Ok(Self {
            buffer,
            payload_offset,
        })
    }

    /// Destination address.
    #[inline]
    pub fn dst(&self) -> MacAddr {
        MacAddr(array(self.buffer.as_ref(), field::DST))
    }

    /// Source address.
    #[inline]
    pub fn src(&self) -> MacAddr {
        MacAddr(array(self.buffer.as_ref(), field::SRC))
    }

    /// Type of the payload: what stands after at most [`TAGS_MAX`] VLAN tags.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(u16_at(self.buffer.as_ref(), self.payload_offset - 2))
    }

    /// Identifier of the outermost VLAN tag, if there is one.
    #[inline]
    pub fn vlan(&self) -> Option<u16> {
        let tagged = self.payload_offset > HEADER_LEN;
        tagged.then(|| u16_at(self.buffer.as_ref(), HEADER_LEN) & 0x0fff)
    }

    /// Where the payload begins, in bytes from the start of the frame.
    #[inline]
    pub fn payload_offset(&self) -> usize {
        self.payload_offset
    }

    /// What follows the header and tags, padding included.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer.as_ref()[self.payload_offset..]
    }

    /// The buffer.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> EthernetFrame<T> {
    /// Sets the destination address.
    #[inline]
    pub fn set_dst(&mut self, mac: MacAddr) {
        put(self.buffer.as_mut(), field::DST, mac.0);
    }

    /// Sets the source address.
    #[inline]
    pub fn set_src(&mut self, mac: MacAddr) {
        put(self.buffer.as_mut(), field::SRC, mac.0);
    }

    /// Sets the type of the payload, after any VLAN tags.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: EtherType) {
        put_u16(self.buffer.as_mut(), self.payload_offset - 2, ethertype.0);
    }

    /// What follows the header and tags, to be written to.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[self.payload_offset..]
    }
}

/// The offset past the header and at most [`TAGS_MAX`] tags.
#[inline]
fn payload_offset(frame: &[u8]) -> Result<usize, ParseError> {
    if frame.len() < HEADER_LEN {
        return Err(ParseError::Truncated);
    }
    let mut offset = HEADER_LEN;
    while EtherType(u16_at(frame, offset - 2)).is_vlan() && offset < HEADER_LEN + TAGS_MAX * TAG_LEN
    {
        offset += TAG_LEN;
        if frame.len() < offset {
            return Err(ParseError::Truncated);
        }
    }
    Ok(offset)
}

/// An untagged Ethernet II header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EthernetRepr {
    /// Destination address.
    pub dst: MacAddr,
    /// Source address.
    pub src: MacAddr,
    /// Type of the payload.
    pub ethertype: EtherType,
}

impl EthernetRepr {
    /// Reads the header of `frame`, and returns it with the offset of the payload. VLAN tags are
    /// skipped and forgotten.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if it ends within the header or a tag.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(Self, usize), ParseError> {
        let view = EthernetFrame::new_checked(frame)?;
        let repr = Self {
            dst: view.dst(),
            src: view.src(),
            ethertype: view.ethertype(),
        };
        Ok((repr, view.payload_offset()))
    }

    /// Writes the [`HEADER_LEN`] bytes of the untagged header.
    ///
    /// # Panics
    /// If `out` is shorter.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        put(out, field::DST, self.dst.0);
        put(out, field::SRC, self.src.0);
        put_u16(out, field::ETHERTYPE, self.ethertype.0);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const DST: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
    const SRC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];

    fn frame(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [DST, SRC].concat();
        for tag in tags {
            bytes.extend(tag.to_be_bytes());
            bytes.extend([0x20, 0x2a]);
        }
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn tags_are_skipped() {
        for (tags, offset) in [(&[][..], 14), (&[0x8100], 18), (&[0x88a8, 0x8100], 22)] {
            let bytes = frame(tags, 0x0800, b"abc");
            let view = EthernetFrame::new_checked(&bytes).unwrap();
            assert_eq!(view.dst(), MacAddr(DST));
            assert_eq!(view.src(), MacAddr(SRC));
            assert_eq!(view.ethertype(), EtherType::IPV4);
            assert_eq!(view.payload_offset(), offset);
            assert_eq!(view.payload(), b"abc");
            assert_eq!(view.vlan(), (offset > 14).then_some(42));
        }
    }

    #[test]
    fn a_third_tag_is_left_standing() {
        let bytes = frame(&[0x88a8, 0x8100, 0x8100], 0x0800, b"abc");
        let (repr, offset) = EthernetRepr::parse(&bytes).unwrap();
        assert_eq!((repr.ethertype, offset), (EtherType::VLAN, 22));
    }

    #[test]
    fn truncation_is_an_error_at_every_length() {
        let bytes = frame(&[0x88a8, 0x8100], 0x86dd, b"");
        for len in 0..bytes.len() {
            let result = EthernetRepr::parse(&bytes[..len]);
            assert_eq!(result, Err(ParseError::Truncated), "{len}");
        }
        assert!(EthernetRepr::parse(&bytes).is_ok());
    }

    #[test]
    fn setters_write_behind_tags() {
        let mut bytes = frame(&[0x8100], 0x0800, b"abc");
        let mut view = EthernetFrame::new_checked(&mut bytes[..]).unwrap();
        view.set_dst(MacAddr(SRC));
        view.set_src(MacAddr(DST));
        view.set_ethertype(EtherType::IPV6);
        view.payload_mut()[0] = b'x';
        let mut expected = frame(&[0x8100], 0x86dd, b"xbc");
        expected[..12].rotate_left(6);
        assert_eq!(bytes, expected);
    }
}
