//! iperf3 as the source and sink, where it is installed.
//!
//! Its figures are the receiver's. It measures no request/response times.

use std::env;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Path;
use super::tcp_bulk::TcpBulk;
use super::udp_flood::UdpFlood;
use crate::lab::LabError;
use crate::lab::cleanup::Cleanup;
use crate::lab::process::Process;

/// An installed iperf3.
#[derive(Debug, Clone)]
pub struct Iperf3 {
    program: PathBuf,
    version: String,
}

impl Iperf3 {
    /// Looks for it along PATH.
    pub fn find() -> Option<Self> {
        let path = env::var_os("PATH")?;
        let program = env::split_paths(&path)
            .map(|directory| directory.join("iperf3"))
            .find(|program| program.is_file())?;
        let output = Command::new(&program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .split_ascii_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        Some(Self { program, version })
    }

    /// Name and version, as in `iperf 3.12`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// TCP for whole seconds over `streams` connections at once.
    ///
    /// # Errors
    /// If a process fails or reports nothing.
    pub fn tcp(
        &self,
        run: &Run<'_>,
        duration: Duration,
        streams: usize,
    ) -> Result<TcpBulk, LabError> {
        let report = self.run(run, duration, &["-P", &streams.to_string()])?;
        let end = &report["end"]["sum_received"];
        let bytes = end["bytes"].as_u64().unwrap_or_default();
        let bits_per_second = end["bits_per_second"].as_f64().unwrap_or_default();
        if bytes == 0 {
            Err(silent(&report))
        } else {
            Ok(TcpBulk {
                bytes,
                bits_per_second,
            })
        }
    }

    /// UDP datagrams of `payload` bytes for whole seconds, as fast as they go.
    ///
    /// # Errors
    /// If a process fails or reports nothing.
    pub fn udp(
        &self,
        run: &Run<'_>,
        duration: Duration,
        payload: usize,
    ) -> Result<UdpFlood, LabError> {
        let report = self.run(
            run,
            duration,
            &["-u", "-b", "0", "-l", &payload.to_string()],
        )?;
        parse_udp(&report).ok_or_else(|| silent(&report))
    }

    fn run(&self, run: &Run<'_>, duration: Duration, more: &[&str]) -> Result<Value, LabError> {
        let destination = run.path.destination.to_string();
        let mut server = Command::new(&self.program);
        server.args(["-s", "-1", "--forceflush", "-B", &destination]);
        let log = run.directory.join("iperf3-server.log");
        let server = Process::start(run.cleanup, &run.path.to, server, &log)?;
        wait_until_listening(&server)?;
        let mut client = Command::new(&self.program);
        let seconds = duration.as_secs().max(1);
        client
            .args(["-c", &destination, "-J", "-t", &seconds.to_string()])
            .args(more);
        let log = run.directory.join("iperf3-client.json");
        let client = Process::start(run.cleanup, &run.path.from, client, &log)?;
        let output = client.finish(Duration::from_secs(seconds) + PATIENCE)?;
        serde_json::from_str(without_warnings(&output))
            .map_err(|error| LabError::io("read the report of iperf3")(std::io::Error::from(error)))
    }
}

/// Where a run takes place.
#[derive(Debug)]
pub struct Run<'a> {
    /// From and to.
    pub path: &'a Path,
    /// What stops its processes.
    pub cleanup: &'a Cleanup,
    /// Where their output goes.
    pub directory: &'a FilePath,
}

fn wait_until_listening(server: &Process) -> Result<(), LabError> {
    let deadline = Instant::now() + PATIENCE;
    while !server.output().contains("listening") {
        server.check_running()?;
        if Instant::now() > deadline {
            let seconds = PATIENCE.as_secs();
            return Err(LabError::TimedOut {
                what: "the start of iperf3".into(),
                seconds,
            });
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Warnings stand in front of the report, as about a datagram longer than a TCP segment.
fn without_warnings(output: &str) -> &str {
    output.find('{').map_or(output, |start| &output[start..])
}

/// Versions up to 3.12 have the receiver's losses in `sum` alone.
fn parse_udp(report: &Value) -> Option<UdpFlood> {
    let end = &report["end"];
    let sum = &end["sum"];
    let receiver = if end["sum_received"]["packets"].as_u64() > Some(0) {
        &end["sum_received"]
    } else {
        sum
    };
    let sent = sum["packets"].as_u64().filter(|sent| *sent > 0)?;
    let seconds = receiver["seconds"]
        .as_f64()
        .filter(|seconds| *seconds > 0.0)?;
    let lost = receiver["lost_packets"].as_u64().unwrap_or_default();
    let received = receiver["packets"].as_u64()?.saturating_sub(lost);
    Some(UdpFlood {
        sent,
        received,
        packets_per_second: received as f64 / seconds,
    })
}

fn silent(report: &Value) -> LabError {
    let tail = report["error"]
        .as_str()
        .unwrap_or("nothing arrived")
        .to_owned();
    LabError::Process {
        program: "iperf3".into(),
        status: "no result".into(),
        tail,
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_losses_of_either_layout() {
        let old = json!({"end": {"sum": {"packets": 1000, "lost_packets": 250, "seconds": 1.0}}});
        let flood = parse_udp(&old).unwrap();
        assert_eq!((flood.sent, flood.received), (1000, 750));
        assert!((flood.loss() - 0.25).abs() < 1e-9);
        let new = json!({"end": {
            "sum": {"packets": 1000, "lost_packets": 0, "seconds": 1.0},
            "sum_received": {"packets": 900, "lost_packets": 100, "seconds": 0.5},
        }});
        let flood = parse_udp(&new).unwrap();
        assert_eq!((flood.sent, flood.received), (1000, 800));
        assert!((flood.packets_per_second - 1600.0).abs() < 1e-9);
    }

    #[test]
    fn warnings_are_no_part_of_the_report() {
        let warned = "warning: UDP block size 1400 exceeds TCP MSS 1398\n{\"end\": {}}\n";
        assert_eq!(without_warnings(warned), "{\"end\": {}}\n");
        assert_eq!(without_warnings("nothing"), "nothing");
    }

    #[test]
    fn a_report_of_nothing_is_no_result() {
        assert!(parse_udp(&json!({"error": "unable to connect"})).is_none());
    }
}
