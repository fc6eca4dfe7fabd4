//! tshark reads what the node puts on the underlay, and finds nothing to say about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::support::capture::{Capture, assert_no_complaint, decode, sent_by};
use crate::support::kernel_peer::{self, Style};
use crate::support::node::{Node, NodeConfig, VNI};
use crate::support::pair::{Pair, UNDERLAY_DEVICE, Underlay};
use crate::support::traffic::{exchange_tcp, exchange_udp, ping, udp_flow};

#[test]
fn ipv4_io_uring() {
    frames_are_clean(Underlay::V4, "io_uring");
}

#[test]
fn ipv4_epoll() {
    frames_are_clean(Underlay::V4, "epoll");
}

#[test]
fn ipv6_io_uring() {
    frames_are_clean(Underlay::V6, "io_uring");
}

#[test]
fn ipv6_epoll() {
    frames_are_clean(Underlay::V6, "epoll");
}

fn frames_are_clean(underlay: Underlay, driver: &'static str) {
    let pair = Pair::create();
    let frames = Frames {
        file: record(&pair, underlay, driver),
        underlay,
    };
    assert_no_complaint(&frames.file, &frames.by_node(), "tcp");
    frames.assert_outer_headers();
    frames.assert_inner_headers();
    frames.assert_flows_spread();
    if underlay == Underlay::V6 {
        frames.assert_labels_spread();
    }
}

/// Captures some of every kind of traffic where it leaves the node.
fn record(pair: &Pair, underlay: Underlay, driver: &'static str) -> PathBuf {
    kernel_peer::start(pair, underlay, Style::OnLink);
    let config = NodeConfig {
        mac: Some(kernel_peer::NODE_MAC),
        ..NodeConfig::new(driver, underlay)
    };
    let capture = Capture::start(pair, &pair.node, UNDERLAY_DEVICE, "udp");
    let node = Node::start(pair, &config);
    send(pair);
    node.assert_alive();
    capture.finish()
}

fn send(pair: &Pair) {
    for address in ["10.42.2.1", "fd42:2::1"] {
        let address: IpAddr = address.parse().unwrap();
        ping(&pair.node, address, 3);
        exchange_tcp(&pair.node, &pair.peer, address, 100_000);
        exchange_udp(
            &pair.node,
            &pair.peer,
            address,
            [0, 1, 2, 101, 1300, 4000].into_iter(),
        );
        send_flows(pair, address);
    }
}

fn send_flows(pair: &Pair, address: IpAddr) {
    let flows: Vec<_> = (0..FLOWS)
        .map(|_| udp_flow(&pair.node, &pair.peer, address))
        .collect();
    for [near, far] in &flows {
        for round in 0..DATAGRAMS_PER_FLOW {
            near.send(&[round; FLOW_PAYLOAD]).unwrap();
            far.recv(&mut [0; FLOW_PAYLOAD]).unwrap();
        }
    }
}

/// What was captured.
struct Frames {
    file: PathBuf,
    underlay: Underlay,
}

impl Frames {
    /// The filter for what the node sent.
    fn by_node(&self) -> String {
        sent_by(self.underlay.node())
    }

    /// The chosen fields of what the node sent, and of that what matches `filter`.
    fn sent(&self, filter: &str, fields: &[&str]) -> Vec<Vec<Vec<String>>> {
        let filter = format!("{} && ({filter})", self.by_node());
        decode(&self.file, &filter, fields)
    }

    fn assert_outer_headers(&self) {
        let fields = [
            "frame.protocols",
            "udp.srcport",
            "udp.dstport",
            "udp.checksum.status",
            "ip.ttl",
        ];
        let (stack, outer_ttl) = match self.underlay {
            Underlay::V4 => ("eth:ethertype:ip:udp:vxlan:eth:ethertype:", Some("64")),
            Underlay::V6 => ("eth:ethertype:ipv6:udp:vxlan:eth:ethertype:", None),
        };
        for row in self.sent("udp", &fields) {
            assert!(row[0][0].starts_with(stack), "{row:?}");
            assert!(is_entropy(&row[1][0]), "{row:?}");
            assert_eq!(row[2][0], "4789", "{row:?}");
            assert_eq!(row[3][0], "1", "the outer checksum is there: {row:?}");
            assert!(outer_ttl.is_none_or(|ttl| row[4][0] == ttl), "{row:?}");
        }
        let header = ["vxlan.flags", "vxlan.gbp", "vxlan.vni", "vxlan.reserved8"];
        for row in self.sent("vxlan", &header) {
            let row: Vec<_> = row.iter().map(|field| field[0].as_str()).collect();
            assert_eq!(row, ["0x0800", "0", &VNI.to_string(), "0"]);
        }
    }

