//! Names of networks, ports and devices.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// The name of a network or port: 1 to 63 letters, digits, `.`, `_` and `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The name of a network device, as Linux allows it (`dev_valid_name` in net/core/dev.c).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// It is no name of ours.
    #[error("not a name; use 1 to 63 letters, digits, `.`, `_` or `-`")]
    Name,
    /// It is no name of a device.
    #[error("not a device name; use 1 to 15 characters without `/`, `:`, `%` and spaces")]
    Device,
}

const NAME_LEN_MAX: usize = 63;
/// IFNAMSIZ of linux/if.h, less the terminating zero.
const DEVICE_NAME_LEN_MAX: usize = 15;

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let valid = (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(fits);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Name)
        }
    }
}

impl FromStr for DeviceName {
    type Err = NameError;

    /// `%` is refused although Linux has it: the kernel would take it for a pattern.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
        let valid = (1..=DEVICE_NAME_LEN_MAX).contains(&text.len())
            && text.bytes().all(fits)
            && text != "."
            && text != "..";
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Device)
        }
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text!(Name);
text!(DeviceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for text in ["a", "blue-1", "10.0_x", &"x".repeat(63)] {
            assert_eq!(
                text.parse::<Name>().map(|name| name.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert_eq!(text.parse::<Name>(), Err(NameError::Name), "{text:?}");
        }
    }

    #[test]
    fn device_names_are_those_of_linux() {
        for text in ["rl0", "eth0.1", &"x".repeat(15)] {
            assert!(text.parse::<DeviceName>().is_ok(), "{text:?}");
        }
        for text in ["", ".", "..", "a/b", "a:b", "rl%d", "a b", &"x".repeat(16)] {
            assert_eq!(
                text.parse::<DeviceName>(),
                Err(NameError::Device),
                "{text:?}"
            );
        }
    }
}
