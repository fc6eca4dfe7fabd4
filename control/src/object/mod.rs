//! The objects of a node's desired state, and their keys. Holds no state itself: see
//! [`crate::rib`].

mod encap;
mod fdb;
mod guest;
mod headers;
mod mode;
mod name;
mod neighbour;
mod network;
mod port;
mod route;
mod source;
mod vtep;
mod zero_copy;

use std::{fmt, net::IpAddr};

pub use self::{
    encap::{Encap, EncapFault, EncapKeys, Inner},
    fdb::{FdbEntry, FdbKey, Site},
    guest::{Guest, GuestRoute, PairEnd},
    headers::{HeaderKeys, Headers},
    mode::{Learning, Mode, ModeKeys},
    name::{DeviceName, Name, NameError},
    neighbour::{Neighbour, NeighbourKey},
    network::{MssClamp, MssClampError, Network},
    port::{Port, PortKind, PortKindError},
    route::{Path, Route, RouteKey, Target},
    source::{Source, UnknownSource},
    vtep::{Vtep, VtepKey},
    zero_copy::{ZeroCopy, ZeroCopyError},
};

/// Whether an address is good on one link only (RFC 3927, RFC 4291 section 2.5.6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The one of some values that is written so.
pub(crate) fn written<T: Copy + fmt::Display>(known: &[T], text: &str) -> Option<T> {
    known.iter().copied().find(|it| it.to_string() == text)
}

/// A kind of object: something with a key, of which each source may have one.
pub trait Kind: Clone + fmt::Debug + PartialEq {
    /// What distinguishes two of them.
    type Key: Clone + fmt::Debug + Ord;

    /// What distinguishes this one.
    fn key(&self) -> Self::Key;
}

macro_rules! kinds {
    ($($kind:ident($key:ty) = $word:literal,)*) => {
        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant is the type of its name")]
        pub enum Object {
            $($kind($kind),)*
        }

        /// The key of an object of any kind.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is the key of the type of its name")]
        pub enum Key {
            $($kind($key),)*
        }

        impl Object {
            /// What distinguishes this object from all others.
            pub fn key(&self) -> Key {
                match self {
                    $(Self::$kind(object) => Key::$kind(Kind::key(object)),)*
                }
            }
        }

        impl Key {
            /// The word for the kind of object, as in the configuration file.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $word,)*
                }
            }
        }

        impl fmt::Display for Key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$kind(key) => write!(f, "{} {key}", $word),)*
                }
            }
        }

        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(object)
            }
        }

        impl TryFrom<Object> for $kind {
            type Error = Object;

            /// Gives an object of another kind back.
            fn try_from(object: Object) -> Result<Self, Object> {
                match object {
                    Object::$kind(object) => Ok(object),
                    other => Err(other),
                }
            }
        })*
    };
}

/// The name of a network.
pub type NetworkKey = Name;
/// The name of a port.
pub type PortKey = Name;

kinds! {
    Network(NetworkKey) = "network",
    Port(PortKey) = "port",
    Vtep(VtepKey) = "vtep",
    Route(RouteKey) = "route",
    Neighbour(NeighbourKey) = "neighbour",
    FdbEntry(FdbKey) = "fdb",
}
