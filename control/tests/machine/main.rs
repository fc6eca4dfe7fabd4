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
use self::traffic::{FLOOD, close_books, flood, logged_in, neglect, resolve, talk, underlay};

/// As many queues as processors. The driver can do without copies, as it may not take addresses of
/// memory as they are; but as it is a module, nobody should ask it to.
const VIRTIO: Nic = Nic {
    model: "virtio-net-pci,mq=on,vectors=10,iommu_platform=on,disable-legacy=on",
    queues: 2,
};

/// The same device, as it mostly is: the driver must copy.
const VIRTIO_AS_IS: Nic = Nic {
    model: "virtio-net-pci,mq=on,vectors=10",
    queues: 2,
};

/// A device whose driver runs XDP programs and knows of no more. Of the two queues that it makes, this
/// host fills one.
const VMXNET3: Nic = Nic {
    model: "vmxnet3",
    queues: 1,
};

/// The longest packets that virtio_net shows to XDP programs. It accepts a larger MTU, but forgets that
/// its own header takes 12 bytes of the page, and drops what needs them.
const VIRTIO_MTU_MAX: u32 = 3494;
/// With this MTU it refuses programs.
const VIRTIO_MTU_TOO_LARGE: u32 = 3507;

/// Insists on it.
const ZERO_COPY: &str = "zero_copy = \"on\"";
/// Does without it.
const COPY: &str = "zero_copy = \"off\"";
/// Why nobody asks this driver for it who does not insist.
const SPOILT: &str = "copy, because virtio_net, as a module, spoils what is sent without copies";

fn assert_mode(guest: &Guest, expected: &str) {
    let shown = guest.ringlay("show node");
    assert!(shown.contains(expected), "{shown}\n{}", guest.log());
}

#[test]
fn frames_are_not_copied_where_the_driver_can_do_without() {
    let guest = Guest::boot(VIRTIO);
    guest.start(ZERO_COPY);
    assert_mode(&guest, "eth0, 2 queues, native XDP, zero-copy");
    assert!(guest.log().contains("zero-copy is insisted on"));
    talk(&guest);
    flood(&guest);
    let sent = underlay(&guest.stats(), "af_xdp")["tx_frames"].as_u64();
    // The driver took them from the sockets itself: it counts no others so.
    assert_eq!(Some(guest.counter("tx_xdp_tx")), sent);
    assert!(sent > Some(FLOOD.into()), "{sent:?}");
    guest.end("TERM");
    for (mtu, setting, mode) in [
        (1500, "", SPOILT),
        (1500, COPY, "copy"),
        (VIRTIO_MTU_MAX, ZERO_COPY, "zero-copy"),
        (VIRTIO_MTU_MAX, "", SPOILT),
    ] {
        guest.set_mtu(mtu);
        guest.start(setting);
        assert_mode(&guest, &format!("native XDP, {mode}"));
        talk(&guest);
        close_books(&guest);
        guest.end("TERM");
    }
}

#[test]
fn without_a_place_for_programs_in_the_driver_there_are_copies() {
    let guest = Guest::boot(VIRTIO);
    guest.set_mtu(VIRTIO_MTU_TOO_LARGE);
    let refused = guest.refuse(ZERO_COPY);
    assert!(refused.contains("which zero-copy takes"), "{refused}");
    assert!(!guest.link().contains("xdp"));
    guest.start("");
    assert_mode(&guest, "generic XDP");
    talk(&guest);
    close_books(&guest);
}

#[test]
fn the_machines_connections_outlive_starts_stops_and_kills() {
    let guest = Guest::boot(VIRTIO);
    logged_in(&guest, || {
        for signal in ["TERM", "KILL", "TERM", "KILL"] {
            guest.start(ZERO_COPY);
            talk(&guest);
            resolve(&guest);
            assert!(guest.link().contains("xdp"));
            guest.end(signal);
            resolve(&guest);
            assert!(!guest.link().contains("xdp"));
        }
        guest.start(ZERO_COPY);
        neglect(&guest);
        talk(&guest);
        guest.run("ip link set eth0 down; sleep 1; ip link set eth0 up");
        talk(&guest);
        close_books(&guest);
        assert_mode(&guest, "zero-copy");
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
            guest.start(ZERO_COPY);
            let mode = "eth0, 3 queues, native XDP, zero-copy on 1 of 3 queues";
            assert_mode(&guest, mode);
            talk(&guest);
            flood(&guest);
            // The driver has no other number of queues as long as there is a program.
            assert!(guest.try_run("ethtool -L eth0 combined 2").is_err());
            talk(&guest);
            // It was not opened again.
            assert_eq!(guest.log().matches("wire open").count(), 1);
            guest.end(signal);
        }
    });
}

#[test]
fn a_driver_that_copies_is_left_to() {
    for nic in [VMXNET3, VIRTIO_AS_IS] {
        let guest = Guest::boot(nic);
        let refused = guest.refuse(ZERO_COPY);
        assert!(refused.contains("cannot do without copies"), "{refused}");
        assert!(!guest.link().contains("xdp"));
        guest.start("");
        assert_mode(&guest, "eth0, 2 queues, native XDP, copy");
        talk(&guest);
        flood(&guest);
    }
}
