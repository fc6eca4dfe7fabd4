//! An underlay that loses, repeats and reorders frames: a TAP device in each host,
//! and a thread for each direction that passes frames between them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringlay_control::lab::namespace::Namespace;
use ringlay_dataplane::sys::tun::{Layer, TunQueue};

use crate::support::random::Random;

/// One in so many frames suffers each of the faults.
const FAULT_EVERY: usize = 100;

/// How many frames overtake a late one.
const LATE_BY: usize = 3;

/// How long a thread rests that found nothing to pass.
const REST: Duration = Duration::from_micros(50);

/// The largest frame, with its virtio-net header.
const FRAME_MAX: usize = 2_000;

/// A link that works until this is dropped.
pub(crate) struct FaultyLink {
    stop: Arc<AtomicBool>,
    faults: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl FaultyLink {
    /// Makes `eth0` in both hosts and joins them.
    pub(crate) fn between(hosts: [&Namespace; 2]) -> Self {
        let [near, far] = hosts.map(open_device);
        let stop = Arc::new(AtomicBool::new(false));
        let faults = Arc::new(AtomicU64::new(0));
        let ways = [(&near, &far, 1), (&far, &near, 2)];
        let threads = ways.map(|(from, to, seed)| {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let (stop, faults) = (Arc::clone(&stop), Arc::clone(&faults));
            thread::spawn(move || pass(from, to, Random::new(seed), &stop, &faults))
        });
        Self {
            stop,
            faults,
            threads: threads.into(),
        }
    }

    /// How many frames have suffered a fault.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyLink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A TAP device without offloads: each frame is one packet, with its checksums.
fn open_device(host: &Namespace) -> File {
    let open = || {
        let queue = TunQueue::open().unwrap();
        queue.attach("eth0", Layer::Ethernet, true).unwrap();
        File::from(std::os::fd::OwnedFd::from(queue))
    };
    host.run(open).unwrap()
}

fn pass(mut from: File, mut to: File, mut random: Random, stop: &AtomicBool, faults: &AtomicU64) {
    let mut frame = [0; FRAME_MAX];
    let mut late: Option<(usize, Vec<u8>)> = None;
    while !stop.load(Ordering::Relaxed) {
        let len = match from.read(&mut frame) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(REST);
                continue;
            }
            // The device is down, or gone with its host.
            Err(_) => {
                thread::sleep(20 * REST);
                continue;
            }
        };
        let frame = &frame[..len];
        // A full device loses the frame, which is a fault among others.
        match random.below(FAULT_EVERY) {
            0 => {}
            1 => {
                let _ = to.write(frame);
                let _ = to.write(frame);
            }
            2 if late.is_none() => late = Some((LATE_BY, frame.to_vec())),
            _ => {
                let _ = to.write(frame);
                late = late.and_then(|(left, held)| match left {
                    0 => {
                        let _ = to.write(&held);
                        None
                    }
                    _ => Some((left - 1, held)),
                });
                continue;
            }
        }
        faults.fetch_add(1, Ordering::Relaxed);
    }
}
