//! Two hosts on one underlay: one for the node under test, one for its peer.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::link::wait_until_operational;
use ringlay_control::lab::namespace::Namespace;
use tempfile::TempDir;

/// Name of the underlay device in each host.
pub(crate) const UNDERLAY_DEVICE: &str = "eth0";
/// The underlay's MTU in bytes.
pub(crate) const UNDERLAY_MTU: u32 = 1500;

/// Longer than the kernel takes to raise a device on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ports that the hosts choose from for sockets that ask for none: not those that tunnels are
/// sent from.
pub(crate) const EPHEMERAL_PORTS: (u16, u16) = (32768, 40000);

/// Which IP version the underlay is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Underlay {
    V4,
    V6,
}

impl Underlay {
    /// Address of the host with the node under test.
    pub(crate) fn node(self) -> IpAddr {
        self.host(1)
    }

    /// Address of the peer.
    pub(crate) fn peer(self) -> IpAddr {
        self.host(2)
    }

    /// An address that the peer has too, but that no configuration names.
    pub(crate) fn stranger(self) -> IpAddr {
        self.host(66)
    }

    /// The largest IP packet that fits inside: less Ethernet, VXLAN, UDP and IP headers.
    pub(crate) fn inner_mtu(self) -> u32 {
        let outer_ip = if self == Self::V4 { 20 } else { 40 };
        UNDERLAY_MTU - 14 - 8 - 8 - outer_ip
    }

    /// Length of the underlay's prefix.
    pub(crate) fn prefix_length(self) -> u8 {
        if self == Self::V4 { 24 } else { 64 }
    }

    fn host(self, number: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(192, 168, 77, number).into(),
            Self::V6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()).into(),
        }
    }
}

/// The hosts. Both have both underlay addresses.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) node: Namespace,
    pub(crate) peer: Namespace,
    pub(crate) cleanup: Cleanup,
    directory: TempDir,
}

impl Pair {
    pub(crate) fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("rlt{}-{count}", process::id());
        let cleanup = Cleanup::new();
        let create = |name: &str| {
            Namespace::create(&cleanup, &format!("{prefix}-{name}"))
                .expect("these tests need root, to make network namespaces")
        };
        let (node, peer) = (create("node"), create("peer"));
        let directory = TempDir::with_prefix("ringlay-test-").unwrap();
        let pair = Self {
            node,
            peer,
            cleanup,
            directory,
        };
        pair.join();
        pair
    }

    /// A private directory for files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps from the peer's kernel what comes by the underlay, for a program that answers instead:
    /// packet sockets still hear it. Returns the device's MAC address.
    pub(crate) fn deafen_peer(&self) -> &'static str {
        let mac = "02:00:00:00:77:0b";
        let device = UNDERLAY_DEVICE;
        ip(&self.peer, &format!("link set {device} address {mac}"));
        run(&self.peer, "nft", "add table netdev deaf");
        run(
            &self.peer,
            "nft",
            &format!(
                "add chain netdev deaf ear {{ type filter hook ingress device {device} \
                 priority 0 ; policy drop ; }}"
            ),
        );
        mac
    }

    fn join(&self) {
        let device = UNDERLAY_DEVICE;
        let far = self.peer.name();
        ip(
            &self.node,
            &format!("link add {device} type veth peer name {device} netns {far}"),
        );
        for (host, number) in [(&self.node, 1), (&self.peer, 2)] {
            // Whatever leaves is complete: segmented, with all its checksums.
            run(
                host,
                "ethtool",
                &format!("-K {device} tx off tso off gso off"),
            );
            ip(
                host,
                &format!("address add 192.168.77.{number}/24 dev {device}"),
            );
            ip(
                host,
                &format!("address add fd77::{number}/64 dev {device} nodad"),
            );
            ip(host, &format!("link set {device} mtu {UNDERLAY_MTU} up"));
            let (first, last) = EPHEMERAL_PORTS;
            let path = "/proc/sys/net/ipv4/ip_local_port_range";
            let written = host.run(|| fs::write(path, format!("{first} {last}")));
            written.unwrap().unwrap();
        }
        for host in [&self.node, &self.peer] {
            let wait = || wait_until_operational(device, PATIENCE);
            host.run(wait).unwrap().unwrap();
        }
        let stranger = Underlay::V4.stranger();
        ip(
            &self.peer,
            &format!("address add {stranger}/24 dev {device}"),
        );
    }
}

/// Runs `ip` with `arguments`, separated by blanks, in `host`; it must succeed.
pub(crate) fn ip(host: &Namespace, arguments: &str) -> String {
    run(host, "ip", arguments)
}

/// Runs `program` with `arguments`, separated by blanks, in `host`; it must succeed.
pub(crate) fn run(host: &Namespace, program: &str, arguments: &str) -> String {
    let output = output(
        host,
        Command::new(program).args(arguments.split_whitespace()),
    );
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}: {program} {arguments}: {}\n{}{}",
        host.name(),
        output.status,
        text(&output.stdout),
        text(&output.stderr),
    );
    text(&output.stdout)
}

/// Runs `command` in `host` to its end.
pub(crate) fn output(host: &Namespace, command: &mut Command) -> Output {
    let ran = host.run(|| command.output()).unwrap();
    ran.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()))
}

/// The number that follows `key` in the output of a command.
pub(crate) fn number_after(text: &str, key: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == key)?;
    words.next()?.parse().ok()
}
