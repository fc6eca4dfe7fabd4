//! The stations of bridged networks that were learned: where each is, and for how long it has sent
//! nothing. Static entries are among the desired state; which of two counts is for
//! [`crate::compile`] to say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ringlay_dataplane::{id::NetworkId, tables::Place};
use ringlay_encap::MacAddr;

use crate::object::Learning;

/// So often within the time that a station is remembered is looked who sent something.
const LOOKS: u32 = 8;

/// News is passed on to the workers so often at most: each time a table is built anew.
const PAUSE: Duration = Duration::from_millis(20);

/// The learned stations of all bridged networks.
#[derive(Debug, Default)]
pub struct Stations {
    networks: BTreeMap<NetworkId, Segment>,
    /// Networks whose stations are others than those that were passed on.
    changed: BTreeSet<NetworkId>,
    /// When something was passed on last.
    passed: Option<Instant>,
}

#[derive(Debug)]
struct Segment {
    learning: Learning,
    stations: BTreeMap<MacAddr, Station>,
    refused: u64,
    /// When it is looked next who sent something.
    look: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Station {
    place: Place,
    heard: Instant,
}

/// How many stations a network has learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StationCounts {
    /// Are known.
    pub learned: usize,
    /// Were refused, each time, because there were too many.
    pub refused: u64,
}

impl Stations {
    /// Takes up a bridged network, or what changed about it.
    pub fn put(&mut self, id: NetworkId, learning: Learning, now: Instant) {
        let segment = self.networks.entry(id).or_insert_with(|| Segment {
            learning,
            stations: BTreeMap::new(),
            refused: 0,
            look: now + learning.ageing / LOOKS,
        });
        if segment.learning.ageing != learning.ageing {
            segment.look = now;
        }
        segment.learning = learning;
    }

    /// Keeps the networks, and in them the stations at places, that are still there.
    pub fn retain(&mut self, is_there: impl Fn(NetworkId, Option<Place>) -> bool) {
        self.networks.retain(|id, _| is_there(*id, None));
        for (id, segment) in &mut self.networks {
            let before = segment.stations.len();
            segment
                .stations
                .retain(|_, station| is_there(*id, Some(station.place)));
            if segment.stations.len() != before {
                self.changed.insert(*id);
            }
        }
        let networks = &self.networks;
        self.changed.retain(|id| networks.contains_key(id));
    }

    /// A station sent something from a place that the tables do not say.
    pub fn seen(&mut self, id: NetworkId, mac: MacAddr, place: Place, now: Instant) {
        let Some(segment) = self.networks.get_mut(&id) else {
            return;
        };
        let room = segment.stations.len() < segment.learning.limit as usize;
        let known = segment.stations.get(&mac).map(|station| station.place);
        if known.is_none() && !room {
            segment.refused += 1;
            return;
        }
        segment.stations.insert(mac, Station { place, heard: now });
        if known != Some(place) {
            self.changed.insert(id);
        }
    }

    /// The networks in which it is to be looked who sent something.
    pub fn due(&self, now: Instant) -> Vec<NetworkId> {
        let due = self.networks.iter().filter(|(_, it)| it.look <= now);
        due.map(|(id, _)| *id).collect()
    }

    /// Takes note of who sent something since the last time, and forgets who has not for too long.
    pub fn look(&mut self, id: NetworkId, used: impl IntoIterator<Item = MacAddr>, now: Instant) {
        let Some(segment) = self.networks.get_mut(&id) else {
            return;
        };
        let ageing = segment.learning.ageing;
        segment.look = now + ageing / LOOKS;
        for mac in used {
            if let Some(station) = segment.stations.get_mut(&mac) {
                station.heard = now;
            }
        }
        let before = segment.stations.len();
        segment
            .stations
            .retain(|_, it| now.saturating_duration_since(it.heard) < ageing);
        if segment.stations.len() != before {
            self.changed.insert(id);
        }
    }

    /// Forgets the stations of a network that are at places; returns how many there were.
    pub fn flush(&mut self, id: NetworkId, gone: impl Fn(Place) -> bool) -> usize {
        let Some(segment) = self.networks.get_mut(&id) else {
            return 0;
        };
        let before = segment.stations.len();
        segment.stations.retain(|_, station| !gone(station.place));
        before - segment.stations.len()
    }

    /// The networks whose stations are to be passed on now.
    pub fn take_changed(&mut self, now: Instant) -> BTreeSet<NetworkId> {
        if self.changed.is_empty() || self.free_at().is_some_and(|at| at > now) {
            return BTreeSet::new();
        }
        self.passed = Some(now);
        std::mem::take(&mut self.changed)
    }

