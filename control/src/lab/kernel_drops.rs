//! Packets that the kernel dropped on the way into or out of an overlay, where its nodes cannot
//! see them: a full device queue, a full socket buffer.

use std::fs;

use super::LabError;
use super::drops::Drops;
use super::topology::Host;

/// Counts since boot of `device` and of all UDP sockets on both hosts together.
///
/// # Errors
/// If a namespace cannot be entered.
pub fn count(hosts: [&Host; 2], device: &str) -> Result<Drops, LabError> {
    let mut drops = Drops::default();
    for host in hosts {
        // `/proc/net` is that of the process's first thread, which is in another namespace.
        let (devices, protocols) = host.namespace.run(|| {
            let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
            (
                read("dev").unwrap_or_default(),
                read("snmp").unwrap_or_default(),
            )
        })?;
        drops.count(
            format!("kernel_{device}_tx_dropped"),
            transmit_drops(&devices, device),
        );
        for (field, reason) in UDP_FIELDS {
            drops.count(reason.to_owned(), udp_counter(&protocols, field));
        }
    }
    Ok(drops)
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

/// `/proc/net/snmp` has a line of names and a line of values for each protocol.
fn udp_counter(table: &str, field: &str) -> u64 {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let mut pairs = names
        .split_ascii_whitespace()
        .zip(values.split_ascii_whitespace());
    let value = pairs.find_map(|(name, value)| (name == field).then_some(value));
    value
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

    #[test]
    fn udp_counters_are_found_by_name() {
        let table = "Tcp: A RcvbufErrors\nTcp: 1 2\n\
            Udp: InDatagrams NoPorts RcvbufErrors SndbufErrors\nUdp: 10 20 30 40\n\
            UdpLite: RcvbufErrors\nUdpLite: 50\n";
        assert_eq!(udp_counter(table, "RcvbufErrors"), 30);
        assert_eq!(udp_counter(table, "SndbufErrors"), 40);
        assert_eq!(udp_counter(table, "Nothing"), 0);
    }
}
