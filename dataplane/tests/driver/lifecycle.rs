//! Attaching, detaching, waking and ending, with traffic on the way.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use ringlay_dataplane::counters::QueueCounters;
use ringlay_dataplane::driver::{DriverConfig, DriverKind};
use ringlay_dataplane::drop_reason::DropReason;

use crate::rig::{FRAMES, Rig, endpoint, private_address, underlay};

crate::scenarios!(
    queues_come_and_go_under_traffic,
    dropping_the_driver_sends_what_is_queued_and_frees_the_rest,
    every_wake_up_ends_a_wait,
    a_wake_up_before_the_wait_counts,
    waiting_blocks_while_nothing_happens,
    a_worker_that_never_waits_finds_frames,
    a_frame_for_no_queue_is_counted,
    a_queue_without_memory_is_refused,
);

fn queues_come_and_go_under_traffic(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while !stop.load(Ordering::Relaxed) {
                // Refused while nobody listens.
                let _ = socket.send_to(&[1; 500], to);
            }
        });
        let mut delivered = 0;
        for round in 0..50 {
            // Finds the port free only if the last round's sockets are closed.
            let (queue, _) = rig.attach(underlay(1, endpoint(to, 2, false)));
            for _ in 0..round % 4 {
                delivered += rig.next().len() as u64;
                for _ in 0..10 {
                    let frame = rig.frame(&[2; 500], to);
                    rig.driver.send(queue, frame);
                }
                rig.driver.flush();
            }
            let frame = rig.frame(b"not flushed", to);
            rig.driver.send(queue, frame);
            rig.driver.detach(queue);
            assert!(rig.poll().is_empty());
        }
        stop.store(true, Ordering::Relaxed);
        let counters = &rig.counters;
        assert_eq!(
            counters.received.value(),
            delivered + counters.drops(DropReason::PortGone)
        );
    });
    drop(rig.driver);
    assert_eq!(rig.pool.available(), FRAMES as usize);
}

fn dropping_the_driver_sends_what_is_queued_and_frees_the_rest(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = UdpSocket::bind("127.0.0.1:0").unwrap();
    to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let local = private_address();
    let (queue, counters) = rig.attach(underlay(1, endpoint(local, 1, false)));
    for number in 0..10 {
        to.send_to(b"never looked at", local).unwrap();
        let frame = rig.frame(&[number], to.local_addr().unwrap());
        rig.driver.send(queue, frame);
    }
    drop(rig.driver);
    assert_eq!(rig.pool.available(), FRAMES as usize);
    assert_eq!(counters.tx_frames.value(), 10);
    for number in 0..10 {
        let mut data = [0; 16];
        assert_eq!(to.recv(&mut data).unwrap(), 1);
        assert_eq!(data[0], number);
    }
}

fn every_wake_up_ends_a_wait(kind: DriverKind) {
    const ROUNDS: u32 = 2_000;
    let mut rig = Rig::new(kind);
    let waker = rig.waker.clone();
    let turn = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                while turn.load(Ordering::Acquire) < round {
                    std::thread::yield_now();
                }
                waker.wake();
            }
        });
        for round in 0..ROUNDS {
            turn.store(round, Ordering::Release);
            // Hangs here, and lets the test time out, if a wake-up is lost.
            rig.driver.wait(None).unwrap();
            assert!(rig.poll().is_empty());
        }
    });
}

fn a_wake_up_before_the_wait_counts(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    rig.attach(underlay(1, endpoint(private_address(), 1, false)));
    rig.poll();
    rig.waker.wake();
    rig.driver.wait(None).unwrap();
}

fn waiting_blocks_while_nothing_happens(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    rig.attach(underlay(1, endpoint(private_address(), 1, false)));
    rig.poll();
    let before = rig.counters.syscalls.value();
    let started = std::time::Instant::now();
    for _ in 0..5 {
        rig.driver.wait(Some(Duration::from_millis(20))).unwrap();
        assert!(rig.poll().is_empty());
    }
    // The kernel may end a wait early by at most a clock tick.
    assert!(started.elapsed() >= Duration::from_millis(75));
    assert!(rig.counters.syscalls.value() - before <= 10);
}

fn a_worker_that_never_waits_finds_frames(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let to = private_address();
    rig.attach(underlay(1, endpoint(to, 1, false)));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..100u8 {
        for _ in 0..10 {
            assert!(rig.poll().is_empty());
        }
        socket.send_to(&[number], to).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let frames = loop {
            let frames = rig.poll();
            if !frames.is_empty() {
                break frames;
            }
            assert!(std::time::Instant::now() < deadline, "nothing arrives");
        };
        assert_eq!(frames[0].data(), [number]);
    }
}

fn a_frame_for_no_queue_is_counted(kind: DriverKind) {
    let mut rig = Rig::new(kind);
    let (queue, _) = rig.attach(underlay(1, endpoint(private_address(), 1, false)));
    rig.driver.detach(queue);
    let frame = rig.frame(b"late", private_address());
    rig.driver.send(queue, frame);
    rig.driver.flush();
    assert_eq!(rig.drops(DropReason::PortGone), 1);
    rig.assert_pool_is_full(FRAMES);
}

/// Only io_uring lends memory beforehand; epoll serves the queue once there is some.
fn a_queue_without_memory_is_refused(kind: DriverKind) {
    let config = DriverConfig {
        receive_buffers: 8,
        ..DriverConfig::default()
    };
    let mut rig = Rig::with(kind, 8, config);
    let held: Vec<_> = std::iter::from_fn(|| rig.pool.allocate()).collect();
    let local = private_address();
    let queue = || underlay(1, endpoint(local, 1, false));
    let attached = rig
        .driver
        .attach(queue(), Arc::new(QueueCounters::default()));
    assert_eq!(attached.is_err(), kind == DriverKind::IoUring);
    drop(held);
    if let Ok(queue) = attached {
        rig.driver.detach(queue);
    }
    rig.attach(queue());
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .send_to(b"now", local)
        .unwrap();
    assert_eq!(rig.collect(1)[0].data(), b"now");
}
