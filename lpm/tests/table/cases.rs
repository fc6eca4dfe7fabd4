//! The prefixes that go wrong first, one by one.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringlay_lpm::{Address, Ipv4Table, Ipv6Table, Prefix, Table};

use crate::oracle::{Family, Oracle};

fn v4(text: &str) -> Prefix<Ipv4Addr> {
    text.parse().unwrap()
}

fn v6(text: &str) -> Prefix<Ipv6Addr> {
    text.parse().unwrap()
}

fn at<A: Address>(table: &Table<A, u32>, addr: &str) -> Option<u32> {
    table.lookup(addr.parse().ok().unwrap()).copied()
}

#[test]
fn an_empty_table_answers_nothing() {
    let table = Ipv4Table::<u32>::new();
    assert_eq!(at(&table, "0.0.0.0"), None);
    assert_eq!(table.get(&Prefix::DEFAULT), None);
    assert_eq!(table.iter().next(), None);
    assert_eq!(table.memory().total(), size_of::<Ipv4Table<u32>>());
}

#[test]
fn the_default_route_covers_all_and_yields_to_any_other() {
    let mut table = Ipv4Table::new();
    assert_eq!(table.insert(Prefix::DEFAULT, 1), None);
    assert_eq!(
        (at(&table, "0.0.0.0"), at(&table, "255.255.255.255")),
        (Some(1), Some(1))
    );
    assert_eq!(table.get(&v4("0.0.0.0/1")), None);
    table.insert(v4("0.0.0.0/1"), 2);
    assert_eq!(
        (at(&table, "127.255.255.255"), at(&table, "128.0.0.0")),
        (Some(2), Some(1))
    );
    assert_eq!(table.insert(Prefix::DEFAULT, 3), Some(1));
    assert_eq!(table.remove(&Prefix::DEFAULT), Some(3));
    assert_eq!(
        (at(&table, "127.0.0.1"), at(&table, "128.0.0.0")),
        (Some(2), None)
    );

    let mut table = Ipv6Table::new();
    table.insert(v6("::/0"), 1);
    assert_eq!(
        table.lookup_prefix(Ipv6Addr::LOCALHOST),
        Some((Prefix::DEFAULT, &1))
    );
}

#[test]
fn host_routes_cover_one_address() {
    let mut table = Ipv4Table::new();
    for (value, host) in ["0.0.0.0", "10.0.0.1", "255.255.255.255"]
        .into_iter()
        .enumerate()
    {
        table.insert(Prefix::host(host.parse().unwrap()), value as u32);
    }
    assert_eq!(
        (at(&table, "0.0.0.0"), at(&table, "0.0.0.1")),
        (Some(0), None)
    );
    assert_eq!(
        (at(&table, "10.0.0.1"), at(&table, "10.0.0.0")),
        (Some(1), None)
    );
    assert_eq!(
        (at(&table, "255.255.255.255"), at(&table, "255.255.255.254")),
        (Some(2), None)
    );

    let mut table = Ipv6Table::new();
    let top = Ipv6Addr::from_bits(u128::MAX);
    table.insert(Prefix::host(Ipv6Addr::UNSPECIFIED), 0);
    table.insert(Prefix::host(Ipv6Addr::LOCALHOST), 1);
    table.insert(Prefix::host(top), 2);
    assert_eq!(
        (at(&table, "::"), at(&table, "::1"), at(&table, "::2")),
        (Some(0), Some(1), None)
    );
    assert_eq!(table.lookup_prefix(top), Some((Prefix::host(top), &2)));
    assert_eq!(at(&table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), None);
}

#[test]
fn adjacent_prefixes_meet_without_gap_or_overlap() {
    let mut table = Ipv4Table::new();
    for (value, prefix) in [
        "10.0.0.0/25",
        "10.0.0.128/25",
        "10.0.1.0/24",
        "9.255.255.255/32",
    ]
    .into_iter()
    .enumerate()
    {
        table.insert(v4(prefix), value as u32);
    }
    let answers = [
        "9.255.255.254",
        "9.255.255.255",
        "10.0.0.0",
        "10.0.0.127",
        "10.0.0.128",
    ]
    .map(|addr| at(&table, addr));
    assert_eq!(answers, [None, Some(3), Some(0), Some(0), Some(1)]);
    let answers = ["10.0.0.255", "10.0.1.0", "10.0.1.255", "10.0.2.0"].map(|addr| at(&table, addr));
    assert_eq!(answers, [Some(1), Some(2), Some(2), None]);
}

/// One prefix of every length, each within the one before, put in by `order`.
fn nested<A: Family>(addr: A, order: impl Iterator<Item = u8> + Clone) {
    let prefix = |len| Prefix::masking(addr, len).unwrap();
    let mut table = Table::new();
    let mut oracle = Oracle::new();
    for len in order.clone() {
        table.insert(prefix(len), u32::from(len));
        oracle.insert(prefix(len), u32::from(len));
        oracle.check(&table, &[addr]);
    }
    assert_eq!(table.len(), usize::from(A::BITS) + 1);
    for len in order {
        let longest = table.lookup_prefix(addr).map(|(prefix, _)| prefix);
        assert_eq!(longest, oracle.lookup(addr).map(|(prefix, _)| prefix));
        assert_eq!(table.remove(&prefix(len)), oracle.remove(&prefix(len)));
        oracle.check(&table, &[addr]);
    }
    assert!(table.is_empty());
}