    /// When there is something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = !self.changed.is_empty();
        let passing = self.passed.filter(|_| waiting).map(|at| at + PAUSE);
        // Where nobody is known, nobody is forgotten.
        let segments = self.networks.values().filter(|it| !it.stations.is_empty());
        segments.map(|it| it.look).chain(passing).min()
    }

    fn free_at(&self) -> Option<Instant> {
        self.passed.map(|at| at + PAUSE)
    }

    /// The stations of a network with their places, and how long ago they were heard, by MAC address.
    pub fn of(
        &self,
        id: NetworkId,
        now: Instant,
    ) -> impl Iterator<Item = (MacAddr, Place, Duration)> {
        let stations = self.networks.get(&id).into_iter();
        let stations = stations.flat_map(|it| &it.stations);
        stations.map(move |(mac, it)| (*mac, it.place, now.saturating_duration_since(it.heard)))
    }

    /// How many stations a network has learned.
    pub fn counts(&self, id: NetworkId) -> StationCounts {
        let counts = self.networks.get(&id).map(|segment| StationCounts {
            learned: segment.stations.len(),
            refused: segment.refused,
        });
        counts.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ringlay_dataplane::id::{PortId, TunnelId};

    use super::*;

    const BLUE: NetworkId = NetworkId(4);
    const HERE: Place = Place::Port(PortId(1));
    const THERE: Place = Place::Tunnel(TunnelId(2));
    const AGEING: Duration = Duration::from_secs(80);

    fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, last])
    }

    fn stations(limit: u32, now: Instant) -> Stations {
        let mut stations = Stations::default();
        let ageing = AGEING;
        stations.put(BLUE, Learning { ageing, limit }, now);
        stations
    }

    fn known(stations: &Stations) -> Vec<(MacAddr, Place)> {
        let known = stations.of(BLUE, Instant::now());
        known.map(|(mac, place, _)| (mac, place)).collect()
    }

    #[test]
    fn a_station_is_where_it_was_last_seen() {
        let now = Instant::now();
        let mut stations = stations(10, now);
        stations.seen(BLUE, mac(1), HERE, now);
        assert_eq!(stations.take_changed(now), [BLUE].into());
        stations.seen(BLUE, mac(1), HERE, now);
        assert!(stations.changed.is_empty());
        stations.seen(BLUE, mac(1), THERE, now);
        assert_eq!(known(&stations), [(mac(1), THERE)]);
        stations.seen(NetworkId(9), mac(1), THERE, now);
        assert_eq!(stations.changed, [BLUE].into());
    }

    #[test]
    fn news_waits_for_its_turn() {
        let now = Instant::now();
        let mut stations = stations(10, now);
        stations.seen(BLUE, mac(1), HERE, now);
        assert_eq!(stations.take_changed(now).len(), 1);
        stations.seen(BLUE, mac(2), HERE, now);
        assert!(stations.take_changed(now).is_empty());
        assert_eq!(stations.deadline(), Some(now + PAUSE));
        assert_eq!(stations.take_changed(now + PAUSE).len(), 1);
        assert_eq!(stations.deadline(), Some(now + AGEING / LOOKS));
    }

    #[test]
    fn who_sends_nothing_is_forgotten() {
        let start = Instant::now();
        let mut stations = stations(10, start);
        assert_eq!(stations.deadline(), None);
        for last in [1, 2] {
            stations.seen(BLUE, mac(last), HERE, start);
        }
        for look in 1..=LOOKS {
            let now = start + AGEING / LOOKS * look;
            assert_eq!(stations.due(now - Duration::from_millis(1)), []);
            assert_eq!(stations.due(now), [BLUE]);
            stations.look(BLUE, [mac(2), mac(7)], now);
        }
        assert_eq!(known(&stations), [(mac(2), HERE)]);
        assert_eq!(stations.changed, [BLUE].into());
    }

    #[test]
    fn what_is_flushed_is_learned_again() {
        let now = Instant::now();
        let mut stations = stations(10, now);
        for (last, place) in [(1, HERE), (2, THERE), (3, THERE)] {
            stations.seen(BLUE, mac(last), place, now);
        }
        assert_eq!(stations.flush(NetworkId(9), |_| true), 0);
        assert_eq!(stations.flush(BLUE, |place| place == THERE), 2);
        assert_eq!(known(&stations), [(mac(1), HERE)]);
        stations.seen(BLUE, mac(2), THERE, now);
        assert_eq!(known(&stations), [(mac(1), HERE), (mac(2), THERE)]);
    }

    #[test]
    fn nobody_fills_the_memory() {
        let now = Instant::now();
        let mut stations = stations(3, now);
        for last in 0..10 {
            stations.seen(BLUE, mac(last), HERE, now);
        }
        let expected = StationCounts {
            learned: 3,
            refused: 7,
        };
        assert_eq!(stations.counts(BLUE), expected);
        // Those that are known may move.
        stations.seen(BLUE, mac(0), THERE, now);
        assert_eq!(known(&stations)[0], (mac(0), THERE));
    }

    #[test]
    fn with_a_place_its_stations_go() {
        let now = Instant::now();
        let mut stations = stations(10, now);
        stations.seen(BLUE, mac(1), HERE, now);
        stations.seen(BLUE, mac(2), THERE, now);
        stations.take_changed(now);
        stations.retain(|_, place| place != Some(THERE));
        assert_eq!(known(&stations), [(mac(1), HERE)]);
        assert_eq!(stations.changed, [BLUE].into());
        stations.retain(|_, _| false);
        assert!(known(&stations).is_empty() && stations.changed.is_empty());
    }
}
