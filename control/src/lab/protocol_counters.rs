//! The kernel's counters of protocols, per host: `/proc/net/snmp`.

use std::fs;

use super::LabError;
use super::topology::Host;

/// The counters of one host at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtocolCounters(String);

impl ProtocolCounters {
    /// Reads them in the host's namespace.
    ///
    /// # Errors
    /// If the namespace cannot be entered or the file not be read.
    pub fn of(host: &Host) -> Result<Self, LabError> {
        // `/proc/net` is that of the process's first thread, which is in another namespace.
        let path = "/proc/thread-self/net/snmp";
        host.namespace
            .run(|| fs::read_to_string(path))?
            .map(Self)
            .map_err(LabError::io(format!("read {path}")))
    }

    /// The counter `field` of `protocol`, as in `Udp` and `RcvbufErrors`; 0 if there is none.
    pub fn value(&self, protocol: &str, field: &str) -> u64 {
        // A line of names and a line of values for each protocol.
        let mut lines = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
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

    /// TCP segments sent since boot, retransmitted ones included.
    ///
    /// The kernel counts what a super-frame will be cut into, not the super-frame
    /// (`tcp_skb_pcount` in net/ipv4/tcp_output.c), so that this is what a cable would carry,
    /// wherever the cutting is done, if it is done at all.
    pub fn tcp_segments_sent(&self) -> u64 {
        self.value("Tcp", "OutSegs") + self.value("Tcp", "RetransSegs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_protocol_and_name() {
        let counters = ProtocolCounters(
            "Tcp: A OutSegs RetransSegs\nTcp: -1 2 5\n\
             Udp: InDatagrams NoPorts RcvbufErrors SndbufErrors\nUdp: 10 20 30 40\n\
             UdpLite: RcvbufErrors\nUdpLite: 50\n"
                .into(),
        );
        assert_eq!(counters.value("Udp", "RcvbufErrors"), 30);
        assert_eq!(counters.value("UdpLite", "RcvbufErrors"), 50);
        assert_eq!(counters.value("Udp", "Nothing"), 0);
        assert_eq!(counters.value("Sctp", "Nothing"), 0);
        assert_eq!(counters.tcp_segments_sent(), 7);
    }
}
