//! TAP devices: as TUN devices, with Ethernet frames. The kernel behind one is a host, or bridges it.

use super::tun::{Form, Layer, OpenTunError, TunConfig, TunDevice, VNET_HEADER_LEN, open_as};

/// Creates the device, with its queues, and brings it up. It gets a MAC address from the kernel.
///
/// # Errors
///
/// See [`OpenTunError`]; then no device is left behind.
pub fn open(config: &TunConfig) -> Result<TunDevice, OpenTunError> {
    let form = Form {
        layer: Layer::Ethernet,
        header_len: VNET_HEADER_LEN,
        is_host: true,
    };
    open_as(config, form)
}
