//! Identifiers that tables, frames and counters share.
//!
//! The control plane assigns them and never reuses one while a snapshot that
//! names it may still be in use.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The identifier as an index into a dense table.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// An access port: a TUN device that frames enter and leave by.
    PortId,
    u16
);
id!(
    /// A network: one tunnel key with its own forwarding table.
    NetworkId,
    u16
);
id!(
    /// A local tunnel endpoint: one local address, and a UDP port or IP protocols.
    UnderlayId,
    u16
);
id!(
    /// A remote tunnel endpoint of one network.
    TunnelId,
    u32
);

impl TunnelId {
    /// Of no tunnel.
    pub const NONE: Self = Self(u32::MAX);
}

id!(
    /// An entry of `Tables::next_hops`.
    NextHopId,
    u32
);
id!(
    /// A worker thread.
    WorkerId,
    u16
);
