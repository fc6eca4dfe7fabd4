use ringlay_encap::{ArpRepr, EthernetFrame, Ipv6Packet, NeighbourSolicit};

use super::*;

const TUNNEL: TunnelId = TunnelId(7);
const NETWORK: NetworkId = NetworkId(3);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const FAR: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const FAR_TOO: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn view() -> TunnelView {
    TunnelView {
        network: NETWORK,
        vtep: ip("192.0.2.1"),
        via: None,
        hint: Some(ip("10.2.0.1")),
        mac: MAC,
        addresses: vec![ip("10.1.0.1"), ip("fd00:1::1")],
        needs_mac: true,
        configured: None,
    }
}

/// A resolver and its time.
struct Bench {
    resolver: Resolver,
    now: Instant,
}

impl Bench {
    fn new(view: TunnelView) -> Self {
        let mut bench = Self {
            resolver: Resolver::default(),
            now: Instant::now(),
        };
        assert!(!bench.resolver.put(TUNNEL, view, bench.now));
        bench
    }

    /// Lets time pass; returns when, in milliseconds from now, which address was asked for.
    fn run(&mut self, time: Duration) -> Vec<(u128, IpAddr)> {
        let (start, end) = (self.now, self.now + time);
        let mut asked = Vec::new();
        while let Some(deadline) = self.resolver.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            let (requests, _) = self.resolver.poll(self.now);
            let at = (self.now - start).as_millis();
            asked.extend(requests.iter().map(|request| (at, target(&request.frame))));
        }
        self.now = end;
        asked
    }

    fn hear(&mut self, address: &str, mac: MacAddr) -> Vec<TunnelId> {
        self.resolver
            .heard(NETWORK, ip("192.0.2.1"), ip(address), mac, self.now)
    }

    fn state(&self) -> &'static str {
        self.resolver.status(TUNNEL, self.now).unwrap().state
    }
}

/// Checks a frame and says which address it asks for.
fn target(frame: &[u8]) -> IpAddr {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    assert_eq!(frame.src(), MAC);
    if let Ok(arp) = ArpRepr::parse(frame.payload()) {
        assert!(frame.dst().is_broadcast());
        assert_eq!(
            (arp.sender_mac, IpAddr::V4(arp.sender_ip)),
            (MAC, ip("10.1.0.1"))
        );
        return IpAddr::V4(arp.target_ip);
    }
    let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
    let solicit = NeighbourSolicit::parse_packet(&packet).unwrap();
    assert_eq!(solicit.source_mac, Some(MAC));
    assert_eq!(packet.src_addr().to_string(), "fd00:1::1");
    assert_eq!(packet.dst_addr().to_string(), "ff02::1:ff34:5678");
    assert_eq!(frame.dst().to_string(), "33:33:ff:34:56:78");
    IpAddr::V6(solicit.target)
}

#[test]
fn a_round_is_three_requests_and_then_they_get_rare() {
    let mut bench = Bench::new(view());
    assert_eq!(bench.state(), "incomplete");
    let asked = bench.run(Duration::from_secs(120));
    let times: Vec<_> = asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(
        times,
        [
            0, 1000, 2000, 3000, 5000, 9000, 17_000, 33_000, 63_000, 93_000
        ]
    );
    assert!(asked.iter().all(|(_, target)| *target == ip("10.2.0.1")));
    assert_eq!(bench.state(), "failed");
}

#[test]
fn a_tunnel_without_a_clue_stays_quiet_until_a_packet_waits() {
    let mut bench = Bench::new(TunnelView {
        hint: None,
        ..view()
    });
    assert_eq!(bench.run(Duration::from_secs(10)), []);
    bench.resolver.unresolved(TUNNEL, ip("10.2.3.4"), bench.now);
    assert_eq!(
        bench.run(Duration::from_millis(1500)),
        [(0, ip("10.2.3.4")), (1000, ip("10.2.3.4"))]
    );
}

#[test]
fn a_waiting_packet_ends_the_back_off_but_not_the_rate_limit() {
    let mut bench = Bench::new(view());
    bench.run(Duration::from_secs(70));
    for _ in 0..100 {
        bench
            .resolver
            .unresolved(TUNNEL, ip("fd00:2::1234:5678"), bench.now);
    }
    let asked = bench.run(Duration::from_millis(900));
    assert_eq!(asked, [(0, ip("fd00:2::1234:5678")), (0, ip("10.2.0.1"))]);
    bench
        .resolver
        .unresolved(TUNNEL, ip("fd00:2::1234:5678"), bench.now);
    assert_eq!(bench.run(Duration::from_millis(99)), []);
    assert_eq!(bench.run(Duration::from_millis(1)).len(), 2);
}

