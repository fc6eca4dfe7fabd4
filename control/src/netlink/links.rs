//! The links of the process's own namespace, and their addresses.

use std::net::IpAddr;

use rtnetlink::{
    Handle,
    packet_route::{
        address::AddressAttribute,
        link::{LinkAttribute, LinkLayerType, LinkMessage},
    },
};
use tokio_stream::StreamExt;

use super::{NetlinkError, failed, run};

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

pub(super) async fn link(handle: &Handle, index: u32) -> Result<Option<Link>, NetlinkError> {
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
