//! UDP (RFC 768).
//!
//! Does not decide whether a missing checksum is acceptable: RFC 6935 lets tunnels over IPv6 say.

use crate::{
    ParseError,
    bytes::{put_u16, u16_at},
    checksum::{self, Sum},
};

/// Length in bytes of a UDP header.
pub const HEADER_LEN: usize = 8;

mod field {
    pub(super) const SRC_PORT: usize = 0;
    pub(super) const DST_PORT: usize = 2;
    pub(super) const LEN: usize = 4;
    pub(super) const CHECKSUM: usize = 6;
}

/// A view of a UDP datagram.
#[derive(Debug, Clone, Copy)]
pub struct UdpPacket<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> UdpPacket<T> {
    /// Wraps `buffer` unchecked: accessors may panic.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Wraps a whole datagram. The buffer may be longer than the datagram.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if the buffer is shorter than the header or the datagram,
    /// [`ParseError::Length`] if the datagram claims to be shorter than its header.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        let len = usize::from(u16_at(data, field::LEN));
        if len < HEADER_LEN {
            return Err(ParseError::Length);
        }
        if data.len() < len {
            return Err(ParseError::Truncated);
        }
        Ok(Self { buffer })
    }

    #[inline]
    fn data(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        u16_at(self.data(), field::SRC_PORT)
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        u16_at(self.data(), field::DST_PORT)
    }

    /// Length of header and payload, in bytes: what the pseudo-header contains.
    #[inline]
    pub fn length(&self) -> u16 {
        u16_at(self.data(), field::LEN)
    }

    /// Checksum; zero if the sender computed none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.data(), field::CHECKSUM)
    }

    /// Whether the checksum is right, given the sum of the pseudo-header. A missing checksum is
    /// not: look at [`checksum`](Self::checksum) first.
    #[inline]
    pub fn verify_checksum(&self, pseudo_header: Sum) -> bool {
        let Some(datagram) = self.data().get(..usize::from(self.length())) else {
            return false;
        };
        self.checksum() != 0 && (pseudo_header + checksum::sum(datagram)).is_valid()
    }

    /// What follows the header, without padding.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.data()
            .get(HEADER_LEN..usize::from(self.length()))
            .unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> UdpPacket<T> {
    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut()
    }

    /// Sets the source port. The checksum is not updated.
    #[inline]
    pub fn set_src_port(&mut self, port: u16) {
        put_u16(self.data_mut(), field::SRC_PORT, port);
    }

    /// Sets the destination port. The checksum is not updated.
    #[inline]
    pub fn set_dst_port(&mut self, port: u16) {
        put_u16(self.data_mut(), field::DST_PORT, port);
    }

    /// Sets the length of header and payload. The checksum is not updated.
    #[inline]
    pub fn set_length(&mut self, len: u16) {
        put_u16(self.data_mut(), field::LEN, len);
    }

    /// Sets the checksum as given; zero says that there is none.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.data_mut(), field::CHECKSUM, checksum);
    }

    /// Computes and sets the checksum, given the sum of the pseudo-header.
    ///
    /// # Panics
    /// If the length field exceeds the buffer, which `new_checked` excludes.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo_header: Sum) {
        self.set_checksum(0);
        let sum = pseudo_header + checksum::sum(&self.data()[..usize::from(self.length())]);
        self.set_checksum(nonzero(sum.checksum()));
    }

    /// What follows the header, to be written to.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = usize::from(self.length());
        self.data_mut().get_mut(HEADER_LEN..end).unwrap_or_default()
    }
}

/// The checksum as transmitted: zero, which would say that there is none, is sent as 0xffff, which
/// is the same number (RFC 768).
#[inline]
pub const fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// A UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UdpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Length of the payload in bytes.
    pub payload_len: u16,
}

impl UdpRepr {
    /// The longest payload that the length field can express.
    pub const PAYLOAD_MAX: u16 = u16::MAX - HEADER_LEN as u16;

    /// Reads the header that `datagram` begins with. The checksum is not verified.
    ///
    /// # Errors
    /// Those of [`UdpPacket::new_checked`].
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        let view = UdpPacket::new_checked(datagram)?;
        Ok(Self {
            src_port: view.src_port(),
            dst_port: view.dst_port(),
            payload_len: view.payload().len() as u16,
        })
    }

    /// Writes the [`HEADER_LEN`] bytes of the header, without a checksum: see
    /// [`UdpPacket::fill_checksum`].
    ///
    /// # Panics
    /// If `out` is shorter, or if `payload_len` exceeds [`Self::PAYLOAD_MAX`].
    pub fn emit(&self, out: &mut [u8]) {
        assert!(
            self.payload_len <= Self::PAYLOAD_MAX,
            "payload too long for UDP"
        );
        put_u16(out, field::SRC_PORT, self.src_port);
        put_u16(out, field::DST_PORT, self.dst_port);
        put_u16(out, field::LEN, self.payload_len + HEADER_LEN as u16);
        put_u16(out, field::CHECKSUM, 0);
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::IpProtocol;

    const SRC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
    /// A datagram from 127.0.0.1 to itself.
    const DATAGRAM: [u8; 11] = [0, 9, 0, 53, 0, 11, 0x3d, 0x35, b'a', b'b', b'c'];

    fn pseudo(len: u16) -> Sum {
        checksum::pseudo_header_v4(SRC, SRC, IpProtocol::UDP, len)
    }

    #[test]
    fn reads_every_field() {
        let view = UdpPacket::new_checked(DATAGRAM).unwrap();
        assert_eq!(
            (view.src_port(), view.dst_port(), view.length()),
            (9, 53, 11)
        );
        assert_eq!(view.payload(), b"abc");
        assert!(view.verify_checksum(pseudo(11)));
        assert!(!view.verify_checksum(pseudo(12)));
    }

    #[test]
    fn emits_what_it_parses() {
        let repr = UdpRepr::parse(&DATAGRAM).unwrap();
        assert_eq!(repr.payload_len, 3);
        let mut out = DATAGRAM;
        repr.emit(&mut out);
        let mut view = UdpPacket::new_checked(&mut out[..]).unwrap();
        assert!(
            !view.verify_checksum(pseudo(11)),
            "a missing checksum is not a valid one"
        );
        view.fill_checksum(pseudo(11));
        assert_eq!(out, DATAGRAM);
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_ones() {
        let mut bytes = [0, 9, 0, 53, 0, 10, 0, 0, 0, 0];
        let mut view = UdpPacket::new_checked(&mut bytes[..]).unwrap();
        view.fill_checksum(pseudo(10));
        let checksum = view.checksum();
        view.payload_mut().copy_from_slice(&checksum.to_be_bytes());
        view.fill_checksum(pseudo(10));
        assert_eq!(view.checksum(), 0xffff);
        assert!(view.verify_checksum(pseudo(10)));
        // Even here, where zero would be the same number, it says that there is none.
        view.set_checksum(0);
        assert!(!view.verify_checksum(pseudo(10)));
    }

    #[test]
    fn damage_is_named() {
        for len in 0..DATAGRAM.len() {
            assert_eq!(
                UdpRepr::parse(&DATAGRAM[..len]),
                Err(ParseError::Truncated),
                "{len}"
            );
        }
        let mut short = DATAGRAM;
        short[5] = 7;
        assert_eq!(UdpRepr::parse(&short), Err(ParseError::Length));
    }
}
