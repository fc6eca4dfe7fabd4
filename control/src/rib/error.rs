//! Why a change of the desired state was refused.

use std::{fmt, net::IpAddr};

use ringlay_encap::{Encapsulation, GreKey, UdpChecksum, Vni};
use thiserror::Error;

use crate::object::{Key, Name, Source};

/// Why a change was refused: what is wrong with which field of which object.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplyError {
    /// The object.
    pub key: Key,
    /// The field, as in the configuration file; empty if it is about the object as a whole.
    pub field: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

impl ApplyError {
    pub(crate) fn new(key: Key, field: &'static str, problem: Problem) -> Self {
        Self {
            key,
            field,
            problem,
        }
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ApplyError {}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The source has an object under this key.
    #[error("exists already")]
    Exists,
    /// Nobody has an object under this key.
    #[error("does not exist")]
    Missing,
    /// Only others have an object under this key.
    #[error("is not from source {asker}, but from {owner}")]
    NotYours {
        /// Who asked.
        asker: Source,
        /// Whose it is.
        owner: Source,
    },
    /// It is in a network that does not exist.
    #[error("there is no network {0}")]
    UnknownNetwork(Name),
    /// It names a VTEP that its network does not have.
    #[error("the network has no vtep {0}")]
    UnknownVtep(IpAddr),
    /// It names a port that its network does not have.
    #[error("the network has no port {0}")]
    UnknownPort(Name),
    /// It cannot go, or change so, while another needs it.
    #[error("is in use by {0}")]
    InUse(Key),
    /// Another network has the VNI on the same UDP port.
    #[error("network {by} has VNI {vni} on UDP port {port}")]
    VniTaken {
        /// The other network.
        by: Name,
        /// The VNI.
        vni: Vni,
        /// The UDP port.
        port: u16,
    },
    /// Another network has another encapsulation on the UDP port.
    #[error("network {by} has {encapsulation} on UDP port {port}")]
    UdpPortTaken {
        /// The other network.
        by: Name,
        /// What it has there.
        encapsulation: Encapsulation,
        /// The UDP port.
        port: u16,
    },
    /// Another network on the UDP port does otherwise about checksums.
    #[error("network {by} has \"{checksum}\" on UDP port {port}, whose sockets they share")]
    ChecksumShared {
        /// The other network.
        by: Name,
        /// The UDP port.
        port: u16,
        /// What it does.
        checksum: UdpChecksum,
    },
    /// Over IPv6 nothing would tell a damaged outer source address.
    #[error("over IPv6 packets without a checksum are accepted from listed VTEPs only (RFC 6936)")]
    ZeroFromStrangers,
    /// There are no IPv6 headers to say a limit.
    #[error("is of use only over IPv6, and the underlay address is {0}")]
    LimitNeedsV6(IpAddr),
    /// Another network has the GRE key.
    #[error("network {by} has GRE key {key}")]
    GreKeyTaken {
        /// The other network.
        by: Name,
        /// The key.
        key: GreKey,
    },
    /// Nothing would tell whether a packet is of this network or of another.
    #[error("network {by} has {vtep} too, and neither has a key")]
    PairTaken {
        /// The other network.
        by: Name,
        /// The VTEP of both.
        vtep: IpAddr,
    },
    /// Nothing would tell which of two networks a stranger's packet is for.
    #[error("network {0} accepts unknown VTEPs without a key too")]
    StrangersTaken(Name),
    /// Something needs Ethernet inside the tunnels.
    #[error("is of use only with Ethernet inside, and {0} carries IP packets here")]
    NoInnerEthernet(Encapsulation),
    /// Something configured needs Ethernet inside the tunnels, which the network is to do without.
    #[error("carries IP packets without Ethernet, but {0} of the network needs that")]
    InnerEthernetInUse(&'static str),
    /// Another port has the device.
    #[error("port {0} has this device")]
    DeviceTaken(Name),
    /// Another port of the network has the address.
    #[error("port {by} of this network has {address}")]
    AddressTaken {
        /// The other port.
        by: Name,
        /// The address.
        address: IpAddr,
    },
    /// The address appears twice.
    #[error("{0} appears twice")]
    Twice(IpAddr),
    /// No host may have the address.
    #[error("{0} is not the address of one host")]
    NotUnicast(IpAddr),
    /// The VTEP is this node.
    #[error("{0} is this node's own VTEP address")]
    VtepIsLocal(IpAddr),
    /// The VTEP cannot be reached from the local VTEP address.
    #[error("{address} cannot be reached from the underlay address {local}")]
    VtepFamily {
        /// The VTEP.
        address: IpAddr,
        /// The local VTEP address.
        local: IpAddr,
    },
    /// A MAC address that no station may have.
    #[error("is no unicast MAC address")]
    MacNotUnicast,
    /// A list of VTEPs without any.
    #[error("is empty")]
    NoVteps,
    /// There is no room for it.
    #[error("there are {0} of this kind already")]
    TooMany(usize),
    /// A router behind several VTEPs, or none.
    #[error("needs exactly one vtep, or a port with Ethernet")]
    ViaNeedsOneVtep,
    /// Something needs an Ethernet port.
    #[error("is of use only on a port with Ethernet, such as kind = \"tap\"")]
    NoEthernetPort,
    /// Queues are asked for on a device that has its own.
    #[error("are those that the device has")]
    OwnQueues,
    /// Something about AF_XDP is said of another kind of port.
    #[error("is of use only on a port with kind = \"af_xdp\"")]
    NotAfXdp,
    /// Kernel routes are to lead to an Ethernet port.
    #[error("cannot be had on a port with Ethernet, whose hosts choose their routes themselves")]
    NoKernelRoutes,
    /// Packets without encapsulation that would go nowhere else than to a VTEP.
    #[error("is of use only for routes to vteps, without via")]
    DirectNeedsVteps,
    /// Packets of the other IP version without encapsulation.
    #[error("without encapsulation only packets of the IP version of {0} reach far ends")]
    PlainFamily(IpAddr),
    /// A far end that packets without encapsulation do not reach.
    #[error(
        "is behind the router {router}, which does not know where packets without encapsulation are to go"
    )]
    BehindRouter {
        /// The router.
        router: IpAddr,
    },
    /// Something about IP addresses in a network that forwards by MAC address.
    #[error("is of use only in routed networks, and {0} is bridged")]
    RoutedOnly(Name),
    /// Something about MAC addresses in a network that forwards by IP address.
    #[error("network {0} is routed: it has no forwarding database")]
    BridgedOnly(Name),
    /// A port that cannot take part in a bridged network.
    #[error("ports of the bridged network {0} carry Ethernet frames by devices of Ringlay's own")]
    BridgedKind(Name),
    /// A setting of tunnels in a network without.
    #[error("is of no use without encapsulation")]
    NoTunnel,
}

