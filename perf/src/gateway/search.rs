//! The highest rate that gets through, by bisection (RFC 2544 section 26.1 and its search).

/// What a trial of a rate showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Everything arrived, but for what is tolerated.
    Passed,
    /// Too much was lost.
    Failed,
}

/// Halves the range from 0 to `highest` until it is `precision` of `highest` wide, beginning with
/// `highest` itself. Returns the highest rate that passed; nothing if none did. A rate that fails is
/// tried once more: on a shared machine any trial may be disturbed.
///
/// # Errors
/// What a trial fails with.
pub(super) fn highest_passing<E>(
    highest: f64,
    precision: f64,
    mut trial: impl FnMut(f64) -> Result<Verdict, E>,
) -> Result<Option<f64>, E> {
    let mut passes = |rate: f64| -> Result<bool, E> {
        Ok(trial(rate)? == Verdict::Passed || trial(rate)? == Verdict::Passed)
    };
    if passes(highest)? {
        return Ok(Some(highest));
    }
    let (mut good, mut bad) = (0.0, highest);
    while bad - good > precision * highest {
        let middle = f64::midpoint(good, bad);
        if passes(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok((good > 0.0).then_some(good))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A device that passes up to a rate, and the rates it was tried with.
    fn search(capacity: f64, highest: f64) -> (Option<f64>, Vec<f64>) {
        let mut rates = Vec::new();
        let trial = |rate: f64| -> Result<Verdict, Infallible> {
            rates.push(rate);
            Ok(match rate <= capacity {
                true => Verdict::Passed,
                false => Verdict::Failed,
            })
        };
        let Ok(found) = highest_passing(highest, 0.02, trial);
        (found, rates)
    }

    #[test]
    fn the_capacity_is_found_within_the_precision() {
        for capacity in [3e4, 1e5, 4.99e5, 7.77e5, 9.99e5] {
            let (found, rates) = search(capacity, 1e6);
            let found = found.unwrap();
            assert!(
                found <= capacity && capacity - found <= 2e4,
                "{capacity}: {found}"
            );
            assert!(rates.len() <= 14, "{rates:?}");
        }
    }

    #[test]
    fn what_passes_at_once_needs_one_trial() {
        assert_eq!(search(2e6, 1e6), (Some(1e6), vec![1e6]));
    }

    #[test]
    fn where_nothing_passes_there_is_no_rate() {
        assert_eq!(search(1.0, 1e6).0, None);
    }

    #[test]
    fn one_disturbed_trial_does_no_harm() {
        let mut count = 0;
        let trial = |rate: f64| -> Result<Verdict, Infallible> {
            count += 1;
            let disturbed = count == 3;
            Ok(match rate <= 6e5 && !disturbed {
                true => Verdict::Passed,
                false => Verdict::Failed,
            })
        };
        let Ok(found) = highest_passing(1e6, 0.02, trial);
        assert!(found.unwrap() > 5.7e5);
    }

    #[test]
    fn a_trial_that_cannot_be_made_ends_the_search() {
        assert_eq!(highest_passing(1e6, 0.02, |_| Err("gone")), Err("gone"));
    }
}
