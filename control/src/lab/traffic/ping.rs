//! ICMP echo over a raw socket, since `ping` may not be installed.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use super::Path;
use crate::lab::LabError;

/// One answered echo request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reply {
    /// Sequence number, from 1.
    pub sequence: u16,
    /// TTL that the reply arrived with.
    pub ttl: u8,
    /// Round-trip time in microseconds.
    pub time: f64,
}

/// Sends `count` requests and returns the replies that came in time.
///
/// # Errors
/// Without CAP_NET_RAW, or where there is no route.
pub fn run(path: &Path, count: u16) -> Result<Vec<Reply>, LabError> {
    let destination = path.destination;
    path.from.run(|| exchange(destination, count))?
}

/// Waits until a request is answered.
///
/// # Errors
/// [`LabError::TimedOut`] if none is within `limit`.
pub fn wait_for_reply(path: &Path, limit: Duration) -> Result<(), LabError> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        // Right after the start there may be no route yet.
        if run(path, 1).is_ok_and(|replies| !replies.is_empty()) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let what = format!("a ping reply from {}", path.destination);
    Err(LabError::TimedOut {
        what,
        seconds: limit.as_secs(),
    })
}

fn exchange(destination: Ipv4Addr, count: u16) -> Result<Vec<Reply>, LabError> {
    let open = || -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
        socket.connect(&SocketAddrV4::new(destination, 0).into())?;
        socket.set_read_timeout(Some(Duration::from_millis(10)))?;
        Ok(socket)
    };
    let socket = open().map_err(LabError::io(format!(
        "open an ICMP socket to {destination}"
    )))?;
    let mut replies = Vec::new();
    for sequence in 1..=count {
        let sent = Instant::now();
        socket
            .send(&request(sequence))
            .map_err(LabError::io(format!(
                "send an ICMP echo request to {destination}"
            )))?;
        replies.extend(await_reply(&socket, sequence, sent)?);
    }
    Ok(replies)
}

fn await_reply(
    mut socket: &Socket,
    sequence: u16,
    sent: Instant,
) -> Result<Option<Reply>, LabError> {
    let mut buffer = [0; 256];
    while sent.elapsed() < REPLY_LIMIT {
        let length = match socket.read(&mut buffer) {
            Ok(length) => length,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => return Err(LabError::io("receive an ICMP echo reply")(error)),
        };
        let time = sent.elapsed().as_secs_f64() * 1e6;
        if let Some(ttl) = parse_reply(&buffer[..length], sequence) {
            return Ok(Some(Reply {
                sequence,
                ttl,
                time,
            }));
        }
    }
    Ok(None)
}

/// An echo request (RFC 792) with 56 bytes of data, as ping sends it.
fn request(sequence: u16) -> [u8; 64] {
    let mut message = [0; 64];
    message[0] = ECHO_REQUEST;
    message[4..6].copy_from_slice(&IDENTIFIER.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// The TTL of an IPv4 packet if it is the reply to our request `sequence`.
fn parse_reply(packet: &[u8], sequence: u16) -> Option<u8> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let message = packet.get(header..)?;
    let is_ours = message.first() == Some(&ECHO_REPLY)
        && message.get(4..6) == Some(&IDENTIFIER.to_be_bytes()[..])
        && message.get(6..8) == Some(&sequence.to_be_bytes()[..]);
    if is_ours {
        packet.get(8).copied()
    } else {
        None
    }
}

/// RFC 1071, for an even number of bytes.
fn checksum(message: &[u8]) -> u16 {
    let sum: u32 = message
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Nobody else pings in these namespaces.
const IDENTIFIER: u16 = 0x524c;
const REPLY_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_checksum_that_sums_to_zero() {
        assert_eq!(checksum(&request(7)), 0);
    }

    #[test]
    fn only_the_reply_to_the_request_counts() {
        let mut packet = vec![
            0x45, 0, 0, 84, 0, 0, 0, 0, 63, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
        ];
        packet.extend_from_slice(&request(7));
        assert_eq!(parse_reply(&packet, 7), None);
        packet[20] = ECHO_REPLY;
        assert_eq!(parse_reply(&packet, 7), Some(63));
        assert_eq!(parse_reply(&packet, 8), None);
        assert_eq!(parse_reply(&packet[..22], 7), None);
        assert_eq!(parse_reply(&[], 7), None);
    }
}
