//! A host with its node, and guests on TAP devices of a bridged network.

use std::fmt::Write;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::namespace::Namespace;

use super::support::node::Node;
use super::support::pair::{Pair, Underlay, ip};

const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace with one device on the bridged network.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) netns: Namespace,
    pub(crate) mac: String,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
}

/// Name of the device of every guest.
pub(crate) const DEVICE: &str = "eth9";

impl Guest {
    /// An empty namespace; its numbers make its addresses.
    pub(crate) fn create(pair: &Pair, number: u8) -> Self {
        let name = format!("{}-g{number}", pair.node.name());
        Self {
            netns: Namespace::create(&pair.cleanup, &name).unwrap(),
            mac: format!("02:09:00:00:00:{number:02x}"),
            v4: format!("10.9.0.{number}").parse().unwrap(),
            v6: format!("fd09::{number:x}").parse().unwrap(),
        }
    }

    /// Gives the device, which is there by now, its addresses.
    pub(crate) fn furnish(&self) {
        for command in [
            format!("link set {DEVICE} address {} up", self.mac),
            format!("address add {}/24 dev {DEVICE}", self.v4),
            format!("address add {}/64 dev {DEVICE} nodad", self.v6),
        ] {
            ip(&self.netns, &command);
        }
    }
}

/// A node of a bridged network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) driver: &'a str,
    pub(crate) underlay_driver: &'a str,
    pub(crate) underlay: Underlay,
    /// Keys of the network.
    pub(crate) network: &'a str,
    /// Further lines.
    pub(crate) more: &'a str,
}

impl Site<'_> {
    /// Starts it on a host of the pair: 0 is that of the node, 1 that of its peer. Each guest is
    /// behind a port of its own, `gN`.
    pub(crate) fn start(&self, pair: &Pair, host: usize, guests: &[&Guest]) -> Node {
        let hosts = [&pair.node, &pair.peer];
        let ends = [self.underlay.node(), self.underlay.peer()];
        let name = format!("node{host}");
        let socket = pair.directory().join(format!("{name}.sock"));
        let Self {
            driver,
            underlay_driver,
            network,
            more,
            ..
        } = self;
        let mut text = format!(
            "[node]\nname = \"{name}\"\nsocket = \"{}\"\n\
             [dataplane]\ndriver = \"{driver}\"\n\
             [underlay]\naddress = \"{}\"\ndriver = \"{underlay_driver}\"\n\
             [[network]]\nname = \"blue\"\nmode = \"bridged\"\n{network}\n\
             [[vtep]]\nnetwork = \"blue\"\naddress = \"{}\"\n{more}\n",
            socket.display(),
            ends[host],
            ends[1 - host],
        );
        for (number, guest) in guests.iter().enumerate() {
            writeln!(
                text,
                "[[port]]\nname = \"g{number}\"\nnetwork = \"blue\"\nkind = \"tap\"\n\
                 device = \"{DEVICE}\"\nnetns = \"/run/netns/{}\"",
                guest.netns.name()
            )
            .unwrap();
        }
        let node = Node::start_in(pair, hosts[host], &name, &text);
        guests.iter().for_each(|guest| guest.furnish());
        node
    }
}

/// A VXLAN network.
pub(crate) const VXLAN: Site<'_> = Site {
    driver: "auto",
    underlay_driver: "udp",
    underlay: Underlay::V4,
    network: "vni = 42",
    more: "",
};

/// Where a node knows a station to be, as `vtep ADDRESS` or `port NAME`, and whose word that is.
pub(crate) fn known(node: &Node, mac: &str) -> Option<(String, String)> {
    let listed = node.query("fdb list --network blue");
    let entry = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["mac"] == mac)?;
    let site = ["vtep", "port"].into_iter().find_map(|kind| {
        let name = entry[kind].as_str()?;
        Some(format!("{kind} {name}"))
    });
    Some((site?, entry["source"].as_str()?.to_owned()))
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a node knows a station at a site.
#[track_caller]
pub(crate) fn wait_until_known(node: &Node, mac: &str, site: &str, source: &str) {
    let expected = Some((site.to_owned(), source.to_owned()));
    wait_until(&format!("{mac} at {site} from {source}"), || {
        known(node, mac) == expected
    });
}

/// Frames that a node dropped for a reason.
pub(crate) fn drops(node: &Node, reason: &str) -> u64 {
    node.query("stats --all")["drops"][reason].as_u64().unwrap()
}
