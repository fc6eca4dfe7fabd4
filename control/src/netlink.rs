//! Addresses, routes and links of the kernel, by rtnetlink.
//!
//! The daemon's only module that knows rtnetlink, whose interface changes often. Each call opens a
//! socket of its own, in the namespace it is about, and blocks until the kernel has answered.

mod guest;
mod neighbours;
pub mod vanish;
pub mod veth;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use ipnet::IpNet;
use ringlay_dataplane::sys::netns;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, MulticastGroup, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressScope},
        link::{LinkAttribute, LinkLayerType, LinkMessage},
        route::{
            RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteScope, RouteType,
            RouteVia,
        },
    },
};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_stream::StreamExt;

pub use self::guest::{Found, furnish, look};
pub use self::neighbours::{Neighbourhood, neighbourhood};
use crate::mtu::{Next, Way};

/// How long to wait for what else a change entails.
const SETTLE: Duration = Duration::from_millis(50);

/// The kernel refused, or could not be asked.
#[derive(Debug, Error)]
#[error("cannot {action}")]
pub struct NetlinkError {
    /// What was tried.
    pub action: String,
    source: io::Error,
}

/// A device of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The namespace; the process's own if absent.
    pub netns: Option<PathBuf>,
    /// The interface index.
    pub index: u32,
}

impl Device {
    /// Gives the device addresses; those it has already are fine.
    ///
    /// # Errors
    ///
    /// At the first that the kernel refuses.
    pub fn add_addresses(&self, addresses: &[IpNet]) -> Result<(), NetlinkError> {
        let index = self.index;
        self.each(addresses, "add address", move |handle, net| async move {
            handle
                .address()
                .add(index, net.addr(), net.prefix_len())
                .replace()
                .execute()
                .await
        })
    }

    /// Gives the device an address that is good for nothing beyond this host.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn add_host_address(&self, address: IpNet) -> Result<(), NetlinkError> {
        let index = self.index;
        self.each(&[address], "add address", move |handle, net| async move {
            let mut request = handle
                .address()
                .add(index, net.addr(), net.prefix_len())
                .replace();
            request.message_mut().header.scope = AddressScope::Host;
            request.execute().await
        })
    }

    /// Takes addresses from the device.
    ///
    /// # Errors
    ///
    /// At the first that the kernel refuses.
    pub fn delete_addresses(&self, addresses: &[IpNet]) -> Result<(), NetlinkError> {
        let index = self.index;
        self.each(addresses, "delete address", move |handle, net| async move {
            let mut request = handle.address().add(index, net.addr(), net.prefix_len());
            let message = request.message_mut().clone();
            handle.address().del(message).execute().await
        })
    }

    /// Takes back, adds and replaces routes through the device; returns those that the kernel
    /// refused.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked.
    pub fn change_routes(
        &self,
        change: &RouteChange,
    ) -> Result<Vec<(IpNet, NetlinkError)>, NetlinkError> {
        run(
            self.netns.as_deref(),
            "change kernel routes",
            async |handle: Handle| {
                let mut refused = Vec::new();
                for &prefix in &change.remove {
                    let request = handle.route().del(self.route(prefix, None));
                    if let Err(error) = request.execute().await {
                        refused.push((prefix, failed("delete kernel route", error)));
                    }
                }
                for &(prefix, mtu) in &change.add {
                    let request = handle.route().add(self.route(prefix, mtu));
                    if let Err(error) = request.execute().await {
                        refused.push((prefix, failed("add kernel route", error)));
                    }
                }
                for &(prefix, mtu) in &change.replace {
                    let request = handle.route().add(self.route(prefix, mtu)).replace();
                    if let Err(error) = request.execute().await {
                        refused.push((prefix, failed("change kernel route", error)));
                    }
                }
                Ok(refused)
            },
        )
    }

    /// Sets the device's MTU, in bytes.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), NetlinkError> {
        let index = self.index;
        self.each(&[mtu], "set MTU", move |handle, mtu| async move {
            let message = LinkMessageBuilder::<LinkUnspec>::new()
                .index(index)
                .mtu(mtu)
                .build();
            handle.link().set(message).execute().await
        })
    }

    fn route(&self, prefix: IpNet, mtu: Option<u32>) -> RouteMessage {
        let mut route = route_through(self.index, prefix);
        let metrics = mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        route.attributes.extend(metrics);
        route
    }

    /// Does the same for each item, until one fails.
    fn each<T, F>(
        &self,
        items: &[T],
        action: &str,
        step: impl Fn(Handle, T) -> F + Sync,
    ) -> Result<(), NetlinkError>
    where
        T: Copy + std::fmt::Display + Sync,
        F: Future<Output = Result<(), rtnetlink::Error>>,
    {
        if items.is_empty() {
            return Ok(());
        }
        run(self.netns.as_deref(), action, async |handle: Handle| {
            for item in items {
                step(handle.clone(), *item)
                    .await
                    .map_err(|error| failed(format!("{action} {item}"), error))?;
            }
            Ok(())
        })
    }
}

