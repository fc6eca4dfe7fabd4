//! XDP programs of others on devices that are to be wires or stations, and others who come later: none
//! takes the place of another, however it was attached.

use std::{
    any::Any,
    fs, io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use nix::libc::{EBUSY, EEXIST};
use ringlay_dataplane::{
    port::xdp::{Selection, XdpProgram},
    sys::{
        bpf::{self, Instruction, ProgramKind, XdpMode},
        link,
        netns::run_in,
    },
};
use rtnetlink::{
    LinkUnspec,
    packet_route::link::{LinkAttribute, LinkXdp},
};

use super::{
    hosts::Hosts,
    link::{STATION, overlay as station, reach_and_talk, route_there, with_guest},
    wire::{overlay, talk},
};

/// How a program can be attached.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By a link, which its descriptor holds.
    Link,
    /// By netlink, as `ip link set DEVICE xdp` does.
    Netlink,
}

const WAYS: [(Way, XdpMode); 4] = [
    (Way::Link, XdpMode::Native),
    (Way::Link, XdpMode::Generic),
    (Way::Netlink, XdpMode::Native),
    (Way::Netlink, XdpMode::Generic),
];

// Flags of `linux/if_link.h`.
const ANY_MODE: u32 = 0;
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// A program attached by netlink, until it is dropped.
struct Attached {
    netns: PathBuf,
    device: String,
    flags: u32,
}

impl Attached {
    fn new(netns: &Path, device: &str, mode: XdpMode) -> Self {
        let flags = match mode {
            XdpMode::Native => NATIVE,
            XdpMode::Generic => GENERIC,
        };
        let program = pass_all();
        set_program(netns, device, program.as_raw_fd(), flags).unwrap();
        let (netns, device) = (netns.to_owned(), device.to_owned());
        Self {
            netns,
            device,
            flags,
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // The device may be gone.
        let _ = set_program(&self.netns, &self.device, NO_PROGRAM, self.flags);
    }
}

/// What takes a program away.
const NO_PROGRAM: RawFd = -1;

/// `return XDP_PASS`
fn pass_all() -> OwnedFd {
    let instruction = |opcode, immediate| Instruction {
        opcode,
        registers: 0,
        offset: 0,
        immediate,
    };
    let program = [instruction(0xb7, 2), instruction(0x95, 0)];
    bpf::load(ProgramKind::Xdp, &program).unwrap()
}

/// Asks the kernel for this program on a device.
fn set_program(netns: &Path, device: &str, program: RawFd, flags: u32) -> io::Result<()> {
    let set = || {
        let xdp = vec![LinkXdp::Fd(program), LinkXdp::Flags(flags)];
        let message = LinkUnspec::new_with_index(link::index(device)?)
            .append_extra_attribute(LinkAttribute::Xdp(xdp))
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            let done = handle.link().set(message).execute().await;
            done.map_err(|error| match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io(),
                other => io::Error::other(other),
            })
        })
    };
    run_in(netns, set).unwrap()
}

/// Attaches a program to a device; it is there until what is returned is dropped.
fn occupy(netns: &Path, device: &str, (way, mode): (Way, XdpMode)) -> Box<dyn Any> {
    match way {
        Way::Netlink => Box::new(Attached::new(netns, device, mode)),
        Way::Link => {
            let attach =
                || XdpProgram::attach(link::index(device).unwrap(), 1, mode, &Selection::All);
            Box::new(run_in(netns, attach).unwrap().unwrap())
        }
    }
}

/// The number of the program on a device of the first host.
fn number(hosts: &Hosts, device: &str) -> String {
    let shown = hosts.ip(0, &format!("link show {device}"));
    let (_, number) = shown.split_once("prog/xdp id ").unwrap();
    number.split_whitespace().next().unwrap().to_owned()
}

/// What a node says of such a device.
fn complaint(hosts: &Hosts, device: &str) -> String {
    let number = number(hosts, device);
    format!("{device} has an XDP program already (id {number}), which is not replaced")
}

#[test]
fn a_wire_leaves_a_device_with_a_program_alone() {
    for way in WAYS {
        let mut hosts = Hosts::new();
        for host in 0..2 {
            hosts.set(host, "underlay", "driver = \"af_xdp\"");
        }
        let program = occupy(&hosts.netns_path(0), "eth0", way);
        let shown = hosts.ip(0, "link show eth0");
        let run = format!(
            "{} run --config {}",
            env!("CARGO_BIN_EXE_ringlay"),
            hosts.config(0).display()
        );
        let refused = hosts.exec(0, &run);
        assert_eq!(refused.status.code(), Some(1), "{way:?}");
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(
            stderr.contains(&complaint(&hosts, "eth0")),
            "{way:?}: {stderr}"
        );
        assert_eq!(hosts.ip(0, "link show eth0"), shown, "{way:?}");
        drop(program);
        hosts.start(0);
        hosts.start(1);
        assert!(hosts.pings("10.42.2.1"));
        hosts.wait_for_wire(0, "10.42.2.1");
    }
}

