//! Neighbours that are told to the kernel rather than found by it, in the calling thread's namespace.

use std::net::IpAddr;

use super::LabError;
use super::link::{block_on, index};

/// Says which MAC address a neighbour on a device has, for good.
///
/// # Errors
/// What the kernel says.
pub fn add(device: &str, address: IpAddr, mac: [u8; 6]) -> Result<(), LabError> {
    let index = index(device)?;
    block_on(|handle| async move {
        let entry = handle.neighbours().add(index, address);
        entry.link_layer_address(&mac).replace().execute().await
    })?
    .map_err(LabError::netlink(format!(
        "add neighbour {address} to {device}"
    )))
}
