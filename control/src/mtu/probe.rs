//! Finds out how large packets really get to far ends, by sending padded requests that the far end
//! answers whatever their size (packetization layer path MTU discovery, RFC 8899, for a tunnel).
//!
//! It knows sizes and times; what a request looks like and how it is sent is for others to say.
//! Sizes are of outer IP packets. Nothing here sleeps or sends.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Requests of one size before it counts as lost (RFC 8899 section 5.1.2: MAX_PROBES).
const TRIES: u8 = 3;

/// Requests of one size that must be answered before it counts as reached: an answer may be one to
/// somebody else's question.
const ANSWERS: u8 = 2;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(400);

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Packets up to this size get there.
    Fits(u16),
    /// Nothing is answered, not even the smallest request.
    Silent,
}

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where it goes.
    pub end: IpAddr,
    /// How large the outer packet is to be.
    pub size: u16,
}

/// Searches that are under way.
#[derive(Debug, Default)]
pub struct Prober {
    searches: BTreeMap<IpAddr, Search>,
}

#[derive(Clone, Copy, Debug)]
struct Search {
    /// The smallest size that is of use.
    least: u16,
    /// The largest size that was answered, if any was.
    reached: Option<u16>,
    /// The smallest size that was not: what is looked for lies below.
    lost: u32,
    size: u16,
    sent: u8,
    answers: u8,
    /// When the request counts as lost; now, if none is under way.
    due: Instant,
}

impl Prober {
    /// Begins to look for what gets to `end`: no more than `most`, and of no interest below
    /// `least`. A search that is under way goes on.
    pub fn start(&mut self, end: IpAddr, least: u16, most: u16, now: Instant) {
        self.searches.entry(end).or_insert_with(|| Search {
            least: least.min(most),
            reached: None,
            lost: u32::from(most) + 1,
            size: most,
            sent: 0,
            answers: 0,
            due: now,
        });
    }

    /// Ends a search.
    pub fn stop(&mut self, end: IpAddr) {
        self.searches.remove(&end);
    }

    /// An end answered, a request of this `size` if it says so.
    pub fn heard(&mut self, end: IpAddr, size: Option<u16>, now: Instant) {
        if let Some(search) = self.searches.get_mut(&end)
            && search.sent > 0
            && size.is_none_or(|size| size == search.size)
        {
            search.answers += 1;
            (search.sent, search.due) = (0, now);
            if search.answers == ANSWERS {
                search.reached = Some(search.size);
                search.proceed(now);
            }
        }
    }

    /// The requests that are due, and the searches that have ended.
    pub fn poll(&mut self, now: Instant) -> (Vec<Probe>, Vec<(IpAddr, Outcome)>) {
        let (mut probes, mut ended) = (Vec::new(), Vec::new());
        for (&end, search) in &mut self.searches {
            if search.due <= now && search.outcome().is_none() {
                if search.sent == TRIES {
                    search.lost = search.size.into();
                    search.proceed(now);
                }
                if search.outcome().is_none() {
                    search.sent += 1;
                    search.due = now + PATIENCE;
                    let size = search.size;
                    probes.push(Probe { end, size });
                }
            }
            ended.extend(search.outcome().map(|outcome| (end, outcome)));
        }
        for (end, _) in &ended {
            self.searches.remove(end);
        }
        (probes, ended)
    }

    /// When [`Self::poll`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        self.searches.values().map(|search| search.due).min()
    }
}

impl Search {
    /// Goes on to the next size.
    fn proceed(&mut self, now: Instant) {
        (self.sent, self.answers, self.due) = (0, 0, now);
        self.size = match self.reached {
            // Whether anything gets there comes first.
            None => self.least,
            Some(reached) => {
                let middle = (u32::from(reached) + self.lost).div_ceil(2);
                u16::try_from(middle).unwrap_or(u16::MAX)
            }
        };
    }

    fn outcome(&self) -> Option<Outcome> {
        match self.reached {
            Some(reached) if u32::from(reached) + 1 >= self.lost => Some(Outcome::Fits(reached)),
            None if self.lost <= u32::from(self.least) => Some(Outcome::Silent),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// Looks for what gets through a path that drops what is longer than `path` and also every
    /// `drop`th request. Returns the outcome and how many requests it took.
    fn search(least: u16, most: u16, path: u16, drop: usize) -> (Outcome, usize) {
        let (mut prober, mut now) = (Prober::default(), Instant::now());
        prober.start(END, least, most, now);
        for count in 1.. {
            assert!(count < 200, "it does not end");
            let (probes, ended) = prober.poll(now);
            if let [(END, outcome)] = ended[..] {
                assert_eq!(prober.deadline(), None);
                return (outcome, count);
            }
            let [Probe { end: END, size }] = probes[..] else {
                panic!("{probes:?}")
            };
            assert!((least..=most).contains(&size));
            if size <= path && count % drop != 0 {
                prober.heard(END, None, now);
            } else {
                now = prober.deadline().unwrap();
            }
        }
        unreachable!()
    }

    #[test]
    fn the_exact_size_is_found() {
        for path in [1280, 1281, 1337, 1399, 1400, 1499, 1500] {
            for drop in [usize::MAX, 3] {
                assert_eq!(search(1280, 1500, path, drop).0, Outcome::Fits(path));
            }
        }
        assert_eq!(
            search(552, 65_535, 8_999, usize::MAX).0,
            Outcome::Fits(8_999)
        );
    }

    #[test]
    fn what_is_well_takes_two_requests() {
        // The third time round the search has ended.
        assert_eq!(
            search(552, 1500, 1500, usize::MAX),
            (Outcome::Fits(1500), 3)
        );
    }

    #[test]
    fn silence_is_no_path_mtu() {
        assert_eq!(search(552, 1500, 100, usize::MAX).0, Outcome::Silent);
        assert_eq!(search(1500, 1500, 100, usize::MAX).0, Outcome::Silent);
    }

    #[test]
    fn answers_to_nothing_are_ignored() {
        let (mut prober, now) = (Prober::default(), Instant::now());
        prober.heard(END, None, now);
        prober.start(END, 552, 1500, now);
        prober.heard(END, None, now);
        assert_eq!(
            prober.poll(now).0,
            [Probe {
                end: END,
                size: 1500
            }]
        );
        for size in [1400, 1400, 1500] {
            prober.heard(END, Some(size), now);
        }
        assert_eq!(prober.poll(now).0.len(), 1, "one more answer is needed");
        prober.heard(END, Some(1500), now);
        assert_eq!(prober.poll(now).1, [(END, Outcome::Fits(1500))]);
    }
}