#[test]
fn a_station_leaves_a_device_with_a_program_alone() {
    for way in WAYS {
        let (mut hosts, guest) = with_guest();
        route_there(&hosts);
        hosts.start(0);
        hosts.start(1);
        let program = occupy(&hosts.netns_path(0), "xp0", way);
        let shown = hosts.ip(0, "link show xp0");
        let add = "port add xp0 --kind af_xdp --network blue \
                   --address 10.42.101.1/24,fd42:101::1/64";
        let refused = hosts.try_ringlay(0, add);
        assert!(
            refused.contains(&complaint(&hosts, "xp0")),
            "{way:?}: {refused}"
        );
        assert_eq!(hosts.ip(0, "link show xp0"), shown, "{way:?}");
        assert!(!hosts.ringlay(0, "port list").contains("xp0"));
        assert!(hosts.pings("10.42.2.1"), "other ports are served");
        drop(program);
        hosts.ringlay(0, add);
        reach_and_talk(&hosts, &guest);
    }
}

/// Fails unless the kernel refuses to replace, accompany or take away our program on a device.
fn assert_kept(hosts: &Hosts, device: &str) {
    let netns = hosts.netns_path(0);
    let shown = hosts.ip(0, &format!("link show {device}"));
    let other = pass_all();
    for flags in [ANY_MODE, NATIVE, GENERIC] {
        let refused = set_program(&netns, device, other.as_raw_fd(), flags);
        let errno = refused.unwrap_err().raw_os_error().unwrap();
        assert!([EBUSY, EEXIST].contains(&errno), "{flags}: {errno}");
    }
    for flags in [ANY_MODE, NATIVE, GENERIC] {
        // In a mode that has no program nothing is to be done, and that is no error.
        let _ = set_program(&netns, device, NO_PROGRAM, flags);
    }
    assert_eq!(hosts.ip(0, &format!("link show {device}")), shown);
}

#[test]
fn nobody_who_comes_later_takes_the_place_of_a_wire() {
    for (mode, mtu) in [("native XDP", 1500), ("generic XDP", 3800)] {
        let hosts = overlay(["af_xdp", "af_xdp"], |hosts| {
            (0..2).for_each(|host| drop(hosts.ip(host, &format!("link set eth0 mtu {mtu}"))));
        });
        assert!(hosts.pings("10.42.2.1"));
        hosts.wait_for_wire(0, "10.42.2.1");
        assert!(hosts.ringlay(0, "show node").contains(mode));
        assert_kept(&hosts, "eth0");
        hosts.wait_for_wire(0, "10.42.2.1");
        talk(&hosts);
    }
}

#[test]
fn nobody_who_comes_later_takes_the_place_of_a_station() {
    let (hosts, guest) = with_guest();
    let hosts = station(hosts, STATION);
    reach_and_talk(&hosts, &guest);
    assert_kept(&hosts, "xp0");
    reach_and_talk(&hosts, &guest);
}

/// The sockets do until the program is gone.
#[test]
fn a_device_may_come_back_with_a_program() {
    let hosts = overlay(["af_xdp", "af_xdp"], |_| ());
    assert!(hosts.pings("10.42.2.1"));
    hosts.wait_for_wire(0, "10.42.2.1");
    hosts.ip(0, "link delete eth0");
    hosts.wait_for(0, "it is missed", || {
        hosts.log(0).contains("the device is gone")
    });
    let far = hosts.netns(1);
    hosts.ip(
        0,
        &format!("link add eth1 type veth peer name eth0 netns {far}"),
    );
    let program = occupy(
        &hosts.netns_path(0),
        "eth1",
        (Way::Netlink, XdpMode::Generic),
    );
    hosts.ip(0, "link set eth1 name eth0");
    for host in 0..2 {
        let number = host + 1;
        hosts.ip(
            host,
            &format!("address add 192.168.77.{number}/24 dev eth0"),
        );
        hosts.ip(host, "link set eth0 up");
    }
    let complaint = complaint(&hosts, "eth0");
    hosts.wait_for(0, "it says so", || {
        let shown = hosts.ringlay(0, "show node");
        shown.contains("by sockets: eth0: ") && shown.contains(&complaint)
    });
    hosts.wait_for(0, "packets cross", || hosts.answers("10.42.2.1"));
    let [_, before] = hosts.underlay(0, "af_xdp");
    assert!(hosts.pings("10.42.2.1"));
    assert_eq!(hosts.underlay(0, "af_xdp")[1], before, "by the sockets");
    drop(program);
    // What the test took for its name is now called otherwise.
    set_program(&hosts.netns_path(0), "eth0", NO_PROGRAM, GENERIC).unwrap();
    hosts.wait_for_wire(0, "10.42.2.1");
    talk(&hosts);
}

#[test]
fn another_node_is_left_alone() {
    let mut hosts = Hosts::new();
    hosts.set(0, "underlay", "driver = \"af_xdp\"");
    hosts.start(0);
    hosts.ip(0, "address add 192.168.77.3/24 dev eth0");
    let config = fs::read_to_string(hosts.config(0)).unwrap();
    let other = config
        .replace("\"192.168.77.1\"", "\"192.168.77.3\"")
        .replace("0.sock", "other.sock")
        .replace("rl0", "rl1");
    fs::write(hosts.config(1), other).unwrap();
    let binary = env!("CARGO_BIN_EXE_ringlay");
    let file = hosts.config(1);
    let refused = hosts.exec(0, &format!("{binary} run --config {}", file.display()));
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        stderr.contains("eth0 has an XDP program already (id "),
        "{stderr}"
    );
}