    fn assert_inner_headers(&self) {
        let fields = ["eth.src", "eth.dst", "eth.type"];
        let known = |mac: &str| {
            mac == kernel_peer::MAC || mac == "ff:ff:ff:ff:ff:ff" || mac.starts_with("33:33:")
        };
        let mut types = BTreeSet::new();
        for row in self.sent("vxlan", &fields) {
            assert_eq!(row[0][1], kernel_peer::NODE_MAC, "{row:?}");
            assert!(known(&row[1][1]), "{row:?}");
            types.insert(row[2][1].clone());
        }
        assert_eq!(
            Vec::from_iter(types),
            ["0x0800", "0x0806", "0x86dd"],
            "each was sent"
        );
        self.assert_one_hop("ip.dst == 10.42.2.1", "ip.ttl");
        self.assert_one_hop("ipv6.dst == fd42:2::1", "ipv6.hlim");
    }

    /// Hosts send with 64, and the node is a router between its host and the tunnel.
    fn assert_one_hop(&self, destination: &str, field: &str) {
        let of_hosts = "tcp || icmp.type == 8 || icmpv6.type == 128 || udp.length == 108";
        let rows = self.sent(&format!("{destination} && ({of_hosts})"), &[field]);
        assert!(rows.len() > FLOWS, "{} packets", rows.len());
        for row in rows {
            assert_eq!(row[0].last().map(String::as_str), Some("63"), "{field}");
        }
    }

    /// Flows take different ways through the underlay, and each stays on one.
    fn assert_flows_spread(&self) {
        let fields = ["udp.srcport", "ipv6.dst"];
        let payload = format!("udp.length == {}", FLOW_PAYLOAD + 8);
        let mut ports_by_flow = BTreeMap::<_, BTreeSet<_>>::new();
        let rows = self.sent(&payload, &fields);
        assert_eq!(rows.len(), 2 * FLOWS * usize::from(DATAGRAMS_PER_FLOW));
        for row in rows {
            let [outer, inner] = row[0].as_slice() else {
                panic!("two UDP headers: {row:?}")
            };
            let flow = (inner.clone(), row[1].clone());
            ports_by_flow.entry(flow).or_default().insert(outer.clone());
        }
        assert!(
            ports_by_flow.values().all(|ports| ports.len() == 1),
            "{ports_by_flow:?}"
        );
        let distinct: BTreeSet<_> = ports_by_flow.values().flatten().collect();
        assert!(distinct.len() >= DISTINCT_PORTS_MIN, "{distinct:?}");
    }

    /// Routers that look at the flow label instead of ports see the same flows (RFC 6438).
    fn assert_labels_spread(&self) {
        let mut labels_by_port = BTreeMap::<_, BTreeSet<_>>::new();
        for row in self.sent("vxlan", &["udp.srcport", "ipv6.flow"]) {
            let (port, label) = (row[0][0].clone(), row[1][0].clone());
            assert_ne!(label, "0x00000", "port {port}");
            labels_by_port.entry(port).or_default().insert(label);
        }
        assert!(
            labels_by_port.values().all(|labels| labels.len() == 1),
            "{labels_by_port:?}"
        );
        let distinct: BTreeSet<_> = labels_by_port.values().flatten().collect();
        assert_eq!(distinct.len(), labels_by_port.len());
    }
}

/// Whether `port` is of the range that RFC 7348 section 5 recommends.
fn is_entropy(port: &str) -> bool {
    port.parse().is_ok_and(|port: u16| port >= 49152)
}

/// UDP flows that are opened beside each other, over IPv4 and over IPv6.
const FLOWS: usize = 64;
const DATAGRAMS_PER_FLOW: u8 = 3;
/// A size that nothing else here has.
const FLOW_PAYLOAD: usize = 100;
/// A node sends from a handful of ports, and so many flows hardly miss any of them.
const DISTINCT_PORTS_MIN: usize = 6;
