//! Whether a device's driver is known to spoil what AF_XDP sockets send without copies.
//!
//! Whether it can do without copies at all, the kernel says when a socket is bound; what became of the
//! packets, nobody says.

use std::fs;

use crate::sys::ethtool;

/// It puts one header of zeros in front of all packets that sockets send, but as a module it takes that
/// header's address for one of the kernel's own memory (`virtnet_xsk_pool_enable` in
/// `drivers/net/virtio_net.c`; it is so in Linux 7.3): the device gets whatever is at some other place.
/// As long as that is zeros, or no memory, all goes well; otherwise the far side drops the packets,
/// or takes them for what they are not.
const VIRTIO_NET: &str = "virtio_net";

/// Why the device had better not move frames itself; none if nothing is known against it.
pub(super) fn objection(device: &str) -> Option<&'static str> {
    let driver = ethtool::driver(device).ok()?;
    let spoils = driver == VIRTIO_NET && is_module(&loaded_modules(), &driver);
    spoils.then_some("virtio_net, as a module, spoils what is sent without copies")
}

/// As the kernel lists them; nothing if it has no modules.
fn loaded_modules() -> String {
    fs::read_to_string("/proc/modules").unwrap_or_default()
}

fn is_module(loaded: &str, name: &str) -> bool {
    loaded
        .lines()
        .any(|line| line.split(' ').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_told_by_its_whole_name() {
        let loaded = "tun 69632 0 - Live 0x0\nvirtio_net 110592 0 - Live 0x0\n\
                      net_failover 24576 1 virtio_net, Live 0x0\n";
        for (name, expected) in [("virtio_net", true), ("virtio", false), ("net", false)] {
            assert_eq!(is_module(loaded, name), expected, "{name}");
        }
        assert!(!is_module("", "virtio_net"));
    }

    #[test]
    fn nothing_is_known_against_devices_without_a_driver() {
        assert_eq!(objection("lo"), None);
        assert_eq!(objection("no-such-device"), None);
    }
}
