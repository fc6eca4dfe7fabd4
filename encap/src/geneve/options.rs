//! Geneve options (RFC 8926, section 3.5).
//!
//! Does not interpret them: each is a kind and some bytes.

use crate::{
    ParseError,
    bytes::{put_u16, u16_at},
};

/// Length in bytes of an option's own header.
pub const OPTION_HEADER_LEN: usize = 4;
/// Length in bytes of the longest data of an option: 31 words.
pub const DATA_MAX: usize = 31 * 4;

/// The critical bit of a type.
const CRITICAL: u8 = 0x80;
const LEN_MASK: u8 = 0x1f;

/// What an option is: the class is the namespace, the type counts within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionKind {
    /// Option class (IANA "Geneve Option Class").
    pub class: u16,
    /// Type, with the critical bit on top.
    pub kind: u8,
}

impl OptionKind {
    /// Whether who does not know the option must drop the packet.
    #[inline]
    pub const fn is_critical(self) -> bool {
        self.kind & CRITICAL != 0
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GeneveOption<'a> {
    /// What it is.
    pub kind: OptionKind,
    /// Its data, a multiple of 4 bytes and at most [`DATA_MAX`].
    pub data: &'a [u8],
}

impl GeneveOption<'_> {
    /// Length in bytes with its header.
    #[inline]
    pub const fn len(&self) -> usize {
        OPTION_HEADER_LEN + self.data.len()
    }

    /// Never: an option has a header.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Writes `options` one after another, reserved bits zero; returns their length in bytes.
///
/// # Panics
/// If `out` is shorter, or data are longer than [`DATA_MAX`] or no multiple of 4 bytes.
pub fn emit(options: &[GeneveOption<'_>], out: &mut [u8]) -> usize {
    let mut at = 0;
    for option in options {
        let len = option.data.len();
        assert!(
            len <= DATA_MAX && len.is_multiple_of(4),
            "a Geneve option of {len} bytes"
        );
        let (header, data) = out[at..at + option.len()].split_at_mut(OPTION_HEADER_LEN);
        put_u16(header, 0, option.kind.class);
        header[2] = option.kind.kind;
        header[3] = (len / 4) as u8;
        data.copy_from_slice(option.data);
        at += option.len();
    }
    at
}

/// The options of a header, one after another. Ends after the first error.
///
/// Yields [`ParseError::Length`] if they do not add up to the length that the header claims.
#[derive(Debug, Clone, Copy)]
pub struct GeneveOptions<'a> {
    rest: &'a [u8],
}

impl<'a> GeneveOptions<'a> {
    /// The options in `bytes`, which hold nothing else.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for GeneveOptions<'a> {
    type Item = Result<GeneveOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = core::mem::take(&mut self.rest);
        if bytes.is_empty() {
            return None;
        }
        if bytes.len() < OPTION_HEADER_LEN {
            return Some(Err(ParseError::Length));
        }
        let (header, rest) = bytes.split_at(OPTION_HEADER_LEN);
        let len = usize::from(header[3] & LEN_MASK) * 4;
        let Some((data, rest)) = rest.split_at_checked(len) else {
            return Some(Err(ParseError::Length));
        };
        self.rest = rest;
        let kind = OptionKind {
            class: u16_at(header, 0),
            kind: header[2],
        };
        Some(Ok(GeneveOption { kind, data }))
    }
}
