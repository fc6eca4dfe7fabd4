//! Which way frames go through the gateway.

use std::fmt;

use serde::Serialize;

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    /// From the inside, into the tunnel.
    Encap,
    /// Out of the tunnel, to the inside.
    Decap,
    /// Half of the frames each way.
    Both,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encap => "encapsulate",
            Self::Decap => "decapsulate",
            Self::Both => "both at once",
        })
    }
}