/// A route to `prefix` by the device with this index, without a router.
fn route_through(index: u32, prefix: IpNet) -> RouteMessage {
    match prefix {
        IpNet::V4(prefix) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .output_interface(index)
            .scope(RouteScope::Link)
            .build(),
        IpNet::V6(prefix) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .output_interface(index)
            .build(),
    }
}

/// What to change about the routes through a device. Each that is added or replaced comes with an
/// MTU of its own, if it is to have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteChange {
    /// Routes to take back.
    pub remove: Vec<IpNet>,
    /// Routes to add.
    pub add: Vec<(IpNet, Option<u32>)>,
    /// Routes that are there, and get another MTU.
    pub replace: Vec<(IpNet, Option<u32>)>,
}

/// A link and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its interface index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it carries Ethernet frames.
    pub ethernet: bool,
}

/// The link of the process's own namespace that has an address.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn link_of(address: IpAddr) -> Result<Option<Link>, NetlinkError> {
    run(None, "list addresses", async |handle: Handle| {
        let mut found = handle.address().get().set_address_filter(address).execute();
        let message = found
            .next()
            .await
            .transpose()
            .map_err(|e| failed("list addresses", e))?;
        match message {
            None => Ok(None),
            Some(message) => link(&handle, message.header.index).await,
        }
    })
}

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

/// Notifies `changed` whenever a link, an address, a rule or a route may have changed, and once when
/// it has begun to listen. Many changes at once lead to few notices.
///
/// # Errors
///
/// When it cannot listen any more.
pub async fn follow(changed: &Notify) -> Result<(), NetlinkError> {
    const GROUPS: &[MulticastGroup] = &[
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Nexthop,
    ];
    let error = |source| NetlinkError {
        action: "follow changes of links and routes".to_owned(),
        source,
    };
    let connection = rtnetlink::new_multicast_connection(GROUPS);
    let (connection, _handle, mut messages) = connection.map_err(error)?;
    tokio::spawn(connection);
    loop {
        changed.notify_one();
        if messages.next().await.is_none() {
            return Err(error(io::Error::other("the kernel's messages ended")));
        }
        // One cause has many messages; what follows soon belongs together.
        tokio::time::sleep(SETTLE).await;
        while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, messages.next()).await {}
    }
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
fn lookup(source: IpAddr, destination: IpAddr) -> Option<RouteMessage> {
    let [source, destination] = [source, destination].map(IpNet::from);
    let request = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(destination.addr(), destination.prefix_len())
        .ok()?
        .source_prefix(source.addr(), source.prefix_len())
        .ok()?;
    Some(request.build())
}

/// The addresses of a device in the process's own namespace, in the kernel's order; none if there
/// is no such device.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn addresses_of(device: &str) -> Result<Option<Vec<IpAddr>>, NetlinkError> {
    run(None, "list addresses", async |handle: Handle| {
        let mut links = handle.link().get().match_name(device.to_owned()).execute();
        // The kernel's answer to an unknown name is an error.
        let Some(Ok(link)) = links.next().await else {
            return Ok(None);
        };
        let index = link.header.index;
        let mut messages = handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute();
        let mut addresses = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| failed("list addresses", error))?;
            let attributes = message.attributes.into_iter();
            addresses.extend(attributes.filter_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(address),
                _ => None,
            }));
        }
        Ok(Some(addresses))
    })
}

/// The links of the process's own namespace.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn links() -> Result<Vec<Link>, NetlinkError> {
    run(None, "list links", async |handle: Handle| {
        let mut messages = handle.link().get().execute();
        let mut links = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| failed("list links", error))?;
            links.push(described(message));
        }
        Ok(links)
    })
}

async fn link(handle: &Handle, index: u32) -> Result<Option<Link>, NetlinkError> {
    let mut links = handle.link().get().match_index(index).execute();
    let message = links.next().await.transpose();
    let message = message.map_err(|error| failed("list links", error))?;
    Ok(message.map(described))
}

fn described(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mtu: 0,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            _ => {}
        }
    }
    link
}

/// Talks to the kernel on a thread of its own, which alone enters the namespace.
fn run<T, F>(netns: Option<&Path>, action: &str, work: F) -> Result<T, NetlinkError>
where
    T: Send,
    F: AsyncFnOnce(Handle) -> Result<T, NetlinkError> + Send,
{
    let error = |source| NetlinkError {
        action: action.to_owned(),
        source,
    };
    let talk = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.map_err(error)?.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().map_err(error)?;
            tokio::spawn(connection);
            work(handle).await
        })
    };
    match netns {
        Some(path) => netns::run_in(path, talk).map_err(error)?,
        None => thread::scope(|scope| scope.spawn(talk).join())
            .unwrap_or_else(|_| Err(error(io::Error::other("the thread panicked")))),
    }
}

fn failed(action: impl Into<String>, error: rtnetlink::Error) -> NetlinkError {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    };
    NetlinkError {
        action: action.into(),
        source,
    }
}
