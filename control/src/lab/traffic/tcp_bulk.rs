//! TCP in bulk: as much as goes in a given time, or a given amount with every byte checked.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pattern::Pattern;
use super::{Path, SILENCE, join};
use crate::lab::LabError;
use crate::lab::namespace::Namespace;

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TcpBulk {
    /// Payload bytes that the sink read.
    pub bytes: u64,
    /// Payload bits a second at the sink, from the first byte to the last.
    pub bits_per_second: f64,
}

/// Sends for `duration` over `streams` connections at once.
///
/// # Errors
/// If a connection cannot be made or breaks.
pub fn run(path: &Path, duration: Duration, streams: usize) -> Result<TcpBulk, LabError> {
    let (address, listener) = listen(&path.to, path.destination)?;
    let sinks: Vec<_> = (0..streams)
        .map(|_| {
            let listener = listener
                .try_clone()
                .map_err(LabError::io("clone a listener"))?;
            Ok(path.to.spawn(move || sink(accept(&listener)?, |_| Ok(()))))
        })
        .collect::<Result<_, LabError>>()?;
    let sources: Vec<_> = (0..streams)
        .map(|_| path.from.spawn(move || source(address, duration)))
        .collect();
    for thread in sources {
        join(thread)?;
    }
    let ends = sinks.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
    let bytes = ends.iter().map(|end| end.bytes).sum();
    let first = ends.iter().filter_map(|end| end.first).min();
    let last = ends.iter().filter_map(|end| end.last).max();
    let seconds = first
        .zip(last)
        .map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    Ok(TcpBulk {
        bytes,
        bits_per_second: rate(bytes, seconds),
    })
}

/// Sends `bytes` of a known stream and compares them at the sink.
///
/// # Errors
/// [`LabError::Corrupted`] if a byte differs or is missing.
pub fn verify(path: &Path, bytes: u64) -> Result<(), LabError> {
    let (address, listener) = listen(&path.to, path.destination)?;
    let sink = path.to.spawn(move || {
        let mut expected = Pattern::new(bytes);
        sink(accept(&listener)?, |received| expected.check(received))
    });
    let source = path.from.spawn(move || known_source(address, bytes));
    join(source)?;
    let end = join(sink)?;
    if end.bytes == bytes {
        Ok(())
    } else {
        Err(LabError::Corrupted { offset: end.bytes })
    }
}

/// Listens on a free port; threads in other namespaces may use the socket, which stays in `host`.
pub(super) fn listen(
    host: &Namespace,
    address: Ipv4Addr,
) -> Result<(SocketAddr, TcpListener), LabError> {
    host.run(|| {
        let listener = TcpListener::bind((address, 0))?;
        Ok((listener.local_addr()?, listener))
    })?
    .map_err(|source: std::io::Error| LabError::Io {
        what: format!("listen on {address}"),
        source,
    })
}

/// Waits for a connection, but not for ever: an overlay that is not up would hang the run.
pub(super) fn accept(listener: &TcpListener) -> Result<TcpStream, LabError> {
    listener
        .set_nonblocking(true)
        .map_err(LabError::io("set a listener non-blocking"))?;
    let deadline = Instant::now() + SILENCE;
    while Instant::now() < deadline {
        match listener.accept() {
            Ok((stream, _)) => return limit_silence(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(LabError::io("accept a connection")(error)),
        }
    }
    Err(LabError::TimedOut {
        what: "a TCP connection".into(),
        seconds: SILENCE.as_secs(),
    })
}

pub(super) fn connect(address: SocketAddr) -> Result<TcpStream, LabError> {
    let stream = TcpStream::connect_timeout(&address, SILENCE)
        .map_err(LabError::io(format!("connect to {address}")))?;
    limit_silence(stream)
}

fn limit_silence(stream: TcpStream) -> Result<TcpStream, LabError> {
    let set = || {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))
    };
    set().map_err(LabError::io("set socket options"))?;
    Ok(stream)
}

struct End {
    bytes: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

fn sink(
    mut stream: TcpStream,
    mut check: impl FnMut(&[u8]) -> Result<(), LabError>,
) -> Result<End, LabError> {
    let mut buffer = vec![0; CHUNK];
    let mut end = End {
        bytes: 0,
        first: None,
        last: None,
    };
    loop {
        let length = stream
            .read(&mut buffer)
            .map_err(LabError::io("receive TCP data"))?;
        if length == 0 {
            return Ok(end);
        }
        check(&buffer[..length])?;
        let now = Instant::now();
        end.first.get_or_insert(now);
        end.last = Some(now);
        end.bytes += length as u64;
    }
}

fn source(address: SocketAddr, duration: Duration) -> Result<(), LabError> {
    let mut stream = connect(address)?;
    let chunk = vec![0x5a; CHUNK];
    let deadline = Instant::now() + duration;
    while Instant::now() < deadline {
        stream
            .write_all(&chunk)
            .map_err(LabError::io("send TCP data"))?;
    }
    stream
        .shutdown(Shutdown::Write)
        .map_err(LabError::io("end a TCP stream"))
}

fn known_source(address: SocketAddr, bytes: u64) -> Result<(), LabError> {
    let mut stream = connect(address)?;
    let mut pattern = Pattern::new(bytes);
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        pattern.fill(&mut chunk[..length]);
        stream
            .write_all(&chunk[..length])
            .map_err(LabError::io("send TCP data"))?;
        left -= length as u64;
    }
    stream
        .shutdown(Shutdown::Write)
        .map_err(LabError::io("end a TCP stream"))
}

fn rate(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        bytes as f64 * 8.0 / seconds
    } else {
        0.0
    }
}

/// The size iperf3 writes and reads at a time.
const CHUNK: usize = 128 * 1024;
