//! The inside of a container's namespace: sets addresses and routes of a device, and looks at them.
//!
//! All of it happens on the calling thread, in the namespace that the thread is in, and in few
//! system calls: it is a good part of the time that a container takes to start.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use ringlay_encap::MacAddr;
use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
        NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
        link::{LinkAttribute, LinkFlags, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteScope},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use super::{NetlinkError, device::route_through};
use crate::object::{Guest, GuestRoute};

/// A device as it is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its interface index.
    pub index: u32,
    /// Whether it is up.
    pub up: bool,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its MAC address, if it has one.
    pub mac: Option<MacAddr>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// The prefixes that lead to it.
    pub routes: Vec<IpNet>,
}

/// Gives the device with this index what a container's device has. Addresses that it has already are
/// fine, and so are routes if it is resumed.
///
/// # Errors
///
/// At the first that the kernel refuses.
pub fn furnish(index: u32, guest: &Guest) -> Result<(), NetlinkError> {
    let mut talk = Talk::new().map_err(failed("open a netlink socket"))?;
    if let Some(mac) = guest.mac {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::Address(mac.0.to_vec())];
        talk.request(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(failed(format!("set the MAC address {mac}")))?;
    }
    for address in &guest.addresses {
        let message = RouteNetlinkMessage::NewAddress(address_message(index, *address));
        talk.request(message, NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(failed(format!("add address {address}")))?;
    }
    let existing = if guest.resumed {
        NLM_F_REPLACE
    } else {
        NLM_F_EXCL
    };
    for route in &guest.routes {
        let message = RouteNetlinkMessage::NewRoute(route_message(index, route));
        talk.request(message, NLM_F_CREATE | existing)
            .map_err(failed(format!("add route {}", route.prefix)))?;
    }
    Ok(())
}

/// Looks at the device `name`; `None` if there is none.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn look(name: &str) -> Result<Option<Found>, NetlinkError> {
    let mut talk = Talk::new().map_err(failed("open a netlink socket"))?;
    let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let links = talk.dump(links).map_err(failed("list links"))?;
    let Some(mut found) = links.into_iter().find_map(|link| found(link, name)) else {
        return Ok(None);
    };
    let query = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let addresses = talk.dump(query).map_err(failed("list addresses"))?;
    found.addresses = addresses
        .into_iter()
        .filter_map(|message| address_of(message, found.index))
        .collect();
    let query = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let routes = talk.dump(query).map_err(failed("list routes"))?;
    found.routes = routes
        .into_iter()
        .filter_map(|message| prefix_of(message, found.index))
        .collect();
    Ok(Some(found))
}

fn address_message(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = net.prefix_len();
    message.header.scope = AddressScope::Universe;
    let address = net.addr();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    // For IPv4 the kernel wants both: they differ on links with a named far end only.
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    if address.is_ipv6() {
        // Nobody else is on the link, and a container has no time to find out.
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message
}

fn route_message(index: u32, route: &GuestRoute) -> RouteMessage {
    let mut message = route_through(index, route.prefix);
    if let Some(via) = route.via {
        message.header.scope = RouteScope::Universe;
        // No prefix of the device has it.
        message.header.flags = RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(via.into()));
    }
    let metrics: Vec<_> = [
        route.mtu.map(RouteMetric::Mtu),
        route.advmss.map(RouteMetric::Advmss),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    let priority = route.priority.map(RouteAttribute::Priority);
    let table = route.table.map(RouteAttribute::Table);
    message.attributes.extend(priority.into_iter().chain(table));
    message
}

fn found(message: RouteNetlinkMessage, name: &str) -> Option<Found> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    let named = |it: &LinkAttribute| matches!(it, LinkAttribute::IfName(found) if found == name);
    link.attributes.iter().find(|it| named(it))?;
    let mtu = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    let mac = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
        _ => None,
    });
    Some(Found {
        mac,
        index: link.header.index,
        up: link.header.flags.contains(LinkFlags::Up),
        mtu: mtu.unwrap_or_default(),
        ..Found::default()
    })
}

fn address_of(message: RouteNetlinkMessage, index: u32) -> Option<IpNet> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    if message.header.index != index {
        return None;
    }
    let address = message.attributes.iter().find_map(|it| match it {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    IpNet::new(address?, message.header.prefix_len).ok()
}

fn prefix_of(message: RouteNetlinkMessage, index: u32) -> Option<IpNet> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    let oif = |it: &RouteAttribute| matches!(it, RouteAttribute::Oif(found) if *found == index);
    message.attributes.iter().find(|it| oif(it))?;
    let destination = message.attributes.iter().find_map(|it| match it {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    // A default route names no destination.
    let any = || match message.header.address_family {
        AddressFamily::Inet6 => IpAddr::from([0_u8; 16]),
        _ => IpAddr::from([0_u8; 4]),
    };
    let destination = destination.unwrap_or_else(any);
    IpNet::new(destination, message.header.destination_prefix_length).ok()
}

/// A conversation with the kernel, one question at a time.
pub(super) struct Talk {
    socket: Socket,
    sequence: u32,
}

impl Talk {
    pub(super) fn new() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks for something to be done.
    pub(super) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, flags | NLM_F_ACK)?;
        self.receive().map(drop)
    }

    /// Asks for a list.
    fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(message, NLM_F_DUMP)?;
        self.receive()
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = NLM_F_REQUEST | flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// The answer, up to the message that ends it.
    fn receive(&mut self) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answer = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                // Messages are padded to four bytes.
                let len = (packet.header.length as usize).next_multiple_of(4);
                rest = rest.get(len..).unwrap_or_default();
                if packet.header.sequence_number != self.sequence {
                    continue;
                }
                match packet.payload {
                    NetlinkPayload::InnerMessage(message) => answer.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answer),
                    _ => {}
                }
            }
        }
    }
}

pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(io::Error) -> NetlinkError {
    |source| NetlinkError {
        action: action.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use ringlay_dataplane::sys::netns;

    use super::*;

    #[test]
    fn what_is_furnished_is_found() {
        let test = || {
            assert_eq!(look("nothing").unwrap(), None);
            let lo = look("lo").unwrap().expect("each namespace has one");
            assert!(!lo.up);
            let addresses: Vec<IpNet> = ["10.9.0.1/32", "fd09::1/128"]
                .map(|it| it.parse().unwrap())
                .into();
            let mut guest = Guest {
                addresses: addresses.clone(),
                ..Guest::default()
            };
            furnish(lo.index, &guest).unwrap();
            furnish(lo.index, &guest).unwrap();
            let found = look("lo").unwrap().expect("still there");
            assert_eq!(
                found
                    .addresses
                    .iter()
                    .filter(|it| addresses.contains(it))
                    .count(),
                2
            );
            let route = GuestRoute::to("10.10.0.0/16".parse().unwrap());
            guest.routes.push(route);
            let error = furnish(lo.index, &guest).unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot add route 10.10.0.0/16",
                "the link is down"
            );
        };
        netns::run_in_new(test).expect("this test needs root");
    }
}