#[test]
fn prefixes_nest_32_deep_in_either_order() {
    for addr in [0, u32::MAX, 0x0a2a_0102, 0x5555_5555].map(Ipv4Addr::from_bits) {
        nested(addr, 0..=32);
        nested(addr, (0..=32).rev());
        nested(addr, (0..=32).map(|len| len * 5 % 33));
    }
}

#[test]
fn prefixes_nest_128_deep_in_either_order() {
    for addr in [0, u128::MAX, 0x2001_0db8_5555_aaaa_0123_4567_89ab_cdef].map(Ipv6Addr::from_bits) {
        nested(addr, 0..=128);
        nested(addr, (0..=128).rev());
        nested(
            addr,
            (0..=128).map(|len| (u32::from(len as u8) * 50 % 129) as u8),
        );
    }
}

#[test]
fn removing_what_is_absent_changes_nothing() {
    let mut table: Ipv4Table<u32> = [(v4("10.0.0.0/8"), 1), (v4("10.1.0.0/16"), 2)]
        .into_iter()
        .collect();
    let before = table.clone();
    for absent in [
        "0.0.0.0/0",
        "10.0.0.0/7",
        "10.0.0.0/9",
        "10.1.0.0/17",
        "10.1.1.1/32",
        "11.0.0.0/8",
    ] {
        assert_eq!(table.remove(&v4(absent)), None, "{absent}");
        assert_eq!(table.get(&v4(absent)), None, "{absent}");
    }
    assert_eq!(table, before);
}

#[test]
fn a_path_that_is_compressed_does_not_swallow_its_neighbours() {
    let mut table = Ipv6Table::new();
    table.insert(v6("2001:db8:1:2:3:4:5:6/128"), 1);
    assert_eq!(at(&table, "2001:db8:1:2:3:4:5:7"), None);
    assert_eq!(at(&table, "2001:db9:1:2:3:4:5:6"), None);
    table.insert(v6("2001:db8::/32"), 2);
    assert_eq!(at(&table, "2001:db8:1:2:3:4:5:7"), Some(2));
    table.insert(v6("2001:db8:1:3::/64"), 3);
    assert_eq!(at(&table, "2001:db8:1:3::1"), Some(3));
    assert_eq!(at(&table, "2001:db8:1:2:3:4:5:6"), Some(1));
}

#[test]
fn snapshots_keep_their_answers() {
    let mut table: Ipv4Table<u32> = (0..=255)
        .map(|i| {
            (
                Prefix::new(Ipv4Addr::new(10, i, 0, 0), 16).unwrap(),
                u32::from(i),
            )
        })
        .collect();
    let full = table.clone();
    table.insert(v4("10.7.0.0/16"), 700);
    table.remove(&v4("10.8.0.0/16"));
    let changed = table.clone();
    table.clear();
    let answers = |table: &Ipv4Table<u32>| (at(table, "10.7.0.1"), at(table, "10.8.0.1"));
    assert_eq!(answers(&full), (Some(7), Some(8)));
    assert_eq!(answers(&changed), (Some(700), None));
    assert_eq!(answers(&table), (None, None));
    assert_eq!((full.len(), changed.len(), table.len()), (256, 255, 0));
}

#[test]
fn values_need_not_be_copy_and_are_dropped_once() {
    let value = std::sync::Arc::new(());
    let mut table: Ipv4Table<_> = (0..100u8)
        .map(|i| {
            (
                Prefix::new(Ipv4Addr::new(10, 0, i, 0), 24).unwrap(),
                value.clone(),
            )
        })
        .collect();
    let snapshot = table.clone();
    for i in 0..50 {
        table.remove(&Prefix::new(Ipv4Addr::new(10, 0, i, 0), 24).unwrap());
    }
    drop(table);
    assert_eq!(snapshot.len(), 100);
    drop(snapshot);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn a_table_prints_as_a_map_in_prefix_order() {
    let table: Ipv4Table<u32> = [
        (v4("10.1.0.0/16"), 3),
        (v4("10.0.0.0/8"), 2),
        (v4("0.0.0.0/0"), 1),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        format!("{table:?}"),
        "{0.0.0.0/0: 1, 10.0.0.0/8: 2, 10.1.0.0/16: 3}"
    );
    assert_eq!(format!("{:?}", table.iter()), format!("{table:?}"));
}

#[test]
#[should_panic(expected = "one result for each address")]
fn a_batch_needs_as_many_results_as_addresses() {
    Ipv4Table::<u32>::new().lookup_batch(&[Ipv4Addr::LOCALHOST], &mut []);
}
