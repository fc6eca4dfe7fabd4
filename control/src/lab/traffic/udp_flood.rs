//! Small UDP datagrams, one a system call, as fast as they go or at a given rate.
//!
//! What counts is what arrives; the loss is reported with it.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;

use super::{Path, join};
use crate::lab::LabError;

/// What was sent and what of it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UdpFlood {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams received a second.
    pub packets_per_second: f64,
}

impl UdpFlood {
    /// Part of the datagrams that did not arrive, 0 to 1.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 {
            0.0
        } else {
            1.0 - self.received as f64 / self.sent as f64
        }
    }
}

/// Sends datagrams of `payload` bytes for `duration`, at most `rate` a second if given.
///
/// # Errors
/// If the sockets cannot be made, or sending fails other than for lack of room.
pub fn run(
    path: &Path,
    duration: Duration,
    payload: usize,
    rate: Option<u32>,
) -> Result<UdpFlood, LabError> {
    let address = path.destination;
    let (to, socket) = path
        .to
        .run(|| {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            setsockopt(&socket, sockopt::RcvBufForce, &SINK_BUFFER)?;
            Ok((socket.local_addr()?, socket))
        })?
        .map_err(|source: std::io::Error| LabError::Io {
            what: format!("bind {address}"),
            source,
        })?;
    let done = Arc::new(AtomicBool::new(false));
    let sink_done = Arc::clone(&done);
    let sink = path.to.spawn(move || sink(&socket, &sink_done));
    let sent = join(path.from.spawn(move || source(to, duration, payload, rate)));
    done.store(true, Ordering::Relaxed);
    let (received, seconds) = join(sink)?;
    let packets_per_second = if seconds > 0.0 {
        received as f64 / seconds
    } else {
        0.0
    };
    Ok(UdpFlood {
        sent: sent?,
        received,
        packets_per_second,
    })
}

/// Counts until the source is done and nothing comes any more.
///
/// It sleeps between looks rather than in the receive call: woken for every packet, a sink costs
/// more than the overlay that is to be measured. [`SINK_BUFFER`] holds what arrives meanwhile.
fn sink(socket: &UdpSocket, done: &AtomicBool) -> Result<(u64, f64), LabError> {
    let start = Instant::now();
    let mut received = 0;
    let (mut first, mut last) = (None, start);
    loop {
        let more = drain(socket)?;
        let now = Instant::now();
        if more > 0 {
            received += more;
            first.get_or_insert(now);
            last = now;
        } else if done.load(Ordering::Relaxed) && now - last > QUIET {
            let seconds = first.map_or(0.0, |first| (last - first).as_secs_f64());
            return Ok((received, seconds));
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Receives what is there.
fn drain(socket: &UdpSocket) -> Result<u64, LabError> {
    let mut buffer = [0; 65_536];
    let mut received = 0;
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => received += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(received),
            Err(error) => return Err(LabError::io("receive UDP data")(error)),
        }
    }
}

fn source(
    to: SocketAddr,
    duration: Duration,
    payload: usize,
    rate: Option<u32>,
) -> Result<u64, LabError> {
    let prepare = || -> std::io::Result<_> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(to)?;
        Ok(socket)
    };
    let socket = prepare().map_err(LabError::io(format!("connect to {to}")))?;
    let datagram = vec![0x5a; payload];
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < duration {
        if let Some(rate) = rate {
            pace(start, sent, rate);
        }
        for _ in 0..BURST {
            match socket.send(&datagram) {
                Ok(_) => {}
                // Lost before the device: offered all the same.
                Err(error) if is_lack_of_room(&error) => {}
                Err(error) => return Err(LabError::io("send UDP data")(error)),
            }
            sent += 1;
        }
    }
    Ok(sent)
}

/// Waits until the next burst is due.
fn pace(start: Instant, sent: u64, rate: u32) {
    let due = Duration::from_secs_f64(sent as f64 / f64::from(rate.max(1)));
    if let Some(early) = due.checked_sub(start.elapsed()) {
        thread::sleep(early);
    }
}

fn is_lack_of_room(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// Datagrams between two looks at the clock.
const BURST: u64 = 16;
const QUIET: Duration = Duration::from_millis(200);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Room for some ten thousand small datagrams, which the kernel counts as 768 bytes each.
const SINK_BUFFER: usize = 8 << 20;