impl Problem {
    /// A word for machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Exists => "EXISTS",
            Self::Missing => "MISSING",
            Self::NotYours { .. } => "NOT_YOURS",
            Self::UnknownNetwork(_) => "UNKNOWN_NETWORK",
            Self::UnknownVtep(_) => "UNKNOWN_VTEP",
            Self::UnknownPort(_) => "UNKNOWN_PORT",
            Self::InUse(_) => "IN_USE",
            Self::VniTaken { .. } => "VNI_TAKEN",
            Self::UdpPortTaken { .. } => "UDP_PORT_TAKEN",
            Self::ChecksumShared { .. } => "CHECKSUM_SHARED",
            Self::ZeroFromStrangers => "ZERO_FROM_STRANGERS",
            Self::LimitNeedsV6(_) => "LIMIT_NEEDS_V6",
            Self::GreKeyTaken { .. } => "GRE_KEY_TAKEN",
            Self::PairTaken { .. } => "PAIR_TAKEN",
            Self::StrangersTaken(_) => "STRANGERS_TAKEN",
            Self::NoInnerEthernet(_) => "NO_INNER_ETHERNET",
            Self::InnerEthernetInUse(_) => "INNER_ETHERNET_IN_USE",
            Self::DeviceTaken(_) => "DEVICE_TAKEN",
            Self::AddressTaken { .. } => "ADDRESS_TAKEN",
            Self::Twice(_) => "DUPLICATE",
            Self::NotUnicast(_) => "NOT_UNICAST",
            Self::VtepIsLocal(_) => "VTEP_IS_LOCAL",
            Self::VtepFamily { .. } => "VTEP_FAMILY",
            Self::MacNotUnicast => "MAC_NOT_UNICAST",
            Self::NoVteps => "NO_VTEPS",
            Self::TooMany(_) => "TOO_MANY",
            Self::ViaNeedsOneVtep => "VIA_NEEDS_ONE_VTEP",
            Self::NoEthernetPort => "NO_ETHERNET_PORT",
            Self::OwnQueues => "OWN_QUEUES",
            Self::NotAfXdp => "NOT_AF_XDP",
            Self::NoKernelRoutes => "NO_KERNEL_ROUTES",
            Self::DirectNeedsVteps => "DIRECT_NEEDS_VTEPS",
            Self::PlainFamily(_) => "PLAIN_FAMILY",
            Self::BehindRouter { .. } => "BEHIND_ROUTER",
            Self::RoutedOnly(_) => "ROUTED_ONLY",
            Self::BridgedOnly(_) => "BRIDGED_ONLY",
            Self::BridgedKind(_) => "BRIDGED_KIND",
            Self::NoTunnel => "NO_TUNNEL",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists => "give it another key, or allow replacing it (exist_ok)",
            Self::Missing => "list what there is, or allow its absence (missing_ok)",
            Self::NotYours { .. } => "change it where it comes from, or name that source",
            Self::UnknownNetwork(_) => "add the network, or correct the name",
            Self::UnknownVtep(_) => "add the vtep to the network, or correct the address",
            Self::UnknownPort(_) => "add the port to the network, or correct the name",
            Self::InUse(_) => "change or delete that first, or both in one batch",
            Self::VniTaken { .. } => "choose another vni, or another port",
            Self::UdpPortTaken { .. } => "choose another port",
            Self::ChecksumShared { .. } => "use the same, or another port",
            Self::ZeroFromStrangers => "remove accept_unknown_vteps, or use \"on\"",
            Self::LimitNeedsV6(_) => "remove it",
            Self::GreKeyTaken { .. } => "choose another key",
            Self::PairTaken { .. } => "give one of them a key, or another encapsulation",
            Self::StrangersTaken(_) => "let only one of them do so",
            Self::NoInnerEthernet(_) => {
                "remove it, or use inner = \"ethernet\" where there is that"
            }
            Self::InnerEthernetInUse(_) => "change that first, or use inner = \"ethernet\"",
            Self::DeviceTaken(_) => "choose another device name",
            Self::AddressTaken { .. } => "choose another address",
            Self::Twice(_) => "keep one",
            Self::NotUnicast(_) => "use an address that a host can have",
            Self::VtepIsLocal(_) => "use the address of another node",
            Self::VtepFamily { .. } => "use the same IP version on both ends",
            Self::MacNotUnicast => "use one such as 02:11:22:33:44:55",
            Self::NoVteps => "name at least one vtep",
            Self::TooMany(_) => "delete some first",
            Self::ViaNeedsOneVtep => "name one vtep or a tap port, or leave out via",
            Self::NoEthernetPort => "remove it, or use another kind of port",
            Self::OwnQueues => "remove it, or change the device with `ethtool -L`",
            Self::NotAfXdp => "remove it, or use kind = \"af_xdp\"",
            Self::NoKernelRoutes => "remove routes = true, or use kind = \"tun\"",
            Self::DirectNeedsVteps => "remove it, or lead the route to a vtep",
            Self::PlainFamily(_) => "use a prefix of that IP version, or an encapsulation",
            Self::BehindRouter { .. } => {
                "use an encapsulation, with direct routes to those that are on the same subnet"
            }
            Self::RoutedOnly(_) => "remove it, or use mode = \"routed\"",
            Self::BridgedOnly(_) => "remove it, or use mode = \"bridged\"",
            Self::BridgedKind(_) => "use kind = \"tap\"; other devices can be bridged with that",
            Self::NoTunnel => "remove it, or use an encapsulation",
        }
    }
}
