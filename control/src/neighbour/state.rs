//! How far somebody's MAC address is known, and when to ask for it next (RFC 4861 section 7.3, for
//! ARP too). Knows nobody.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use ringlay_encap::MacAddr;

/// Requests of a round, [`RETRANSMIT`] apart (RFC 4861 section 10: MAX_MULTICAST_SOLICIT).
pub const REQUESTS: u32 = 3;
/// From one request of a round to the next (RFC 4861 section 10: RETRANS_TIMER).
pub const RETRANSMIT: Duration = Duration::from_secs(1);
/// The longest pause between requests after a round failed.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// How long an address is believed after it was last heard.
pub const LIFETIME: Duration = Duration::from_secs(120);
/// When an address that was heard is asked for again.
pub const REFRESH: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// The configuration says it, nobody needs it, or nobody wants to know.
    Quiet,
    /// Being asked for the first time, or again after it went silent.
    Asking {
        sent: u32,
        last: Option<Instant>,
        next: Instant,
    },
    /// Known. `sent` counts the requests that refresh it.
    Reachable {
        mac: MacAddr,
        address: IpAddr,
        heard: Instant,
        sent: u32,
    },
}

impl State {
    /// Being asked for from now on.
    pub(super) fn asking(now: Instant) -> Self {
        Self::Asking {
            sent: 0,
            last: None,
            next: now,
        }
    }

    /// Somebody waits: no back-off, but never more than one request a second. With `news` a round
    /// begins anew.
    pub(super) fn hurry(&mut self, news: bool, now: Instant) {
        if let Self::Asking { sent, last, next } = self {
            let soonest = last.map_or(now, |last| last + RETRANSMIT);
            *next = soonest.max(now).min(*next);
            if news && *sent >= REQUESTS {
                *sent = 0;
            }
        }
    }

    pub(super) fn mac(&self) -> Option<MacAddr> {
        match self {
            Self::Reachable { mac, .. } => Some(*mac),
            Self::Quiet | Self::Asking { .. } => None,
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Quiet => None,
            Self::Asking { next, .. } => Some(next),
            Self::Reachable { heard, sent, .. } if sent < REQUESTS => {
                Some(heard + REFRESH + RETRANSMIT * sent)
            }
            Self::Reachable { heard, .. } => Some(heard + LIFETIME),
        }
    }

    /// Gives up an address that was not heard for too long; returns whether it did.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let Self::Reachable { heard, .. } = *self else {
            return false;
        };
        if heard + LIFETIME > now {
            return false;
        }
        *self = Self::asking(now);
        true
    }

    /// Notes that a request is sent, unless nobody is asked.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        match self {
            Self::Quiet => return false,
            Self::Reachable { sent, .. } => *sent += 1,
            Self::Asking { sent, last, next } => {
                *sent = sent.saturating_add(1);
                *last = Some(now);
                *next = now + pause(*sent);
            }
        }
        true
    }
}

/// How long to wait after so many requests.
fn pause(sent: u32) -> Duration {
    let doublings = sent.saturating_sub(REQUESTS).min(16);
    (RETRANSMIT * (1 << doublings)).min(BACK_OFF_MAX)
}
