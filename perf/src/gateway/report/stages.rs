//! Where the time of Ringlay's worker goes: cycles for each frame that it received, by stage.

use std::fmt;

use ringlay_control::stages::StageCosts;
use serde::Serialize;

/// What was measured in a trial of its own, since measuring it takes a little time too.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct StageReport {
    /// Cycles a second.
    hertz: f64,
    /// Frames that the driver received at a time.
    batch: f64,
    /// Cycles of forwarding for each frame received.
    work: f64,
    /// Part of the worker's time that was forwarding.
    busy: f64,
    /// The stages that took part in it.
    stages: Vec<StageReportRow>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct StageReportRow {
    stage: String,
    /// Cycles for each frame that the worker received, so that all of them add up.
    cycles: f64,
    /// Frames at a time.
    batch: Option<f64>,
}

impl StageReport {
    /// None if no frame was received.
    pub(super) fn new(costs: &StageCosts) -> Option<Self> {
        let received = costs.received() as f64;
        if received == 0.0 {
            return None;
        }
        let batch = |calls: u64, frames: u64| (calls > 0).then(|| frames as f64 / calls as f64);
        let receive = costs.stages.iter().find(|it| it.name == "receive");
        let rows = costs.stages.iter().filter(|it| it.work && it.calls > 0);
        Some(Self {
            hertz: costs.hertz,
            batch: receive
                .and_then(|it| batch(it.calls, it.frames))
                .unwrap_or(0.0),
            work: costs.work() as f64 / received,
            busy: costs.work() as f64 / costs.cycles() as f64,
            stages: rows
                .map(|it| StageReportRow {
                    stage: it.name.clone(),
                    cycles: it.cycles as f64 / received,
                    batch: batch(it.calls, it.frames),
                })
                .collect(),
        })
    }
}

impl fmt::Display for StageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (work, batch, busy) = (self.work, self.batch, 100.0 * self.busy);
        write!(
            f,
            "{work:.0} cycles a frame, {batch:.0} at a time, {busy:.0}% busy:"
        )?;
        let told = self.stages.iter().filter(|it| it.cycles >= NEXT_TO_NOTHING);
        for (index, StageReportRow { stage, cycles, .. }) in told.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {stage} {cycles:.0}")?;
        }
        Ok(())
    }
}

/// Cycles that round to none.
const NEXT_TO_NOTHING: f64 = 0.5;

#[cfg(test)]
mod tests {
    use ringlay_control::proto::StageStats;

    use super::*;

    #[test]
    fn stages_are_told_for_each_frame_received() {
        let stage = |name: &str, [calls, frames, cycles]: [u64; 3], work| StageStats {
            name: name.into(),
            calls,
            frames,
            cycles,
            work,
        };
        let mut costs = StageCosts {
            stages: vec![
                stage("receive", [10, 100, 2_000], true),
                stage("ip_lookup", [10, 50, 3_000], true),
                stage("icmp_error", [1, 1, 10], true),
                stage("hold", [0, 0, 0], true),
                stage("wait", [3, 0, 5_010], false),
            ],
            seconds: 1.0,
            hertz: 2e9,
        };
        let report = StageReport::new(&costs).unwrap();
        assert_eq!(
            report.to_string(),
            "50 cycles a frame, 10 at a time, 50% busy: receive 20, ip_lookup 30"
        );
        assert_eq!(report.stages.len(), 3, "{report:?}");
        costs.stages[0].frames = 0;
        assert_eq!(StageReport::new(&costs), None);
    }
}
