//! Notices where stations of bridged networks are, and tells the control plane what the tables do
//! not say yet. The tables are the control plane's: nothing is learned here by itself.

use std::time::{Duration, Instant};

use ringlay_encap::MacAddr;

use super::Context;
use crate::event::Event;
use crate::id::NetworkId;
use crate::tables::{Bridge, Place};

/// News that may be on their way at once.
const SLOTS: usize = 256;

/// How long one of them keeps others out of its slot: the control plane takes so long at most to
/// publish what it was told, and needs no more than so much of it.
const PAUSE: Duration = Duration::from_millis(100);

/// What a worker told lately. Limits the rate: [`SLOTS`] in each [`PAUSE`].
#[derive(Debug)]
pub(super) struct Told {
    at: Box<[Option<Instant>; SLOTS]>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            at: Box::new([None; SLOTS]),
        }
    }

    /// Whether this may be told now.
    fn may_tell(&mut self, mac: MacAddr, place: Place, now: Instant) -> bool {
        let [.., d, e, f] = mac.0;
        let place = match place {
            Place::Port(port) => port.index(),
            Place::Tunnel(tunnel) => !tunnel.index(),
        };
        // Neighbouring addresses, which containers and virtual machines have, do not collide.
        let number = usize::from(f) ^ (usize::from(e) << 3) ^ (usize::from(d) << 5) ^ place;
        let slot = &mut self.at[number % SLOTS];
        let free = slot.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
        if free {
            *slot = Some(now);
        }
        free
    }
}

/// Takes note of a frame's source.
#[inline]
pub(super) fn source(
    mac: MacAddr,
    place: Place,
    network: NetworkId,
    bridge: &Bridge,
    told: &mut Told,
    context: &Context<'_>,
) {
    match bridge.fdb.entry(mac) {
        Some(entry) if entry.place == place => return entry.mark_used(),
        Some(entry) if entry.fixed => return,
        _ => {}
    }
    if bridge.learns && told.may_tell(mac, place, context.now) {
        context.report(Event::StationSeen {
            network,
            mac,
            place,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PortId;

    #[test]
    fn the_rate_is_limited_and_neighbours_do_not_collide() {
        let (mut told, start) = (Told::new(), Instant::now());
        let place = Place::Port(PortId(3));
        let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
        for last in 0..=u8::MAX {
            assert!(told.may_tell(mac(last), place, start));
            assert!(!told.may_tell(mac(last), place, start));
        }
        let other = MacAddr([2, 0, 0, 0, 9, 9]);
        assert!(!told.may_tell(other, place, start + PAUSE / 2));
        assert!(told.may_tell(other, place, start + PAUSE));
    }
}
