//! Packets that the kernel dropped on the way into or out of an overlay, where its nodes cannot
//! see them: a full device queue, a full socket buffer.

use std::fs;

use super::LabError;
use super::drops::Drops;
use super::protocol_counters::ProtocolCounters;
use super::topology::Host;

/// Counts since boot of each host's overlay device and of all its UDP sockets, both hosts together.
///
/// # Errors
/// If a namespace cannot be entered.
pub fn count(hosts: [&Host; 2], devices: [&str; 2]) -> Result<Drops, LabError> {
    let mut drops = Drops::default();
    for (host, device) in hosts.into_iter().zip(devices) {
        drops.count(
            format!("kernel_{device}_tx_dropped"),
            before_device(host, device)?,
        );
        let protocols = ProtocolCounters::of(host)?;
        for (field, reason) in UDP_FIELDS {
            drops.count(reason.to_owned(), protocols.value("Udp", field));
        }
    }
    Ok(drops)
}

/// Count since boot of what did not fit into the queue of a host's device.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn before_device(host: &Host, device: &str) -> Result<u64, LabError> {
    // `/proc/net` is that of the process's first thread, which is in another namespace.
    let table = host
        .namespace
        .run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default())?;
    Ok(transmit_drops(&table, device))
}

/// Column `drop` of the transmit half of `/proc/net/dev`: what did not fit into a device's queue.
fn transmit_drops(table: &str, device: &str) -> u64 {
    let mut lines = table.lines();
    let counters = lines.find_map(|line| line.trim_start().strip_prefix(device)?.strip_prefix(':'));
    let column = counters.and_then(|counters| counters.split_ascii_whitespace().nth(11));
    column
        .and_then(|count| count.parse().ok())
        .unwrap_or_default()
}

/// The kernel's names, and ours.
const UDP_FIELDS: [(&str, &str); 2] = [
    ("RcvbufErrors", "kernel_udp_receive_buffer_full"),
    ("SndbufErrors", "kernel_udp_send_buffer_full"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_transmit_drops_are_its_own() {
        let table = "Inter-|   Receive                            |  Transmit\n \
            face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop \
            fifo colls carrier compressed\n    \
            lo:       1    2    3    4    5     6          7         8        9      10   11   12 \
            13 14 15 16\n   \
            rl0:      1    2    3    4    5     6          7         8        9      10   11   77 \
            13 14 15 16\n  \
            rl01:     1    2    3    4    5     6          7         8        9      10   11   99 \
            13 14 15 16\n";
        assert_eq!(transmit_drops(table, "rl0"), 77);
        assert_eq!(transmit_drops(table, "rl2"), 0);
    }
}
