//! TCP request and response: how long a small message takes there and back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::tcp_bulk::{accept, connect, listen};
use super::{Path, join};
use crate::lab::LabError;

/// Round-trip times of one connection with one request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RoundTrips {
    /// Requests answered.
    pub count: usize,
    /// Median, in microseconds.
    pub p50: f64,
    /// 99th percentile, in microseconds.
    pub p99: f64,
}

/// Asks and answers for `duration`.
///
/// # Errors
/// If the connection cannot be made or breaks.
pub fn run(path: &Path, duration: Duration) -> Result<RoundTrips, LabError> {
    let (address, listener) = listen(&path.to, path.destination)?;
    let server = path.to.spawn(move || answer(&accept(&listener)?));
    let client = path.from.spawn(move || ask(&connect(address)?, duration));
    let times = join(client)?;
    join(server)?;
    Ok(summary(times))
}

fn ask(mut stream: &TcpStream, duration: Duration) -> Result<Vec<Duration>, LabError> {
    let mut message = [0x5a; MESSAGE];
    let mut times = Vec::with_capacity(1 << 16);
    let start = Instant::now();
    while start.elapsed() < duration {
        let sent = Instant::now();
        stream
            .write_all(&message)
            .and_then(|()| stream.read_exact(&mut message))
            .map_err(LabError::io("exchange TCP messages"))?;
        times.push(sent.elapsed());
    }
    // The first ones pay for the connection and for cold caches.
    let warm = times.len().min(WARM_UP);
    times.drain(..warm);
    Ok(times)
}

fn answer(mut stream: &TcpStream) -> Result<(), LabError> {
    let mut message = [0; MESSAGE];
    loop {
        match stream.read_exact(&mut message) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(LabError::io("receive a TCP request")(error)),
        }
        stream
            .write_all(&message)
            .map_err(LabError::io("send a TCP response"))?;
    }
}

fn summary(mut times: Vec<Duration>) -> RoundTrips {
    times.sort_unstable();
    let at = |part: f64| {
        let index = (times.len().saturating_sub(1) as f64 * part).round() as usize;
        times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    RoundTrips {
        count: times.len(),
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// Bytes of a request and of a response.
const MESSAGE: usize = 64;
const WARM_UP: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times = (1..=101).rev().map(Duration::from_micros).collect();
        let trips = summary(times);
        assert_eq!(trips.count, 101);
        assert!((trips.p50 - 51.0).abs() < 1e-6);
        assert!((trips.p99 - 100.0).abs() < 1e-6);
    }

    #[test]
    fn no_times_no_percentiles() {
        assert_eq!(
            summary(Vec::new()),
            RoundTrips {
                count: 0,
                p50: 0.0,
                p99: 0.0
            }
        );
    }
}
