//! What was measured, as a table and as data.

use std::fmt;

use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::statistics::{median, quotient};
use ringlay_control::lab::table::write_table;
use serde::Serialize;

/// Everything that a run found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) containers: u16,
    pub(super) rounds: u16,
    pub(super) plugins: Vec<PluginReport>,
    pub(super) at_once: Option<AtOnce>,
}

/// One plugin's times, in milliseconds.
#[derive(Debug, Default, Serialize)]
pub(super) struct PluginReport {
    pub(super) name: &'static str,
    pub(super) add: Vec<f64>,
    pub(super) del: Vec<f64>,
}

/// Many containers attached at once by Ringlay.
#[derive(Debug, Serialize)]
pub(super) struct AtOnce {
    pub(super) containers: u16,
    pub(super) parallel: u16,
    pub(super) add_seconds: f64,
    pub(super) del_seconds: f64,
}

/// The value that one in a hundred exceeds.
fn p99(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            f,
            "{}, Linux {}, {} cores, {:.1} of them busy before",
            machine.date, machine.kernel, machine.cores, machine.background_cores
        )?;
        if machine.is_debug_build {
            writeln!(f, "CAUTION: built without optimisation")?;
        }
        writeln!(
            f,
            "{} rounds of {} containers, one after the other; ratios are to bridge\n",
            self.rounds, self.containers
        )?;
        let base = self.plugins.iter().find(|plugin| plugin.name == "bridge");
        let mut rows = vec![
            [
                "",
                "ADD p50, ms",
                "ratio",
                "ADD p99, ms",
                "ratio",
                "DEL p50, ms",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        for plugin in &self.plugins {
            let figure =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.2}"));
            let ratio = |of: fn(&[f64]) -> Option<f64>| {
                let ratio = of(&plugin.add).zip(base.and_then(|base| of(&base.add)));
                figure(ratio.and_then(|(ours, theirs)| quotient(ours, theirs)))
            };
            let p50: fn(&[f64]) -> Option<f64> = |values| median(values.to_vec());
            rows.push(vec![
                plugin.name.to_owned(),
                figure(p50(&plugin.add)),
                ratio(p50),
                figure(p99(&plugin.add)),
                ratio(p99),
                figure(p50(&plugin.del)),
            ]);
        }
        write_table(f, &rows)?;
        let Some(at_once) = &self.at_once else {
            return Ok(());
        };
        writeln!(
            f,
            "\n{} containers, {} at a time: attached in {:.1} s, detached in {:.1} s",
            at_once.containers, at_once.parallel, at_once.add_seconds, at_once.del_seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_is_above_the_p99() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(p99(&values), Some(198.0));
        assert_eq!(p99(&[7.0]), Some(7.0));
        assert_eq!(p99(&[]), None);
    }
}
