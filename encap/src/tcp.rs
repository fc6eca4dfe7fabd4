//! TCP headers (RFC 9293), as far as segmentation and coalescing need them.
//!
//! There is no state machine, and options are opaque bytes.

use core::fmt;

use crate::{
    ParseError,
    bytes::{put_u16, put_u32, u16_at, u32_at},
    checksum::{self, Sum},
};

/// Length in bytes of a header without options.
pub const HEADER_LEN: usize = 20;

mod field {
    pub(super) const SRC_PORT: usize = 0;
    pub(super) const DST_PORT: usize = 2;
    pub(super) const SEQ: usize = 4;
    pub(super) const ACK: usize = 8;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WINDOW: usize = 14;
    pub(super) const CHECKSUM: usize = 16;
    pub(super) const URGENT: usize = 18;
}

/// The control bits of a TCP header, CWR (most significant) to FIN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// Whether all flags of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags of either.
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags less those of `other`.
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for TcpFlags {
    /// As tcpdump prints them: `[S.]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (bit, letter) in ["F", "S", "R", "P", ".", "U", "E", "W"]
            .into_iter()
            .enumerate()
        {
            if self.0 & (1 << bit) != 0 {
                f.write_str(letter)?;
            }
        }
        f.write_str("]")
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A view of a TCP segment.
#[derive(Debug, Clone, Copy)]
pub struct TcpPacket<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> TcpPacket<T> {
    /// Wraps `buffer` unchecked: accessors may panic.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Wraps a segment, which must be the whole payload of the IP packet: TCP has no length field.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if the buffer ends within the header, [`ParseError::Length`] if
    /// the header claims less than 20 bytes.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        let header_len = usize::from(data[field::DATA_OFFSET] >> 4) * 4;
        if header_len < HEADER_LEN {
            return Err(ParseError::Length);
        }
        if data.len() < header_len {
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

    /// Sequence number.
    #[inline]
    pub fn seq(&self) -> u32 {
        u32_at(self.data(), field::SEQ)
    }

    /// Acknowledgment number.
    #[inline]
    pub fn ack(&self) -> u32 {
        u32_at(self.data(), field::ACK)
    }

    /// Length of the header with options, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.data()[field::DATA_OFFSET] >> 4) * 4
    }

    /// The four bits between data offset and flags, the lowest of which is Accurate ECN's AE.
    #[inline]
    pub fn reserved(&self) -> u8 {
        self.data()[field::DATA_OFFSET] & 0x0f
    }

    /// Control bits.
    #[inline]
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.data()[field::FLAGS])
    }

    /// Window, unscaled.
    #[inline]
    pub fn window(&self) -> u16 {
        u16_at(self.data(), field::WINDOW)
    }

    /// Checksum.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.data(), field::CHECKSUM)
    }

    /// Urgent pointer.
    #[inline]
    pub fn urgent(&self) -> u16 {
        u16_at(self.data(), field::URGENT)
    }

    /// The options with their padding.
    #[inline]
    pub fn options(&self) -> &[u8] {
        self.data()
            .get(HEADER_LEN..self.header_len())
            .unwrap_or_default()
    }

    /// Whether the checksum is right, given the sum of the pseudo-header.
    #[inline]
    pub fn verify_checksum(&self, pseudo_header: Sum) -> bool {
        (pseudo_header + checksum::sum(self.data())).is_valid()
    }

    /// What follows the header.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.data().get(self.header_len()..).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> TcpPacket<T> {
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

    /// Sets the sequence number. The checksum is not updated.
    #[inline]
    pub fn set_seq(&mut self, seq: u32) {
        put_u32(self.data_mut(), field::SEQ, seq);
    }

    /// Sets the acknowledgment number. The checksum is not updated.
    #[inline]
    pub fn set_ack(&mut self, ack: u32) {
        put_u32(self.data_mut(), field::ACK, ack);
    }

    /// Sets the control bits. The checksum is not updated.
    #[inline]
    pub fn set_flags(&mut self, flags: TcpFlags) {
        self.data_mut()[field::FLAGS] = flags.0;
    }

    /// Sets the window. The checksum is not updated.
    #[inline]
    pub fn set_window(&mut self, window: u16) {
        put_u16(self.data_mut(), field::WINDOW, window);
    }

    /// Sets the checksum as given.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.data_mut(), field::CHECKSUM, checksum);
    }

    /// Computes and sets the checksum, given the sum of the pseudo-header.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo_header: Sum) {
        self.set_checksum(0);
        let sum = pseudo_header + checksum::sum(self.data());
        self.set_checksum(sum.checksum());
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::string::ToString;

    use super::*;
    use crate::IpProtocol;

    /// A SYN with MSS, SACK, timestamps and window scale; the checksum is missing.
    const SYN: [u8; 40] = [
        0xc3, 0x50, 0x14, 0x51, 0x12, 0x34, 0x56, 0x78, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfd,
        0x5c, 0x00, 0x00, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a, 0x5f, 0x0e,
        0x29, 0x1c, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07,
    ];

    fn pseudo() -> Sum {
        let (src, dst) = (Ipv4Addr::new(10, 42, 1, 1), Ipv4Addr::new(10, 42, 2, 1));
        checksum::pseudo_header_v4(src, dst, IpProtocol::TCP, 40)
    }

    #[test]
    fn reads_every_field() {
        let view = TcpPacket::new_checked(SYN).unwrap();
        assert_eq!((view.src_port(), view.dst_port()), (50000, 5201));
        assert_eq!((view.seq(), view.ack()), (0x1234_5678, 0));
        assert_eq!((view.header_len(), view.reserved()), (40, 0));
        assert_eq!(
            (view.flags(), view.window(), view.urgent()),
            (TcpFlags::SYN, 0xfd5c, 0)
        );
        assert_eq!(view.options(), &SYN[20..]);
        assert_eq!(view.payload(), b"");
    }

    #[test]
    fn setters_and_checksum() {
        let mut bytes = SYN;
        let mut view = TcpPacket::new_checked(&mut bytes[..]).unwrap();
        view.set_src_port(1);
        view.set_dst_port(2);
        view.set_seq(3);
        view.set_ack(4);
        view.set_flags(TcpFlags::ACK.union(TcpFlags::PSH));
        view.set_window(5);
        view.fill_checksum(pseudo());
        assert!(view.verify_checksum(pseudo()));
        assert_eq!(
            (view.src_port(), view.dst_port(), view.seq(), view.ack()),
            (1, 2, 3, 4)
        );
        assert_eq!(
            (view.flags().to_string().as_str(), view.window()),
            ("[P.]", 5)
        );
        view.set_seq(4);
        assert!(!view.verify_checksum(pseudo()));
    }

    #[test]
    fn flags_combine() {
        let flags = TcpFlags::SYN.union(TcpFlags::ACK);
        assert!(flags.contains(TcpFlags::ACK) && !flags.contains(TcpFlags(0x11)));
        assert!(flags.intersects(TcpFlags(0x11)) && !flags.intersects(TcpFlags::FIN));
        assert_eq!(flags.without(TcpFlags::ACK), TcpFlags::SYN);
    }

    #[test]
    fn damage_is_named() {
        let check = |bytes: &[u8]| TcpPacket::new_checked(bytes).map(|_| ()).unwrap_err();
        for len in 0..SYN.len() {
            assert_eq!(check(&SYN[..len]), ParseError::Truncated, "{len}");
        }
        let mut short = SYN;
        short[12] = 0x40;
        assert_eq!(check(&short), ParseError::Length);
    }
}
