//! The kernel's Ethernet bridge, in the calling thread's namespace.

use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::{LinkBridge, LinkUnspec};

use super::link::{self, block_on};
use super::{LabError, link::index};

/// Makes a bridge that is up and has these devices as its ports.
///
/// # Errors
/// [`LabError::Unsupported`] where the kernel has none; otherwise what it says.
pub fn add(name: &str, ports: &[&str]) -> Result<(), LabError> {
    let message = LinkBridge::new(name).build();
    link::add(message, format!("add bridge {name}")).map_err(|error| {
        if link::is_unsupported(&error) {
            LabError::unsupported("this kernel has no bridge device")
        } else {
            error
        }
    })?;
    let bridge = index(name)?;
    ports.iter().try_for_each(|port| {
        let message = LinkUnspec::new_with_index(index(port)?)
            .controller(bridge)
            .build();
        block_on(|handle| async move { handle.link().set(message).execute().await })?
            .map_err(LabError::netlink(format!("make {port} a port of {name}")))
    })
}

/// Says by which port a bridge reaches a MAC address.
///
/// # Errors
/// What the kernel says.
pub fn add_entry(port: &str, mac: [u8; 6]) -> Result<(), LabError> {
    let index = index(port)?;
    block_on(|handle| async move {
        let entry = handle.neighbours().add_bridge(index, &mac);
        // A permanent entry would be an address of the bridge's own; this is one that does not age.
        let entry = entry.state(NeighbourState::Noarp);
        entry.flags(NeighbourFlags::Controller).execute().await
    })?
    .map_err(LabError::netlink(format!(
        "add a forwarding entry to {port}"
    )))
}
