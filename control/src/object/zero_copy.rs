//! Whether a device's driver moves the frames of AF_XDP sockets without copies.

use std::{fmt, str::FromStr};

use ringlay_dataplane::sys::xdp::Copying;

use super::written;

/// What is wanted of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// No copies where the driver can do so.
    #[default]
    Auto,
    /// No copies, or nothing.
    On,
    /// Copies.
    Off,
}

impl ZeroCopy {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Auto, Self::On, Self::Off];

    /// What is to be insisted on.
    pub(crate) fn copying(self) -> Option<Copying> {
        match self {
            Self::Auto => None,
            Self::On => Some(Copying::ZeroCopy),
            Self::Off => Some(Copying::Copy),
        }
    }
}

impl fmt::Display for ZeroCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// A text is none of the ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, on or off")]
pub struct ZeroCopyError;

impl FromStr for ZeroCopy {
    type Err = ZeroCopyError;

    fn from_str(text: &str) -> Result<Self, ZeroCopyError> {
        written(&Self::ALL, text).ok_or(ZeroCopyError)
    }
}
