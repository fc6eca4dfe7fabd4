//! The path MTU is discovered: routers with narrower links are listened to, and liars are not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use ringlay_encap::icmpv4::{self, Icmpv4Error};
use ringlay_encap::{EtherType, MacAddr, Stamp, Template, Vni};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::pair::ip;
use crate::support::traffic::{exchange_tcp, exchange_udp, wait_for_ping};
use crate::topology::{Encap, Topology, Version, inner};

/// Two nodes whose own links are wide, and the second has a narrower one in front of it.
fn narrow_beyond_the_router(encap: Encap, version: Version, underlay: &str) -> Topology {
    let mut topology = Topology::with(encap, version, 1500);
    topology.set_mtu(1, 1400);
    topology.start_both(underlay, "");
    topology
}

fn is_discovered(encap: Encap, version: Version, underlay: &str) {
    let topology = narrow_beyond_the_router(encap, version, underlay);
    let [a, b] = &topology.hosts;
    let fits = 1400 - encap.overhead(version);
    for address in inner(1) {
        wait_for_ping(a, address);
        exchange_tcp(a, b, address, 2_000_000);
        topology.wait_for_mtu(0, fits, "router");
        let sizes = [1, 1200, 1300, 1400, 1450, 20_000];
        exchange_udp(a, b, address, sizes.into_iter());
    }
    let shown = topology.mtu(0);
    let router = match version {
        Version::V4 => "192.168.77.254",
        Version::V6 => "fd77:0::254",
    };
    let router: IpAddr = router.parse().unwrap();
    assert_eq!(shown["router"], router.to_string());
    assert_eq!(shown["outer"], 1400);
    let expires = shown["expires_seconds"].as_u64().unwrap();
    assert!((1..=600).contains(&expires), "{expires}");
    let route = ip(a, "route show 10.42.2.0/24");
    assert!(route.contains(&format!("mtu {fits}")), "{route}");
    assert_eq!(
        topology.mtu(1)["origin"],
        "link",
        "nothing was lost that way"
    );
}

#[test]
fn by_sockets_over_ipv4() {
    is_discovered(Encap::Vxlan, Version::V4, "driver = \"udp\"");
}

#[test]
fn by_sockets_over_ipv6() {
    is_discovered(Encap::Vxlan, Version::V6, "driver = \"udp\"");
}

#[test]
fn by_an_uplink_over_ipv4() {
    is_discovered(Encap::Vxlan, Version::V4, "driver = \"tunnel-gso\"");
}

#[test]
fn by_an_uplink_over_ipv6() {
    is_discovered(Encap::Vxlan, Version::V6, "driver = \"tunnel-gso\"");
}

#[test]
fn by_raw_sockets() {
    for (encap, version) in above_ip() {
        is_discovered(encap, version, "driver = \"udp\"");
    }
}

#[test]
fn by_uplinks_for_what_is_right_above_ip() {
    for (encap, version) in above_ip() {
        is_discovered(encap, version, "driver = \"tunnel-gso\"");
    }
}

/// The encapsulations without a UDP header, over both versions of IP.
pub(crate) fn above_ip() -> impl Iterator<Item = (Encap, Version)> {
    let each = |encap| [(encap, Version::V4), (encap, Version::V6)];
    [Encap::Gre, Encap::Ipip].into_iter().flat_map(each)
}

#[test]
fn without_df_the_router_fragments() {
    for (encap, driver) in [
        (Encap::Vxlan, "udp"),
        (Encap::Vxlan, "tunnel-gso"),
        (Encap::Gre, "udp"),
        (Encap::Gre, "tunnel-gso"),
        (Encap::Ipip, "udp"),
        (Encap::Ipip, "tunnel-gso"),
    ] {
        let topology = narrow_beyond_the_router(
            encap,
            Version::V4,
            &format!("df = \"clear\"\ndriver = \"{driver}\""),
        );
        let [a, b] = &topology.hosts;
        let [address, _] = inner(1);
        wait_for_ping(a, address);
        exchange_tcp(a, b, address, 500_000);
        exchange_udp(a, b, address, [1, 1300, 1422, 20_000].into_iter());
        assert_eq!(topology.mtu(0)["origin"], "link");
        assert!(
            snmp(b, "ReasmOKs") > 0,
            "the underlay's fragments were put together"
        );
    }
}

