//! Captures: tcpdump takes them, tshark says what is in them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::process::Process;

use super::pair::{EPHEMERAL_PORTS, Pair};

const PATIENCE: Duration = Duration::from_secs(20);

/// A capture that is being taken.
#[derive(Debug)]
pub(crate) struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures what passes `device` in `host`; when this returns, it has begun.
    pub(crate) fn start(pair: &Pair, host: &Namespace, device: &str, filter: &str) -> Self {
        let name = format!("{}-{device}", host.name());
        let file = pair.directory().join(&name).with_extension("pcap");
        let log = pair.directory().join(&name).with_extension("log");
        let mut command = Command::new("tcpdump");
        // Packet by packet, so that an idle file means an idle wire, and with 8 MiB of buffer, so
        // that it loses nothing of what these tests send.
        let options = format!("-i {device} --immediate-mode -U -B 8192 -Z root -w");
        command.args(options.split(' ')).arg(&file).arg(filter);
        let tcpdump = Process::start(&pair.cleanup, host, command, &log).unwrap();
        let capture = Self { tcpdump, file };
        wait_until("tcpdump listens", || {
            capture.tcpdump.check_running().unwrap();
            capture.tcpdump.output().contains("listening on")
        });
        capture
    }

    /// Ends it and returns the file.
    pub(crate) fn finish(self) -> PathBuf {
        // Frames take a moment from the device to the file.
        let size = || {
            fs::metadata(&self.file)
                .map(|file| file.len())
                .unwrap_or_default()
        };
        let mut before = 0;
        wait_until("the capture comes to rest", || {
            thread::sleep(Duration::from_millis(200));
            before == std::mem::replace(&mut before, size())
        });
        kill(Pid::from_raw(self.tcpdump.pid() as i32), Signal::SIGINT).unwrap();
        let said = self.tcpdump.finish(PATIENCE).unwrap();
        assert!(
            said.contains("0 packets dropped by kernel"),
            "frames are missing: {said}"
        );
        self.file
    }
}

/// What tshark makes of those packets in `file` that match `filter`: a row for each, with all
/// occurrences of each of `fields`, outermost first.
pub(crate) fn decode(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command
        .arg("-r")
        .arg(file)
        .args(["-Y", filter, "-T", "fields"]);
    command.args([
        "-E",
        "separator=|",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator= ",
    ]);
    for protocol in ["ip", "udp", "tcp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    // Linux's and flannel's port for VXLAN, which tshark has for something else.
    command.args(["-d", "udp.port==8472,vxlan"]);
    // Random data on a random port is not the protocol that happens to be at home there.
    let (first, last) = EPHEMERAL_PORTS;
    for protocol in ["udp", "tcp"] {
        command.args(["-d", &format!("{protocol}.port=={first}-{last},data")]);
    }
    // What a capture says of a connection's loss and order is not what is in its packets.
    command.args(["-o", "tcp.analyze_sequence_numbers:FALSE"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |field: &str| field.split_whitespace().map(str::to_owned).collect();
    text.lines()
        .map(|line| line.split('|').map(words).collect())
        .collect()
}

/// The filter for what comes from `address`.
pub(crate) fn sent_by(address: IpAddr) -> String {
    let field = if address.is_ipv4() {
        "ip.src"
    } else {
        "ipv6.src"
    };
    format!("{field} == {address}")
}

/// Fails if tshark finds anything wrong with what matches `filter` in `file`, checksums of every
/// layer included, or if no checksums of `transport` are there to be looked at.
pub(crate) fn assert_no_complaint(file: &Path, filter: &str, transport: &str) {
    let matching =
        |what: &str, fields: &[&str]| decode(file, &format!("({filter}) && ({what})"), fields);
    let complaints = [
        // A receiver says that a segment came twice: a sender was impatient, on a busy machine.
        "(_ws.expert.severity >= 0x600000 && !(_ws.expert.message == \"D-SACK Sequence\"))",
        "_ws.malformed",
        "ip.checksum.status == 0",
        "udp.checksum.status == 0",
        "tcp.checksum.status == 0",
        "icmp.checksum.status == 0",
        "icmpv6.checksum.status == 0",
    ];
    let said = [
        "frame.number",
        "frame.protocols",
        "_ws.expert.message",
        "ip.checksum.status",
        "udp.checksum.status",
        "tcp.checksum.status",
    ];
    let found = matching(&complaints.join(" || "), &said);
    assert_eq!(found, [[[""; 0]; 0]; 0]);
    // That none is bad would also be true of a tshark that does not look.
    let looked = matching(transport, &[&format!("{transport}.checksum.status")]);
    assert!(looked.len() > 20, "{} of {transport}", looked.len());
    let good = |row: &Vec<Vec<String>>| row[0].iter().all(|status| status == "1");
    assert!(looked.iter().all(good), "tshark looks at checksums");
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
