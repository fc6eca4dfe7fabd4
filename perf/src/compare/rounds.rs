//! All rounds on one kind of underlay.

use std::path::Path;

use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::leg::{Bench, Leg, LegKind, Plan};
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::placement::Placement;
use ringlay_control::lab::topology::{Topology, UnderlayConfig};
use ringlay_control::lab::tsc::Tsc;
use ringlay_control::lab::workdir::Workdir;

use super::measure::Measure;
use super::pace::Pace;
use crate::report::figure::Figure;
use crate::report::{Sample, Section};

/// What to do in each round.
#[derive(Debug)]
pub(super) struct Rounds<'a> {
    pub(super) cleanup: &'a Cleanup,
    pub(super) count: u16,
    pub(super) legs: &'a [LegKind],
    pub(super) measures: &'a [Measure],
    pub(super) plan: &'a Plan,
    pub(super) placement: &'a Placement,
    pub(super) ringlay: &'a Path,
    pub(super) tsc: Option<&'a Tsc>,
    pub(super) underlay: UnderlayConfig,
}

impl Rounds<'_> {
    /// Runs them; each starts with another leg, so that none always follows the same one.
    ///
    /// A leg that fails has no further turns; the others go on. Without hosts nothing does.
    pub(super) fn run(&self, pace: &mut Pace) -> Result<Section, LabError> {
        let background = Machine::look()?.background_cores;
        let mut section = Section::new(self.underlay, background, self.legs, self.measures);
        for round in 0..self.count {
            for turn in 0..self.legs.len() {
                let index = (usize::from(round) + turn) % self.legs.len();
                let report = &section.legs[index];
                if report.absent.is_none() && report.failed.is_none() {
                    self.turn(round, index, &mut section)?;
                }
                pace.turn();
                eprintln!("{pace} {}", self.progress(round, index, &section));
            }
        }
        section.conclude();
        Ok(section)
    }

    /// One round of one leg, on hosts of its own.
    fn turn(&self, round: u16, index: usize, section: &mut Section) -> Result<(), LabError> {
        let name = format!("ringlay-perf-{}", std::process::id());
        let directory = Workdir::create(self.cleanup, &name)?;
        let topology = Topology::create(self.cleanup, &name, self.underlay)?;
        let bench = Bench {
            cleanup: self.cleanup,
            topology: &topology,
            directory: directory.path().into(),
            ringlay: self.ringlay.into(),
            placement: self.placement.clone(),
        };
        match self.measure(&bench, round, index, section) {
            Err(error) if self.cleanup.is_closed() => return Err(error),
            Err(LabError::Unsupported { reason }) => section.legs[index].absent = Some(reason),
            Err(error) => section.legs[index].failed = Some(error.to_string()),
            Ok(()) => {}
        }
        Ok(())
    }

    fn measure(
        &self,
        bench: &Bench<'_>,
        round: u16,
        index: usize,
        section: &mut Section,
    ) -> Result<(), LabError> {
        let leg = Leg::start(bench, self.legs[index].clone())?;
        section.legs[index].mode = leg.mode()?;
        // What is first differs from round to round too: caches are cold then.
        for step in 0..self.measures.len() {
            let at = (usize::from(round) + step) % self.measures.len();
            let taken = self.measures[at].take(&leg, bench, self.plan)?;
            let sample = Sample {
                round,
                figures: taken.figures(self.tsc),
                taken,
            };
            section.add(index, at, sample);
        }
        Ok(())
    }

    fn progress(&self, round: u16, index: usize, section: &Section) -> String {
        let UnderlayConfig { mtu, offloads } = self.underlay;
        let offloads = if offloads { "on" } else { "off" };
        let leg = &section.legs[index];
        let (number, count) = (round + 1, self.count);
        let outcome = leg
            .absent
            .as_ref()
            .or(leg.failed.as_ref())
            .map_or_else(|| latest(index, section), Clone::clone);
        format!(
            "MTU {mtu}, offloads {offloads}, round {number} of {count}: {}: {outcome}",
            leg.leg
        )
    }
}

/// The headline figures of a leg's last turn.
fn latest(index: usize, section: &Section) -> String {
    let figures = section
        .measures
        .iter()
        .filter_map(|measure| Some(&measure.results[index].samples.last()?.figures));
    let headlines = figures.filter_map(|figures| {
        let value = |figure| figures.get(&figure);
        value(Figure::GbitPerSecond)
            .map(|gigabits| format!("{gigabits:.2} Gbit/s"))
            .or_else(|| {
                Some(format!(
                    "{:.0} kpps",
                    value(Figure::PacketsPerSecond)? / 1e3
                ))
            })
            .or_else(|| Some(format!("p50 {:.0} us", value(Figure::P50Us)?)))
    });
    headlines.collect::<Vec<_>>().join(", ")
}
