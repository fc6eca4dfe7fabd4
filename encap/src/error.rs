//! The one error of all parsers: why bytes are not what they should be.
//!
//! It names the kind of fault, not the field: the caller knows which parser it called, and counts.

use thiserror::Error;

/// Why bytes could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The buffer ends before the header, or before the length the header claims.
    #[error("truncated")]
    Truncated,
    /// A length field contradicts the header itself.
    #[error("bad length field")]
    Length,
    /// A version, type or flag says that this is another protocol.
    #[error("unexpected version or type")]
    Version,
    /// A field holds a value that the protocol forbids.
    #[error("malformed")]
    Malformed,
    /// The checksum is wrong.
    #[error("bad checksum")]
    Checksum,
}
