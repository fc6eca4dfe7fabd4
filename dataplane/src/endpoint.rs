//! A local tunnel endpoint: where the packets of one encapsulation come in.

use std::fmt;
use std::net::SocketAddr;

use ringlay_encap::{Encapsulation, IpProtocol, UdpChecksum};

/// One local address, and what announces an encapsulation there: a UDP port, or IP protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address, and the UDP port; port 0 if the encapsulation does not go over UDP.
    pub local: SocketAddr,
    /// What the packets are that come in there.
    pub encapsulation: Encapsulation,
    /// What becomes of outer UDP checksums; of no meaning where there is no port.
    pub checksum: UdpChecksum,
}

impl Endpoint {
    /// The IP protocol numbers of packets for it; empty if it has a UDP port instead.
    pub const fn protocols(&self) -> &'static [IpProtocol] {
        match self.encapsulation {
            Encapsulation::Vxlan | Encapsulation::Geneve => &[],
            Encapsulation::Gre => &[IpProtocol::GRE],
            Encapsulation::Ipip => &[IpProtocol::IPIP, IpProtocol::IPV6],
            // Nothing comes in: the host routes what is not encapsulated.
            Encapsulation::Plain => &[IpProtocol::RAW],
        }
    }
}

/// `ADDRESS:PORT`, or `ADDRESS ENCAPSULATION` where there is no port.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.protocols().is_empty() {
            self.local.fmt(f)
        } else {
            write!(f, "{} {}", self.local.ip(), self.encapsulation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_port_or_protocols() {
        for encapsulation in Encapsulation::ALL {
            let port = encapsulation.udp_port().unwrap_or(0);
            let endpoint = Endpoint {
                local: SocketAddr::new([192, 0, 2, 1].into(), port),
                encapsulation,
                checksum: UdpChecksum::On,
            };
            assert_eq!(endpoint.protocols().is_empty(), port != 0, "{endpoint}");
        }
    }
}
