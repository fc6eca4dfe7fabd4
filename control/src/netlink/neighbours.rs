//! The way that packets take on one link: to which MAC address for which destination.
//!
//! Nothing is resolved here that the kernel would not resolve anyway; what it has not heard of for
//! a while it is asked to confirm, since it does not see what goes past it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ringlay_encap::MacAddr;
use rtnetlink::{
    Handle,
    packet_route::{
        AddressFamily,
        link::LinkAttribute,
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};
use tokio_stream::StreamExt;

use super::{NetlinkError, failed, run, ways::lookup};

/// A link as whoever sends whole frames has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    /// The link's own MAC address.
    pub mac: MacAddr,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The MAC address of the next hop towards each destination that is reached by this link and
    /// whose next hop is known.
    pub next_hops: BTreeMap<IpAddr, MacAddr>,
}

/// What is known of the link with this index, and of the ways from `source` to `destinations` that
/// lead over it; none if it is no such link, is down, or has no MAC address.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn neighbourhood(
    index: u32,
    source: IpAddr,
    destinations: &[IpAddr],
) -> Result<Option<Neighbourhood>, NetlinkError> {
    run(None, "look at neighbours", async |handle: Handle| {
        let Some((mac, mtu)) = own(&handle, index).await else {
            return Ok(None);
        };
        let known = known(&handle, index, source).await?;
        let mut next_hops = BTreeMap::new();
        let mut stale = BTreeSet::new();
        for &destination in destinations {
            let Some(next_hop) = next_hop(&handle, index, source, destination).await else {
                continue;
            };
            if let Some((mac, state)) = known.get(&next_hop) {
                next_hops.insert(destination, *mac);
                stale.extend((*state == NeighbourState::Stale).then_some(next_hop));
            }
        }
        for next_hop in stale {
            let neighbour = handle.neighbours().add(index, next_hop).replace();
            let neighbour = neighbour.state(NeighbourState::None);
            // It is asked again next time.
            let _ = neighbour.flags(NeighbourFlags::Use).execute().await;
        }
        Ok(Some(Neighbourhood {
            mac,
            mtu,
            next_hops,
        }))
    })
}

/// MAC address and MTU of a link that is up.
async fn own(handle: &Handle, index: u32) -> Option<(MacAddr, u32)> {
    let mut links = handle.link().get().match_index(index).execute();
    // The kernel's answer to an unknown index is an error.
    let attributes = links.next().await?.ok()?.attributes;
    let mac = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => mac(bytes),
        _ => None,
    });
    let mtu = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    Some((mac?, mtu?))
}

/// The usable neighbours of a link.
async fn known(
    handle: &Handle,
    index: u32,
    source: IpAddr,
) -> Result<BTreeMap<IpAddr, (MacAddr, NeighbourState)>, NetlinkError> {
    let family = match source {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let mut messages = handle
        .neighbours()
        .get()
        .set_address_family(family)
        .execute();
    let mut known = BTreeMap::new();
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| failed("list neighbours", error))?;
        if message.header.ifindex == index {
            known.extend(usable(&message));
        }
    }
    Ok(known)
}

fn usable(message: &NeighbourMessage) -> Option<(IpAddr, (MacAddr, NeighbourState))> {
    let state = message.header.state;
    let usable = matches!(
        state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
    );
    let mut attributes = message.attributes.iter();
    let address = attributes.clone().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(it)) => Some(IpAddr::V4(*it)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(it)) => Some(IpAddr::V6(*it)),
        _ => None,
    });
    let mac = attributes.find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => mac(bytes),
        _ => None,
    });
    usable.then_some((address?, (mac?, state)))
}

/// The neighbour that a packet goes to, if it leaves by this link.
async fn next_hop(
    handle: &Handle,
    index: u32,
    source: IpAddr,
    destination: IpAddr,
) -> Option<IpAddr> {
    let mut routes = handle.route().get(lookup(source, destination)?).execute();
    let route = routes.next().await?.ok()?;
    via(&route, index, destination)
}

fn via(route: &RouteMessage, index: u32, destination: IpAddr) -> Option<IpAddr> {
    let mut next_hop = destination;
    let mut leaves = false;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => leaves = *oif == index,
            RouteAttribute::Gateway(RouteAddress::Inet(it)) => next_hop = IpAddr::V4(*it),
            RouteAttribute::Gateway(RouteAddress::Inet6(it)) => next_hop = IpAddr::V6(*it),
            // A gateway of the other IP version: the kernel's sockets know what to do.
            RouteAttribute::Via(_) => return None,
            _ => {}
        }
    }
    (leaves && route.header.kind == RouteType::Unicast).then_some(next_hop)
}

fn mac(bytes: &[u8]) -> Option<MacAddr> {
    bytes.try_into().ok().map(MacAddr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.kind = RouteType::Unicast;
        route.attributes = attributes;
        route
    }

    #[test]
    fn the_next_hop_is_the_gateway_or_the_destination_itself() {
        let [far, gateway] = ["10.1.0.1", "10.0.0.1"].map(|it| it.parse::<IpAddr>().unwrap());
        let direct = route(vec![RouteAttribute::Oif(3)]);
        assert_eq!(via(&direct, 3, far), Some(far));
        assert_eq!(via(&direct, 4, far), None, "by another link");
        let routed = route(vec![
            RouteAttribute::Gateway(gateway.into()),
            RouteAttribute::Oif(3),
        ]);
        assert_eq!(via(&routed, 3, far), Some(gateway));
        let mut local = direct;
        local.header.kind = RouteType::Local;
        assert_eq!(via(&local, 3, far), None);
    }

    #[test]
    fn neighbours_that_did_not_answer_are_none() {
        let mut message = NeighbourMessage::default();
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet([10, 0, 0, 1].into())),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]),
        ];
        for (state, is_usable) in [
            (NeighbourState::Reachable, true),
            (NeighbourState::Stale, true),
            (NeighbourState::Permanent, true),
            (NeighbourState::Failed, false),
            (NeighbourState::Incomplete, false),
            (NeighbourState::Noarp, false),
        ] {
            message.header.state = state;
            assert_eq!(usable(&message).is_some(), is_usable, "{state:?}");
        }
        message.header.state = NeighbourState::Reachable;
        message.attributes.pop();
        assert!(usable(&message).is_none(), "not resolved");
    }
}
