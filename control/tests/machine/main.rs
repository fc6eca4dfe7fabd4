//! A node in a virtual machine, whose network device has what the devices of this host lack: queues of
//! its own, a real driver, and AF_XDP without copies. The far end is this host's kernel.
//!
//! Needs root, iproute2, ping, QEMU, busybox, binutils, and the kernel that scripts/fetch-kernel
//! gets from Debian; fails without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod guest;
mod initramfs;
mod traffic;

use self::guest::{Guest, Nic};
use self::traffic::{close_books, flood, logged_in, resolve, talk, underlay};

/// As many queues as processors. The driver can do without copies where it may not take addresses
/// of memory as they are.
const VIRTIO: Nic = Nic {
    model: "virtio-net-pci,mq=on,vectors=10,iommu_platform=on,disable-legacy=on",
    queues: 2,
};

/// A device whose driver runs XDP programs and copies. Of the two queues that it makes, this host
/// fills one.
const VMXNET3: Nic = Nic {
    model: "vmxnet3",
    queues: 1,
};

/// The longest packets that its driver shows to XDP programs. It accepts a larger MTU, but forgets that
/// its own header takes 12 bytes of the page, and drops what needs them.
const VIRTIO_MTU_MAX: u32 = 3494;
/// With this MTU it refuses programs.
const VIRTIO_MTU_TOO_LARGE: u32 = 3507;

fn assert_mode(guest: &Guest, expected: &str) {
    let shown = guest.ringlay("show node");
    assert!(shown.contains(expected), "{shown}\n{}", guest.log());
}

#[test]
fn a_wire_serves_the_queues_of_a_real_device() {
    let guest = Guest::boot(VIRTIO);
    guest.start("");
    assert_mode(&guest, "eth0, 2 queues, native XDP, zero-copy");
    talk(&guest);
    flood(&guest);
    let sent = underlay(&guest.stats(), "af_xdp")["tx_frames"].as_u64();
    let received = guest.counter("rx_xdp_redirects");
    assert!(
        sent > Some(20_000) && received > 20_000,
        "{sent:?} {received}"
    );
    guest.end("TERM");
    guest.set_mtu(VIRTIO_MTU_MAX);
    guest.start("");
    assert_mode(&guest, "native XDP");
    talk(&guest);
    close_books(&guest);
    guest.end("TERM");
    guest.set_mtu(VIRTIO_MTU_TOO_LARGE);
    guest.start("");
    assert_mode(&guest, "generic XDP");
    talk(&guest);
    close_books(&guest);
}

#[test]
fn the_machines_connections_outlive_starts_stops_and_kills() {
    let guest = Guest::boot(VIRTIO);
    logged_in(&guest, || {
        for signal in ["TERM", "KILL", "TERM"] {
            guest.start("");
            talk(&guest);
            resolve(&guest);
            assert!(guest.link().contains("xdp"));
            guest.end(signal);
            resolve(&guest);
            assert!(!guest.link().contains("xdp"));
        }
    });
}

#[test]
fn queues_that_a_driver_adds_for_programs_are_served() {
    let nic = Nic {
        queues: 4,
        ..VIRTIO
    };
    let guest = Guest::boot(nic);
    // Fewer than there are processors: all but one are added.
    guest.run("ethtool -L eth0 combined 1");
    logged_in(&guest, || {
        for signal in ["KILL", "TERM"] {
            guest.start("");
            assert_mode(&guest, "eth0, 3 queues, native XDP");
            talk(&guest);
            flood(&guest);
            // It was not opened again.
            assert_eq!(guest.log().matches("wire open").count(), 1);
            guest.end(signal);
        }
    });
}

#[test]
fn a_driver_that_copies_is_left_to() {
    let guest = Guest::boot(VMXNET3);
    guest.start("");
    assert_mode(&guest, "eth0, 2 queues, native XDP, copy");
    talk(&guest);
    flood(&guest);
}
