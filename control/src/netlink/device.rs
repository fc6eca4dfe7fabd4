//! What a device of ours has: addresses, routes, its MTU.

use std::{future::Future, path::PathBuf};

use ipnet::IpNet;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder,
    packet_route::{
        address::AddressScope,
        route::{RouteAttribute, RouteMessage, RouteMetric, RouteScope},
    },
};

use super::{NetlinkError, failed, run};

/// A device of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The namespace; the process's own if absent.
    pub netns: Option<PathBuf>,
    /// The interface index.
    pub index: u32,
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
pub(super) fn route_through(index: u32, prefix: IpNet) -> RouteMessage {
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
