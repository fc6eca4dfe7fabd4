//! Datagrams to many destinations, as fast as they go, until told to stop.
//!
//! It does not care what becomes of them: the node counts.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use ringlay_control::lab::LabError;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::placement;

/// Running senders; they stop when this is dropped.
#[derive(Debug)]
pub(super) struct Flood {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<Result<(), LabError>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    sent: AtomicU64,
}

impl Flood {
    /// Starts a sender on each of `cpus` (an unpinned one if there is none), in `namespace`. They
    /// begin at different places of `destinations` and go round.
    pub(super) fn start(
        namespace: &Namespace,
        cpus: &[usize],
        destinations: &Arc<[Ipv4Addr]>,
        payload: usize,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let places: Vec<_> = if cpus.is_empty() {
            vec![None]
        } else {
            cpus.iter().copied().map(Some).collect()
        };
        let start = |(index, cpu): (usize, &Option<usize>)| {
            let (shared, destinations) = (Arc::clone(&shared), Arc::clone(destinations));
            let (cpu, from) = (*cpu, index * destinations.len() / places.len());
            namespace.spawn(move || {
                cpu.map_or(Ok(()), placement::pin)?;
                send(&shared, &destinations, from, payload)
                    .map_err(LabError::io("send UDP data to many destinations"))
            })
        };
        let senders = places.iter().enumerate().map(start).collect();
        Self { shared, senders }
    }

    /// Datagrams sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Stops all senders.
    ///
    /// # Errors
    /// What one of them failed with.
    pub(super) fn stop(mut self) -> Result<(), LabError> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let senders = std::mem::take(&mut self.senders);
        let join = |sender: JoinHandle<_>| {
            let result = sender.join();
            result.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        };
        senders.into_iter().try_for_each(join)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

fn send(
    shared: &Shared,
    destinations: &[Ipv4Addr],
    from: usize,
    payload: usize,
) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let datagram = vec![0x5a; payload];
    let mut rest = destinations.iter().cycle().skip(from);
    while !shared.stopped.load(Ordering::Relaxed) {
        for address in rest.by_ref().take(BURST) {
            socket.send_to(&datagram, SocketAddrV4::new(*address, DISCARD))?;
        }
        shared.sent.fetch_add(BURST as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Datagrams between two looks at whether to stop.
const BURST: usize = 64;
/// The discard port (RFC 863).
const DISCARD: u16 = 9;
