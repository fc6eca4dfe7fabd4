//! Counts of dropped packets by reason.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How many packets were dropped for which reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Drops(BTreeMap<String, u64>);

impl Drops {
    /// Adds to one reason's count.
    pub fn count(&mut self, reason: String, packets: u64) {
        *self.0.entry(reason).or_default() += packets;
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: Self) {
        for (reason, packets) in other.0 {
            self.count(reason, packets);
        }
    }

    /// What was added since `earlier`, without the reasons that nothing was added to.
    pub fn since(&self, earlier: &Self) -> Self {
        let increase = |(reason, packets): (&String, &u64)| {
            let before = earlier.0.get(reason).copied().unwrap_or_default();
            let added = packets.saturating_sub(before);
            (added > 0).then(|| (reason.clone(), added))
        };
        Self(self.0.iter().filter_map(increase).collect())
    }
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (reason, packets)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{reason} {packets}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drops(counts: &[(&str, u64)]) -> Drops {
        let mut drops = Drops::default();
        counts
            .iter()
            .for_each(|(reason, packets)| drops.count((*reason).into(), *packets));
        drops
    }

    #[test]
    fn only_what_was_added_since_counts() {
        let before = drops(&[("no_route", 3), ("ttl_expired", 1)]);
        let now = drops(&[("no_route", 5), ("ttl_expired", 1), ("unknown_vtep", 7)]);
        assert_eq!(
            now.since(&before),
            drops(&[("no_route", 2), ("unknown_vtep", 7)])
        );
    }

    #[test]
    fn counts_add_up_and_are_told() {
        let mut sum = drops(&[("no_route", 3)]);
        assert_eq!(Drops::default().to_string(), "none");
        sum.add(drops(&[("no_route", 1), ("unknown_vtep", 2)]));
        assert_eq!(sum.to_string(), "no_route 4, unknown_vtep 2");
    }
}
