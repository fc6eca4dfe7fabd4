use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const FAR6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
const ROUTER: Finding = Finding::Router(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254)));

fn way(link_mtu: u32, route_mtu: Option<u32>) -> Way {
    Way {
        link: "eth0".to_owned(),
        link_mtu,
        route_mtu,
        next: Next::End,
    }
}

fn paths(link_mtu: u32) -> Paths {
    let mut paths = Paths::new(way(1500, None));
    let ways = [FAR, FAR6].map(|end| (end, way(link_mtu, None)));
    paths.update(&[FAR, FAR6], ways.into());
    paths
}

fn now_of(paths: &Paths, end: IpAddr) -> u16 {
    paths.sizes(end).now
}

#[test]
fn the_narrower_of_link_and_route_counts() {
    let mut paths = paths(9000);
    assert_eq!(now_of(&paths, FAR), 9000);
    assert_eq!(paths.limit(FAR).to_string(), "of link eth0");
    let ways = BTreeMap::from([(FAR, way(9000, Some(1400)))]);
    assert_eq!(paths.update(&[FAR, FAR6], ways), BTreeSet::from([FAR]));
    assert_eq!(now_of(&paths, FAR), 1400);
    assert_eq!(paths.limit(FAR).to_string(), "of the route by eth0");
    // A route that promises more than its link has does not widen it.
    paths.update(&[FAR], [(FAR, way(1500, Some(9000)))].into());
    assert_eq!(
        (now_of(&paths, FAR), paths.limit(FAR).name()),
        (1500, "link")
    );
    // Ends without a way keep the last one; unknown ones have the default.
    assert_eq!(now_of(&paths, FAR6), 9000);
    assert_eq!(now_of(&paths, "192.0.2.9".parse().unwrap()), 1500);
}

#[test]
fn what_a_router_says_is_believed_for_ten_minutes() {
    let (mut paths, start) = (paths(1500), Instant::now());
    paths.learn(FAR, 1400, ROUTER, start).unwrap();
    assert_eq!(now_of(&paths, FAR), 1400);
    assert_eq!(paths.sizes(FAR).way, 1500);
    assert_eq!(paths.limit(FAR).name(), "router");
    let until = start + LIFETIME;
    assert_eq!(paths.deadline(), Some(until));
    assert!(paths.expire(until - Duration::from_secs(1)).is_empty());
    assert_eq!(paths.expire(until), BTreeSet::from([FAR]));
    assert_eq!((now_of(&paths, FAR), paths.deadline()), (1500, None));
}

#[test]
fn nonsense_is_not_believed() {
    let (mut paths, now) = (paths(1500), Instant::now());
    let refused = |paths: &mut Paths, end, mtu| paths.learn(end, mtu, ROUTER, now).unwrap_err();
    assert_eq!(refused(&mut paths, FAR, 551), NotBelieved::TooSmall(552));
    assert_eq!(refused(&mut paths, FAR, 0), NotBelieved::TooSmall(552));
    assert_eq!(refused(&mut paths, FAR6, 1279), NotBelieved::TooSmall(1280));
    assert_eq!(refused(&mut paths, FAR, 1500), NotBelieved::NoNews(1500));
    let stranger = "192.0.2.9".parse().unwrap();
    assert_eq!(refused(&mut paths, stranger, 1400), NotBelieved::Stranger);
    paths.learn(FAR, 1300, ROUTER, now).unwrap();
    assert_eq!(refused(&mut paths, FAR, 1400), NotBelieved::NoNews(1300));
}

#[test]
fn another_way_voids_what_was_found_out() {
    let (mut paths, now) = (paths(1500), Instant::now());
    paths.learn(FAR, 1400, Finding::Probe, now).unwrap();
    assert!(
        paths
            .update(&[FAR], [(FAR, way(1500, None))].into())
            .is_empty()
    );
    assert_eq!(now_of(&paths, FAR), 1400);
    let changed = paths.update(&[FAR], [(FAR, way(9000, None))].into());
    assert_eq!((changed.len(), now_of(&paths, FAR)), (1, 9000));
}

#[test]
fn what_is_measured_replaces_what_was_said() {
    let (mut paths, now) = (paths(1500), Instant::now());
    assert!(!paths.measured(FAR, 1500, now));
    assert!(paths.measured(FAR, 1300, now));
    assert_eq!(
        (now_of(&paths, FAR), paths.limit(FAR).name()),
        (1300, "probe")
    );
    assert!(paths.measured(FAR, 1400, now));
    paths.learn(FAR, 1350, ROUTER, now).unwrap();
    let later = now + Duration::from_secs(60);
    assert!(!paths.measured(FAR, 1350, later), "the router was right");
    assert_eq!(
        (paths.limit(FAR).name(), paths.deadline()),
        ("router", Some(later + LIFETIME))
    );
    assert!(paths.measured(FAR, 1500, now));
    assert_eq!(
        (now_of(&paths, FAR), paths.limit(FAR).name()),
        (1500, "link")
    );
    assert!(!paths.measured("192.0.2.9".parse().unwrap(), 1300, now));
}
