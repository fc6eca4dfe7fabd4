//! The outer "don't fragment" flag of IPv4 tunnels.
//!
//! Does not fragment, and does not discover a path MTU.

use core::{fmt, str::FromStr};

use thiserror::Error;

/// Where the outer "don't fragment" comes from. IPv6 packets are never fragmented on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DfPolicy {
    /// From the inner packet: set if it must not be fragmented (RFC 2003, section 3.1).
    #[default]
    Copy,
    /// Always set: path MTU discovery works for the tunnel.
    Set,
    /// Never set: the underlay may fragment what is too long for it.
    Clear,
}

/// A string is none of `copy`, `set` and `clear`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected copy, set or clear")]
pub struct DfPolicyError;

impl FromStr for DfPolicy {
    type Err = DfPolicyError;

    fn from_str(text: &str) -> Result<Self, DfPolicyError> {
        Ok(match text {
            "copy" => Self::Copy,
            "set" => Self::Set,
            "clear" => Self::Clear,
            _ => return Err(DfPolicyError),
        })
    }
}

impl fmt::Display for DfPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copy => "copy",
            Self::Set => "set",
            Self::Clear => "clear",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn policies_parse_and_print() {
        for policy in [DfPolicy::Copy, DfPolicy::Set, DfPolicy::Clear] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("inherit".parse::<DfPolicy>(), Err(DfPolicyError));
    }
}
