//! One measurement of what is between generator and sinks: at a rate, or with all that goes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringlay_control::lab::LabError;
use ringlay_control::lab::cpu::{self, CpuMeter};
use ringlay_dataplane::port::sink::Sink;
use serde::Serialize;

use super::generator::{self, Pace, Stream};

/// Where measurements are made.
#[derive(Debug)]
pub(super) struct Range<'a> {
    /// What is sent.
    pub(super) streams: Vec<Stream>,
    /// What may receive it.
    pub(super) sinks: &'a [Sink],
    /// The hosts that are far.
    pub(super) far: &'a Arc<[Ipv4Addr]>,
    /// The generator's CPU.
    pub(super) cpu: Option<usize>,
    /// The process whose workers' time is looked at.
    pub(super) node: Option<u32>,
}

/// What a measurement showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Trial {
    /// Frames sent, a second.
    pub(super) offered: f64,
    /// Frames received, a second.
    pub(super) received: f64,
    /// Part of the frames that was lost.
    pub(super) loss: f64,
    /// Processors busy, whole machine, without the time that the generator spun away.
    pub(super) cores: f64,
    /// Of them, those of Ringlay's worker: in its own code, and in the kernel for it.
    pub(super) worker: Option<[f64; 2]>,
}

impl Trial {
    /// Frames received for each CPU-second of the whole machine.
    pub(super) fn per_cpu_second(&self) -> Option<f64> {
        (self.cores > 0.0).then(|| self.received / self.cores)
    }
}

impl Range<'_> {
    /// Measures for `duration`, after a warm-up.
    pub(super) fn measure(&self, rate: Option<f64>, duration: Duration) -> Result<Trial, LabError> {
        self.send(rate, WARM_UP, duration)
    }

    /// A few frames, to see whether any arrive.
    pub(super) fn probe(&self) -> Result<Trial, LabError> {
        self.send(Some(PROBE_RATE), Duration::ZERO, PROBE)
    }

    fn send(
        &self,
        rate: Option<f64>,
        warm_up: Duration,
        duration: Duration,
    ) -> Result<Trial, LabError> {
        let number = next_number();
        self.sinks.iter().for_each(|sink| sink.expect(number));
        let pace = Pace {
            rate,
            warm_up,
            duration,
            number,
        };
        let sending = generator::start(self.cpu, self.streams.clone(), Arc::clone(self.far), pace);
        sending.wait_for_begin();
        thread::sleep(warm_up);
        let worker = || self.node.map(|pid| cpu::threads_split(pid, WORKER));
        let (meter, before) = (CpuMeter::start(&[])?, worker());
        thread::sleep(duration);
        let (after, cpu) = (worker(), meter.stop()?);
        let sent = sending.finish()?;
        thread::sleep(DRAIN);
        let received: u64 = self.sinks.iter().map(Sink::packets).sum();
        let idle = sent.idle_seconds / sent.seconds;
        Ok(Trial {
            offered: sent.frames as f64 / sent.seconds,
            received: received as f64 / sent.seconds,
            loss: 1.0 - received as f64 / sent.frames.max(1) as f64,
            cores: (cpu.cores() - idle).max(0.0),
            worker: before.zip(after).map(|(before, after)| {
                [0, 1].map(|part| (after[part] - before[part]).max(0.0) / cpu.seconds)
            }),
        })
    }
}

/// How the names of a node's worker threads begin.
const WORKER: &str = "ringlay-w";

/// Measurements of this process are numbered.
fn next_number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// How long to send before anything counts: queues are full then, and caches warm.
const WARM_UP: Duration = Duration::from_millis(100);
/// How long frames may be on their way.
const DRAIN: Duration = Duration::from_millis(20);
const PROBE: Duration = Duration::from_millis(20);
const PROBE_RATE: f64 = 10_000.0;
