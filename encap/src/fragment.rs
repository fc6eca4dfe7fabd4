//! Cutting an IPv4 packet into fragments (RFC 791 section 3.2), as the kernel's `ip_fragment` does,
//! without moving the payload: only headers are written.
//!
//! Whether a packet may be cut (the DF flag) is for the caller to say; nothing is reassembled.

use core::ops::Range;

use thiserror::Error;

use crate::{
    Ipv4Packet,
    bytes::put_u16,
    ipv4::{HEADER_LEN, MORE_FRAGMENTS},
};

#[cfg(test)]
mod tests;

/// Payloads of fragments begin at multiples of this many bytes.
const UNIT: usize = 8;

/// Kinds of options, and the flag of those that each fragment has (RFC 791 section 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const COPIED: u8 = 0x80;

/// Why a packet cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// It is no whole IPv4 packet, or a fragment that ends behind the longest packet there is.
    #[error("no whole IPv4 packet")]
    Malformed,
    /// Not even eight bytes fit behind its header.
    #[error("no room for payload")]
    NoRoom,
}

/// An IPv4 packet, and how it is to be cut.
///
/// Fragment `i` is the header that [`write_header`](Self::write_header) makes for it, followed by
/// the bytes of the packet at [`payload`](Self::payload); [`write_fragment`](Self::write_fragment)
/// writes both. All but the last are of one length.
#[derive(Debug, Clone, Copy)]
pub struct Fragmenter<'a> {
    packet: &'a [u8],
    header_len: usize,
    /// Payload bytes of each fragment but the last.
    chunk: usize,
    /// Where the packet's payload is in that of the packet that it is itself a fragment of.
    offset: usize,
    /// Whether more fragments follow it.
    more: bool,
}

impl<'a> Fragmenter<'a> {
    /// Prepares to cut `packet` into fragments of at most `mtu` bytes.
    ///
    /// # Errors
    /// [`FragmentError`]
    pub fn new(packet: &'a [u8], mtu: usize) -> Result<Self, FragmentError> {
        let view = Ipv4Packet::new_checked(packet).map_err(|_| FragmentError::Malformed)?;
        let (header_len, total_len) = (view.header_len(), view.total_len());
        let (offset, more) = (view.fragment_offset(), view.more_fragments());
        if offset + total_len > usize::from(u16::MAX) {
            return Err(FragmentError::Malformed);
        }
        let chunk = mtu.saturating_sub(header_len) / UNIT * UNIT;
        if chunk == 0 {
            return Err(FragmentError::NoRoom);
        }
        Ok(Self {
            packet: &packet[..total_len],
            header_len,
            chunk,
            offset,
            more,
        })
    }

    /// How many fragments there are: at least one.
    #[inline]
    pub fn count(&self) -> usize {
        let len = self.packet.len() - self.header_len;
        len.div_ceil(self.chunk).max(1)
    }

    /// Length in bytes of every fragment's header, with its options.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Where fragment `index` has its payload in the packet.
    #[inline]
    pub fn payload(&self, index: usize) -> Range<usize> {
        let start = self.header_len + index * self.chunk;
        start..(start + self.chunk).min(self.packet.len())
    }

    /// Writes the header of fragment `index`, with its checksum. Options that only the first has are
    /// no operations in the others, as the kernel makes them, so that all headers are of one length.
    ///
    /// # Panics
    /// If `index` is not below [`count`](Self::count), or `header` is not exactly
    /// [`header_len`](Self::header_len) bytes.
    #[inline]
    pub fn write_header(&self, index: usize, header: &mut [u8]) {
        assert!(index < self.count(), "fragment {index} of {}", self.count());
        header.copy_from_slice(&self.packet[..self.header_len]);
        if index > 0 {
            erase_options(&mut header[HEADER_LEN..]);
        }
        let payload = self.payload(index);
        let offset = (self.offset + index * self.chunk) / UNIT;
        let more = self.more || index + 1 < self.count();
        let flags = if more { MORE_FRAGMENTS } else { 0 };
        put_u16(header, 2, (self.header_len + payload.len()) as u16);
        put_u16(header, 6, flags | offset as u16); // at most 8191: the packet was checked
        Ipv4Packet::new_unchecked(header).fill_checksum();
    }

    /// Writes fragment `index`, its header and its payload.
    ///
    /// # Panics
    /// As [`write_header`](Self::write_header), or if `payload` is not exactly as long as
    /// [`payload`](Self::payload) of `index`.
    #[inline]
    pub fn write_fragment(&self, index: usize, header: &mut [u8], payload: &mut [u8]) {
        self.write_header(index, header);
        payload.copy_from_slice(&self.packet[self.payload(index)]);
    }
}

/// Makes the options that are not for each fragment say nothing. What does not parse stays.
fn erase_options(mut options: &mut [u8]) {
    while let [kind, rest @ ..] = options {
        let len = match (*kind, rest.first()) {
            (END, _) => return,
            (NO_OPERATION, _) => 1,
            (_, Some(&len)) if (2..=rest.len() + 1).contains(&usize::from(len)) => usize::from(len),
            _ => return,
        };
        let (option, others) = options.split_at_mut(len);
        if option[0] & COPIED == 0 {
            option.fill(NO_OPERATION);
        }
        options = others;
    }
}
