//! Hosts that ask from another MAC address than they are known by: what they send as soon as they have
//! their answer must not be answered to the one that they had.

use super::*;

const MOVED: MacAddr = MacAddr([2, 4, 0, 0, 0, 0x19]);

/// A host's questions for the router, by ARP and neighbour discovery.
fn questions(mac: MacAddr) -> [Vec<u8>; 2] {
    let v4 = arp(1, (mac, HOST), "10.42.4.1");
    let v6 = solicitation_from(mac, "fd42:4::9", "fd42:4::1", 255);
    [
        ethernet(BROADCAST, mac, 0x0806, &v4),
        ethernet(LINK_MAC, mac, 0x86dd, &v6),
    ]
}

/// The host's MAC address becomes another in the tables.
fn learn(rig: &mut Rig, mac: MacAddr) {
    let hosts = [HOST, "fd42:4::9"].map(|host| (host.parse().unwrap(), mac));
    let neighbours = hosts.into_iter().collect();
    let changed = Link {
        neighbours,
        ..link(true)
    };
    rig.tables.insert_link(LINK, changed);
}

#[track_caller]
fn assert_answers(ports: &[Frame], mac: MacAddr, count: usize) {
    assert_eq!(ports.len(), count);
    for answer in ports {
        assert_eq!(answer.data()[..12], [mac.0, LINK_MAC.0].concat());
        assert_eq!(answer.meta.egress, LINK);
    }
}

#[test]
fn they_are_answered_when_the_tables_know() {
    let mut rig = rig(true);
    for question in questions(MOVED) {
        assert_answers(&rig.send_from_link(&question).0, MOVED, 0);
    }
    assert_eq!(rig.counters.held.value(), 2);
    assert_eq!(rig.events.try_iter().count(), 2, "both were told");
    rig.with_graph(Graph::release_held);
    assert_answers(&rig.collect().0, MOVED, 0);
    learn(&mut rig, MOVED);
    rig.with_graph(Graph::release_held);
    assert_answers(&rig.collect().0, MOVED, 2);
    assert_eq!(rig.counters.held.value(), 0);
    for question in questions(MOVED) {
        assert_answers(&rig.send_from_link(&question).0, MOVED, 1);
    }
    assert_eq!(rig.counters.total_drops(), 0);
}

#[test]
fn they_are_answered_at_once_where_nothing_is_known_of_them() {
    let mut rig = rig(true);
    let neighbours = Neighbours::default();
    let unknown = Link {
        neighbours,
        ..link(true)
    };
    rig.tables.insert_link(LINK, unknown);
    for question in questions(MOVED) {
        assert_answers(&rig.send_from_link(&question).0, MOVED, 1);
    }
}

#[test]
fn they_are_answered_late_if_nobody_believes_them() {
    let mut rig = rig(true);
    let [question, _] = questions(MOVED);
    rig.send_from_link(&question);
    rig.advance(Duration::from_secs(3));
    rig.with_graph(Graph::expire_held);
    assert_answers(&rig.collect().0, MOVED, 1);
    assert_eq!(rig.counters.total_drops(), 0);
}

#[test]
fn they_are_answered_at_once_where_too_much_waits() {
    let mut rig = rig(true);
    let [question, _] = questions(MOVED);
    for _ in 0..32 {
        assert_answers(&rig.send_from_link(&question).0, MOVED, 0);
    }
    assert_answers(&rig.send_from_link(&question).0, MOVED, 1);
    assert_eq!(rig.counters.total_drops(), 0);
}