/// A counter of a host's IPv4 stack.
pub(crate) fn snmp(host: &ringlay_control::lab::namespace::Namespace, counter: &str) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let counters = host.run(read).unwrap();
    let mut lines = counters.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = pairs.find(|(name, _)| *name == counter).unwrap();
    value.parse().unwrap()
}

/// What a forged message says.
#[derive(Clone, Copy)]
pub(crate) struct Forgery {
    mtu: u16,
    destination: Ipv4Addr,
    port: u16,
    vni: u32,
    source_mac: MacAddr,
    len: usize,
    quoted: usize,
}

impl Forgery {
    /// One that nothing is wrong with: it tells the first host 1300 bytes.
    pub(crate) fn believable(topology: &Topology) -> Self {
        let shown = topology.ringlay(0, "network show blue --json");
        let network: serde_json::Value = serde_json::from_str(&shown).unwrap();
        Self {
            mtu: 1300,
            destination: Ipv4Addr::new(192, 168, 78, 1),
            port: 4789,
            vni: 42,
            source_mac: network["mac"].as_str().unwrap().parse().unwrap(),
            len: 1500,
            quoted: 500,
        }
    }

    /// Tells the first host from the router.
    pub(crate) fn send(self, topology: &Topology) {
        let (a, router) = (
            Ipv4Addr::new(192, 168, 77, 1),
            Ipv4Addr::new(192, 168, 77, 254),
        );
        let template = Template::builder(a.into(), self.destination.into())
            .port(self.port)
            .vxlan(
                Vni::new(self.vni).unwrap(),
                MacAddr::BROADCAST,
                self.source_mac,
            )
            .unwrap();
        let mut packet = vec![0; self.len];
        let (header, inner) = packet.split_at_mut(template.len());
        template
            .stamp(header, &Stamp::new(EtherType::IPV4, inner.len()))
            .unwrap();
        let error = Icmpv4Error::FragmentationNeeded { mtu: self.mtu };
        packet.truncate(self.quoted);
        let header = icmpv4::error_header(error, router, &packet).unwrap();
        // The kernel makes the IP header.
        let message = [&header[20..], &packet].concat();
        let send = || -> io::Result<usize> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
            UdpSocket::from(socket).send_to(&message, SocketAddr::from((a, 0)))
        };
        topology.router.run(send).unwrap().unwrap();
    }
}

#[test]
fn forged_messages_are_not_believed() {
    let mut topology = Topology::new(Version::V4, 1500);
    topology.start_both("probe = \"off\"", "");
    let right = Forgery::believable(&topology);
    let forgeries = [
        Forgery { vni: 43, ..right },
        Forgery {
            port: 4790,
            ..right
        },
        Forgery {
            source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ..right
        },
        Forgery {
            destination: Ipv4Addr::new(192, 168, 78, 9),
            ..right
        },
        Forgery { mtu: 68, ..right },
        Forgery { mtu: 551, ..right },
        Forgery { mtu: 1500, ..right },
        // It would have fit, and it is longer than anything that was sent.
        Forgery { len: 1200, ..right },
        Forgery { len: 9000, ..right },
    ];
    for forgery in forgeries {
        forgery.send(&topology);
    }
    thread::sleep(Duration::from_millis(300));
    let shown = topology.mtu(0);
    assert_eq!(
        (&shown["mtu"], &shown["origin"]),
        (&1450.into(), &"link".into())
    );
    // But for what is wrong with each, they would have been; also if the quote is short.
    Forgery {
        mtu: 1400,
        quoted: 28,
        ..right
    }
    .send(&topology);
    topology.wait_for_mtu(0, 1350, "router");
    right.send(&topology);
    topology.wait_for_mtu(0, 1250, "router");
    Forgery {
        mtu: 1280,
        len: 1400,
        ..right
    }
    .send(&topology);
    topology.wait_for_mtu(0, 1230, "router");
}
