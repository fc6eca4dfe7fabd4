//! What the stages of a node's workers cost, worked out of the counters that a client gets.

use crate::proto::{StageStats, Stats, WorkerStats};

/// What was counted of stages in some time, of one worker or of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageCosts {
    /// The stages, in the order in which a frame may pass them.
    pub stages: Vec<StageStats>,
    /// How long.
    pub seconds: f64,
    /// Cycles a second.
    pub hertz: f64,
}

impl StageCosts {
    /// All workers together; none if they were never measured.
    pub fn of(stats: &Stats) -> Option<Self> {
        let mut workers = stats.workers.iter();
        let first = Self::of_worker(stats, workers.next()?)?;
        Some(workers.fold(first, |mut sum, worker| {
            for stage in &worker.stages {
                sum.add(stage);
            }
            sum
        }))
    }

    /// One worker; none if it was never measured.
    pub fn of_worker(stats: &Stats, worker: &WorkerStats) -> Option<Self> {
        let measured = stats.stages?;
        Some(Self {
            stages: worker.stages.clone(),
            seconds: measured.seconds,
            hertz: measured.hertz,
        })
    }

    /// What came since `earlier`; everything if it began anew in the meantime.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut added = self.clone();
        if self.seconds < earlier.seconds {
            return added;
        }
        added.seconds -= earlier.seconds;
        for stage in &mut added.stages {
            if let Some(before) = earlier.stages.iter().find(|it| it.name == stage.name) {
                // What a worker is at is read while it goes on.
                stage.calls = stage.calls.saturating_sub(before.calls);
                stage.frames = stage.frames.saturating_sub(before.frames);
                stage.cycles = stage.cycles.saturating_sub(before.cycles);
            }
        }
        added
    }

    /// Cycles of all stages: the workers' whole time.
    pub fn cycles(&self) -> u64 {
        self.stages.iter().map(|stage| stage.cycles).sum()
    }

    /// Cycles of forwarding.
    pub fn work(&self) -> u64 {
        let work = self.stages.iter().filter(|stage| stage.work);
        work.map(|stage| stage.cycles).sum()
    }

    /// Frames that were received.
    pub fn received(&self) -> u64 {
        let mut stages = self.stages.iter();
        stages
            .find(|it| it.name == "receive")
            .map_or(0, |it| it.frames)
    }

    /// So many cycles in nanoseconds; none where the counter's rate is not known.
    pub fn ns(&self, cycles: f64) -> Option<f64> {
        (self.hertz > 0.0).then(|| cycles * 1e9 / self.hertz)
    }

    fn add(&mut self, stage: &StageStats) {
        match self.stages.iter_mut().find(|it| it.name == stage.name) {
            Some(sum) => {
                sum.calls += stage.calls;
                sum.frames += stage.frames;
                sum.cycles += stage.cycles;
            }
            None => self.stages.push(stage.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Measurement;

    fn stage(name: &str, [calls, frames, cycles]: [u64; 3]) -> StageStats {
        StageStats {
            name: name.to_owned(),
            calls,
            frames,
            cycles,
            work: name != "wait",
        }
    }

    fn stats(seconds: f64, workers: &[&[StageStats]]) -> Stats {
        let worker = |stages: &&[StageStats]| WorkerStats {
            stages: stages.to_vec(),
            ..WorkerStats::default()
        };
        Stats {
            workers: workers.iter().map(worker).collect(),
            stages: Some(Measurement {
                running: true,
                seconds,
                hertz: 2e9,
            }),
            ..Stats::default()
        }
    }

    #[test]
    fn workers_add_up() {
        let first = [stage("receive", [2, 20, 100]), stage("wait", [1, 0, 900])];
        let second = [stage("receive", [1, 5, 50]), stage("wait", [1, 0, 950])];
        let costs = StageCosts::of(&stats(1.0, &[&first, &second])).unwrap();
        assert_eq!(
            (costs.received(), costs.work(), costs.cycles()),
            (25, 150, 2000)
        );
        assert_eq!(costs.stages[1], stage("wait", [2, 0, 1850]));
        assert_eq!(costs.ns(150.0), Some(75.0));
        assert_eq!(StageCosts::of(&Stats::default()), None);
    }

    #[test]
    fn what_was_added_since_is_told() {
        let of = |seconds, numbers| {
            StageCosts::of(&stats(seconds, &[&[stage("receive", numbers)]])).unwrap()
        };
        let (early, late) = (of(1.0, [1, 2, 30]), of(3.0, [4, 6, 80]));
        let added = late.since(&early);
        assert_eq!(added.stages, [stage("receive", [3, 4, 50])]);
        assert_eq!(added.seconds, 2.0);
        // It began anew.
        assert_eq!(early.since(&late), early);
    }
}
