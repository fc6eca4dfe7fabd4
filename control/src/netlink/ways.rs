//! The ways that packets take from one address to others, as the kernel would route them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use ipnet::IpNet;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::route::{
        RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
    },
};
use tokio_stream::StreamExt;

use super::{
    NetlinkError,
    links::{Link, link},
    run,
};
use crate::mtu::{Next, Way};

/// The links by which packets from `source` leave for `destinations`, each once; destinations that
/// cannot be reached have none.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn links_toward(source: IpAddr, destinations: &[IpAddr]) -> Result<Vec<Link>, NetlinkError> {
    run(None, "look up routes", async |handle: Handle| {
        let mut links: Vec<Link> = Vec::new();
        for &destination in destinations {
            let route = route_of_packet(&handle, source, destination).await;
            let index = route.map(|route| route.index);
            let new = index.filter(|index| links.iter().all(|link| link.index != *index));
            if let Some(index) = new {
                links.extend(link(&handle, index).await?);
            }
        }
        Ok(links)
    })
}

/// The ways that packets from `source` leave for `destinations`; those that cannot be reached have
/// none. Path MTUs that the kernel has learned are left out: whether to believe them is decided
/// elsewhere.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn ways(
    source: IpAddr,
    destinations: &[IpAddr],
) -> Result<BTreeMap<IpAddr, Way>, NetlinkError> {
    run(None, "look up routes", async |handle: Handle| {
        let (mut links, mut ways) = (BTreeMap::new(), BTreeMap::new());
        for &destination in destinations {
            let route = route_of_packet(&handle, source, destination).await;
            let Some(Leaving {
                index,
                route_mtu,
                next,
            }) = route
            else {
                continue;
            };
            let link = match links.entry(index) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(link(&handle, index).await?),
            };
            if let Some(Link { name, mtu, .. }) = link {
                let way = Way {
                    link: name.clone(),
                    link_mtu: *mtu,
                    route_mtu,
                    next,
                };
                ways.insert(destination, way);
            }
        }
        Ok(ways)
    })
}

/// How a packet leaves.
struct Leaving {
    /// The index of the link.
    index: u32,
    /// The MTU that the route has of its own.
    route_mtu: Option<u32>,
    next: Next,
}

/// The route that a packet takes, if there is one.
async fn route_of_packet(handle: &Handle, source: IpAddr, destination: IpAddr) -> Option<Leaving> {
    let mut routes = handle.route().get(lookup(source, destination)?).execute();
    let attributes = match routes.next().await {
        Some(Ok(route)) if route.header.kind == RouteType::Unicast => route.attributes,
        _ => return None,
    };
    let index = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    // A learned path MTU stands in the place of the route's own, and expires.
    let learned = attributes
        .iter()
        .any(|attribute| matches!(attribute, RouteAttribute::CacheInfo(info) if info.expires != 0));
    let mtu = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|metric| match metric {
            RouteMetric::Mtu(mtu) if !learned && *mtu != 0 => Some(*mtu),
            _ => None,
        }),
        _ => None,
    });
    let gateway = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(it)) => Some(IpAddr::V4(*it)),
        RouteAttribute::Gateway(RouteAddress::Inet6(it)) => Some(IpAddr::V6(*it)),
        RouteAttribute::Via(RouteVia::Inet6(it)) => Some(IpAddr::V6(*it)),
        _ => None,
    });
    Some(Leaving {
        index: index?,
        route_mtu: mtu,
        next: gateway
            .filter(|router| *router != destination)
            .map_or(Next::End, Next::Router),
    })
}

/// Asks for the route of one packet.
pub(super) fn lookup(source: IpAddr, destination: IpAddr) -> Option<RouteMessage> {
    let [source, destination] = [source, destination].map(IpNet::from);
    let request = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(destination.addr(), destination.prefix_len())
        .ok()?
        .source_prefix(source.addr(), source.prefix_len())
        .ok()?;
    Some(request.build())
}
