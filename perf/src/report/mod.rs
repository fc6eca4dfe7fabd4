//! What a comparison found: samples come in, medians and ratios go out, as JSON or as tables.
//!
//! It measures nothing.

pub(crate) mod figure;
mod render;

use ringlay_control::lab::drops::Drops;
use ringlay_control::lab::leg::LegKind;
use ringlay_control::lab::machine::Machine;
use ringlay_control::lab::topology::UnderlayConfig;
use ringlay_control::lab::tsc::Tsc;
use serde::Serialize;

use crate::compare::measure::{Measure, Taken};
use figure::{Figures, medians, ratios};

/// Everything that was compared in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// How.
    pub(crate) settings: Settings,
    /// What the figures mean.
    pub(crate) method: &'static [&'static str],
    /// A section for each state of the underlay.
    pub(crate) sections: Vec<Section>,
}

/// What all sections have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Settings {
    /// Where and when.
    pub(crate) machine: Machine,
    /// Rate of the processor's time-stamp counter; nothing where there is none, and no cycles.
    pub(crate) tsc: Option<Tsc>,
    /// Rounds, alternating between the legs.
    pub(crate) rounds: u16,
    /// Length of a bulk measurement in seconds.
    pub(crate) seconds: u64,
    /// What made the TCP and UDP traffic: `built-in`, or iperf3 with its version.
    pub(crate) traffic: String,
    /// Where the workers of Ringlay ran.
    pub(crate) workers: String,
}

/// All legs on one kind of underlay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Section {
    /// MTU of the underlay in bytes.
    pub(crate) mtu: u32,
    /// Whether the underlay took unfinished segments and checksums.
    pub(crate) offloads: bool,
    /// Processors that others kept busy just before.
    pub(crate) background_cores: f64,
    /// The legs, in the order of the rows.
    pub(crate) legs: Vec<LegReport>,
    /// What was measured on them.
    pub(crate) measures: Vec<MeasureReport>,
}

/// How a leg fared.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct LegReport {
    /// Its name on the command line.
    pub(crate) leg: String,
    /// Why this host cannot run it.
    pub(crate) absent: Option<String>,
    /// What went wrong; the figures are of the rounds before.
    pub(crate) failed: Option<String>,
    /// Which modes it ran in and why, where it says.
    pub(crate) mode: Option<String>,
    /// Packets dropped over all rounds, by reason, both ends together.
    pub(crate) drops: Drops,
}

/// One measure on all legs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct MeasureReport {
    /// Which.
    #[serde(flatten)]
    pub(crate) measure: Measure,
    /// The results, a leg each, in the order of the legs.
    pub(crate) results: Vec<LegResult>,
}

/// One measure on one leg.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct LegResult {
    /// The leg.
    pub(crate) leg: String,
    /// Medians over the rounds, each figure by itself.
    pub(crate) medians: Figures,
    /// The medians over those of kernel VXLAN.
    pub(crate) to_kernel: Figures,
    /// The medians over those of the one-packet loop.
    pub(crate) to_loop: Figures,
    /// The rounds themselves.
    pub(crate) samples: Vec<Sample>,
}

/// One measure on one leg in one round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Which round, from 0.
    pub(crate) round: u16,
    /// What the tables have.
    pub(crate) figures: Figures,
    /// What they were made from.
    pub(crate) taken: Taken,
}

impl Section {
    /// A section without results yet.
    pub(crate) fn new(
        underlay: UnderlayConfig,
        background_cores: f64,
        legs: &[LegKind],
        measures: &[Measure],
    ) -> Self {
        let result = |kind: &LegKind| LegResult {
            leg: kind.to_string(),
            ..LegResult::default()
        };
        let report = |kind: &LegKind| LegReport {
            leg: kind.to_string(),
            ..LegReport::default()
        };
        let measure_report = |measure: &Measure| MeasureReport {
            measure: *measure,
            results: legs.iter().map(result).collect(),
        };
        Self {
            mtu: underlay.mtu,
            offloads: underlay.offloads,
            background_cores,
            legs: legs.iter().map(report).collect(),
            measures: measures.iter().map(measure_report).collect(),
        }
    }

    /// Adds what the leg at `leg` brought for the measure at `measure`.
    pub(crate) fn add(&mut self, leg: usize, measure: usize, sample: Sample) {
        self.legs[leg].drops.add(sample.taken.tally().drops.clone());
        let results = &mut self.measures[measure].results;
        results[leg].samples.push(sample);
        results[leg].medians = medians(results[leg].samples.iter().map(|sample| &sample.figures));
    }

    /// Works out the ratios once all samples are in.
    pub(crate) fn conclude(&mut self) {
        for measure in &mut self.measures {
            let of = |name: String, results: &[LegResult]| {
                let found = results.iter().find(|result| result.leg == name);
                found
                    .map(|result| result.medians.clone())
                    .unwrap_or_default()
            };
            let kernel = of(LegKind::KernelVxlan.to_string(), &measure.results);
            let plain_loop = of(LegKind::OnePacketLoop.to_string(), &measure.results);
            for result in &mut measure.results {
                result.to_kernel = ratios(&result.medians, &kernel);
                result.to_loop = ratios(&result.medians, &plain_loop);
            }
        }
    }
}

impl Comparison {
    /// Whether a leg failed other than for lack of what it needs.
    pub(crate) fn has_failed(&self) -> bool {
        let mut legs = self.sections.iter().flat_map(|section| &section.legs);
        legs.any(|leg| leg.failed.is_some())
    }
}

/// How to read the figures, for people and in the JSON.
pub(crate) const METHOD: &[&str] = &[
    "legs: DRIVER/UNDERLAY is Ringlay; +kernel: Ringlay on host a, kernel VXLAN on host b; \
     kernel (K): kernel VXLAN on both;",
    "  loop: one read and one send a packet. /K and /loop: the median over that of K, of the loop.",
    "cores: processors busy, whole machine: traffic, both hosts and softirq included.",
    "kpps: UDP datagrams received; kpps/core: the same for each CPU-second of the whole machine.",
    "cyc/B: CPU seconds of the whole machine x TSC rate / payload bytes received. No performance \
     counters are read.",
    "sys/1k: system calls of the workers of all Ringlay nodes (two; one with +kernel) for each \
     1,000 packets on the wire.",
    "  Those that find nothing to do count too. A packet on the wire is a TCP segment sent by either host,",
    "  acknowledgements and retransmissions included, as the kernel counts them (OutSegs + \
     RetransSegs): what a cable",
    "  would carry, also where super-frames cross the veth uncut and its devices count each as one \
     packet.",
];

#[cfg(test)]
mod tests;
