//! The thread that follows the wire, or the link that an uplink leads to, and the neighbours there,
//! and tells the engine.
//!
//! It looks again and again rather than listen: what it wants to know depends on routes, neighbours
//! and links alike, and packets whose next hop is unknown go by the kernel's sockets meanwhile,
//! which is also what makes the kernel resolve it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::engine::Engine;
use crate::{compile::Wire, netlink};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_millis(250);
/// Of the time at most one part in so many is spent on looking.
const SHARE: u32 = 20;

/// The running thread.
#[derive(Debug)]
pub(super) struct WireThread {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl WireThread {
    /// Starts to follow.
    pub(super) fn spawn(engine: Arc<Mutex<Engine>>) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new()
            .name("ringlay-nexthop".to_owned())
            .spawn(move || follow(&engine, &stopped))?;
        Ok(Self { thread, stop })
    }

    /// Stops it and waits for its end.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that follows the wire panicked");
        }
    }
}

fn follow(engine: &Mutex<Engine>, stopped: &Receiver<()>) {
    let mut failing = false;
    loop {
        let start = Instant::now();
        match look(engine) {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "neighbours on the wire are not followed");
            }
            Err(_) => {}
        }
        let pause = INTERVAL.max(start.elapsed() * SHARE);
        let stopping = stopped.recv_timeout(pause);
        if stopping != Err(crossbeam::channel::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn look(engine: &Mutex<Engine>) -> Result<(), netlink::NetlinkError> {
    let lock = || engine.lock().unwrap_or_else(PoisonError::into_inner);
    let (host, local, vteps) = {
        let engine = lock();
        let local = engine.compiler().environment().local;
        (Arc::clone(engine.host()), local, engine.vteps())
    };
    // The engine is not kept waiting for the kernel.
    let around = |index: Option<u32>| match index {
        None => Ok(None),
        Some(index) => {
            let link = netlink::neighbourhood(index, local, &vteps)?;
            Ok(link.map(|link| Wire {
                mac: link.mac,
                mtu: link.mtu,
                next_hops: link.next_hops,
            }))
        }
    };
    let (wire, onward) = (around(host.wire())?, around(host.onward())?);
    let mut engine = lock();
    engine.set_wire(wire);
    engine.set_onward(onward);
    Ok(())
}