#[test]
fn what_is_heard_is_learned_refreshed_and_forgotten() {
    let mut bench = Bench::new(view());
    bench.run(Duration::from_millis(10));
    assert_eq!(bench.hear("10.2.0.9", FAR), [TUNNEL]);
    assert_eq!(bench.hear("10.2.0.9", FAR), []);
    assert_eq!(
        (bench.resolver.mac(TUNNEL), bench.state()),
        (Some(FAR), "reachable")
    );
    // The address that was heard is asked for first.
    let asked = bench.run(REFRESH);
    assert_eq!(asked, [(90_000, ip("10.2.0.9")), (90_000, ip("10.2.0.1"))]);
    bench.hear("10.2.0.9", FAR);
    assert_eq!(bench.run(Duration::from_secs(89)), []);
    let asked = bench.run(LIFETIME);
    assert_eq!(asked.iter().filter(|(at, _)| *at < 30_000).count(), 2 * 3);
    assert_eq!(bench.resolver.mac(TUNNEL), None);
    assert_eq!(bench.state(), "failed");
}

#[test]
fn losing_an_address_is_told_once() {
    let mut bench = Bench::new(view());
    bench.hear("10.2.0.1", FAR);
    let mut lost = Vec::new();
    for _ in 0..200 {
        bench.now += Duration::from_secs(1);
        lost.extend(bench.resolver.poll(bench.now).1);
    }
    assert_eq!(lost, [TUNNEL]);
}

#[test]
fn a_new_mac_address_counts_only_for_the_address_that_was_known() {
    let mut bench = Bench::new(view());
    bench.hear("10.2.0.1", FAR);
    assert_eq!(
        bench.hear("10.2.0.77", FAR_TOO),
        [],
        "another host behind the same VTEP"
    );
    assert_eq!(bench.hear("10.2.0.1", FAR_TOO), [TUNNEL]);
    assert_eq!(
        bench.hear("10.2.0.1", MacAddr::BROADCAST),
        [],
        "no station has it"
    );
    assert_eq!(bench.resolver.mac(TUNNEL), Some(FAR_TOO));
}

#[test]
fn a_router_is_known_by_its_own_address_only() {
    let mut bench = Bench::new(TunnelView {
        via: Some(ip("10.2.0.254")),
        ..view()
    });
    bench.resolver.unresolved(TUNNEL, ip("10.9.9.9"), bench.now);
    assert_eq!(bench.run(Duration::ZERO), [(0, ip("10.2.0.254"))]);
    assert_eq!(bench.hear("10.2.0.1", FAR), []);
    assert_eq!(bench.hear("10.2.0.254", FAR), [TUNNEL]);
}

#[test]
fn what_is_configured_is_neither_asked_for_nor_overheard() {
    let fixed = TunnelView {
        configured: Some(FAR),
        ..view()
    };
    let mut bench = Bench::new(view());
    bench.hear("10.2.0.1", FAR_TOO);
    assert!(
        bench.resolver.put(TUNNEL, fixed, bench.now),
        "what was learned is void"
    );
    bench.resolver.unresolved(TUNNEL, ip("10.2.0.1"), bench.now);
    assert_eq!(bench.run(Duration::from_secs(500)), []);
    assert_eq!(bench.hear("10.2.0.1", FAR_TOO), []);
    let status = bench.resolver.status(TUNNEL, bench.now).unwrap();
    assert_eq!((status.state, status.mac), ("static", Some(FAR)));
    // Without the configuration it is asked for again.
    bench.resolver.put(TUNNEL, view(), bench.now);
    assert_eq!(bench.run(Duration::ZERO).len(), 1);
}

#[test]
fn a_removed_tunnel_is_gone() {
    let mut bench = Bench::new(view());
    bench.resolver.remove(TUNNEL);
    assert_eq!(bench.hear("10.2.0.1", FAR), []);
    assert_eq!(bench.run(Duration::from_secs(60)), []);
    assert!(bench.resolver.status(TUNNEL, bench.now).is_none());
}
