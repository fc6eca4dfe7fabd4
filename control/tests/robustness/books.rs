//! What the node says it did with each frame, and what the kernel says it handed over.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::node::{DEVICE, Node};

const PATIENCE: Duration = Duration::from_secs(20);

/// The node's counters, summed over its workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    received: u64,
    originated: u64,
    segmented: u64,
    flooded: u64,
    sent: u64,
    consumed: u64,
    coalesced: u64,
    held: u64,
    /// Frames taken from the TUN device.
    pub(crate) from_port: u64,
    /// Frames taken from the tunnel socket.
    pub(crate) from_underlay: u64,
    pub(crate) drops: BTreeMap<String, u64>,
}

impl Books {
    /// Reads them when they are at rest, and fails unless they balance.
    pub(crate) fn closed(node: &Node) -> Self {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Self::read(node);
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = Self::read(node);
            if now == before && now.balance() == 0 {
                return now;
            }
            let balance = now.balance();
            assert!(
                Instant::now() < deadline,
                "{balance} frames are unaccounted for: {now:?}"
            );
            before = now;
        }
    }

    fn read(node: &Node) -> Self {
        let stats = node.query("stats");
        let rows = |key: &str| stats[key].as_array().expect("stats are lists").clone();
        let sum = |rows: &[Value], key: &str| rows.iter().map(|row| number(&row[key])).sum::<u64>();
        let workers = rows("workers");
        Self {
            received: sum(&workers, "received"),
            originated: sum(&workers, "originated"),
            segmented: sum(&workers, "segmented"),
            flooded: sum(&workers, "flooded"),
            sent: sum(&workers, "sent"),
            consumed: sum(&workers, "consumed"),
            coalesced: sum(&workers, "coalesced"),
            held: sum(&workers, "held"),
            from_port: sum(&rows("ports"), "rx_frames"),
            from_underlay: sum(&rows("underlays"), "rx_frames"),
            drops: serde_json::from_value(stats["drops"].clone()).unwrap(),
        }
    }

    /// Frames that came to be and did not go by exactly one way.
    fn balance(&self) -> i64 {
        let came = self.received + self.originated + self.segmented + self.flooded;
        let dropped: u64 = self.drops.values().sum();
        let gone = self.sent + self.consumed + self.coalesced + self.held + dropped;
        came as i64 - gone as i64
    }
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no counter"))
}

/// What the kernel knows of the daemon with this process id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    pub(crate) pid: u32,
}

/// Counters of the daemon's tunnel sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketState {
    /// Bytes of memory that wait to be received.
    pub(crate) queued: u64,
    /// Datagrams dropped because the buffer was full.
    pub(crate) dropped: u64,
}

/// Counters of the TUN device. Its transmission is the daemon's reception.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeviceState {
    pub(crate) taken: u64,
    pub(crate) dropped: u64,
}

/// Sockets over IPv4 that packets of a tunnel come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sockets {
    /// On this UDP port.
    Udp(u16),
    /// Of these IP protocols.
    Raw(&'static [u8]),
}

impl Sockets {
    pub(crate) const VXLAN: Self = Self::Udp(4789);
}

impl Kernel {
    pub(crate) fn tunnel_sockets(self, sockets: Sockets) -> SocketState {
        let mut state = SocketState::default();
        let (file, numbers) = match sockets {
            Sockets::Udp(port) => ("net/udp", vec![port]),
            Sockets::Raw(protocols) => {
                ("net/raw", protocols.iter().map(|it| (*it).into()).collect())
            }
        };
        let wanted: Vec<_> = numbers.iter().map(|it| format!(":{it:04X}")).collect();
        for line in self.read(file).lines() {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_wanted = |local: &&str| wanted.iter().any(|end| local.ends_with(end));
            if fields.get(1).is_none_or(|local| !is_wanted(local)) {
                continue;
            }
            let queue = fields[4].split(':').nth(1).expect("tx_queue:rx_queue");
            state.queued += u64::from_str_radix(queue, 16).unwrap();
            state.dropped += fields.last().unwrap().parse::<u64>().unwrap();
        }
        state
    }

    pub(crate) fn tun_device(self) -> DeviceState {
        let devices = self.read("net/dev");
        let name = format!("{DEVICE}:");
        let line = devices
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&name));
        let fields: Vec<u64> = line
            .expect("the device is there")
            .split_whitespace()
            .map(|field| field.parse().unwrap())
            .collect();
        DeviceState {
            taken: fields[9],
            dropped: fields[11],
        }
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let words = line
            .expect("processes have memory")
            .split_whitespace()
            .next();
        words.unwrap().parse().unwrap()
    }

    pub(crate) fn open_files(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid))
            .unwrap()
            .count()
    }

    /// Fails if more files stay open than there were. The connection of who asked last may be closed
    /// a moment after the answer.
    pub(crate) fn assert_files_closed(self, before: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.open_files() > before {
            let open = self.open_files();
            assert!(Instant::now() < deadline, "{open} files, not {before}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn read(self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("the daemon is gone: {path}: {error}"))
    }
}
