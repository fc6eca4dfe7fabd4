//! Who asked for an object.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Who asked for an object, in the order of precedence: where two sources have an object under
/// the same key, the earlier one's is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The configuration file.
    Static,
    /// A client that named no other source.
    Grpc,
    /// The CNI plugin.
    Cni,
    /// The cluster's store.
    Cluster,
    /// Routes that were loaded from a file.
    Import,
}

impl Source {
    const ALL: [Self; 5] = [
        Self::Static,
        Self::Grpc,
        Self::Cni,
        Self::Cluster,
        Self::Import,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Grpc => "grpc",
            Self::Cni => "cni",
            Self::Cluster => "cluster",
            Self::Import => "import",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text names no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a source; expected static, grpc, cni, cluster or import")]
pub struct UnknownSource;

impl FromStr for Source {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        Self::ALL
            .into_iter()
            .find(|source| source.name() == text)
            .ok_or(UnknownSource)
    }
}
