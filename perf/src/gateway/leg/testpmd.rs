//! DPDK's testpmd in io mode: it moves frames from one AF_XDP port to the other without looking at
//! them. No gateway on the same ports does less, so it is the ceiling.

use std::io;
use std::process::Command;

use ringlay_control::lab::LabError;
use ringlay_control::lab::process::Process;
use ringlay_control::lab::topology::UNDERLAY_DEVICE;

use super::super::hosts::{ACCESS_DEVICE, Hosts};
use super::Setting;

/// A running testpmd.
#[derive(Debug)]
pub(super) struct Testpmd(Process);

impl Testpmd {
    /// Starts it with one forwarding thread, on the gateway's CPU.
    ///
    /// # Errors
    /// [`LabError::Unsupported`] where it is not installed, or there are not two CPUs.
    pub(super) fn start(setting: &Setting<'_>, hosts: &Hosts) -> Result<Self, LabError> {
        let (Some(main), Some(forwarding)) = (setting.traffic_cpu, setting.gateway_cpu) else {
            return Err(LabError::unsupported("testpmd takes two CPUs"));
        };
        let mut command = Command::new(PROGRAM);
        let cores = format!("{main},{forwarding}");
        command.args(["-l", &cores, "--main-lcore", &main.to_string()]);
        command.args(["--no-pci", "--no-huge", "--no-shconf", "--no-telemetry"]);
        command.args(["-v", "-m", MEMORY]);
        for (number, device) in [ACCESS_DEVICE, UNDERLAY_DEVICE].iter().enumerate() {
            let device = format!("net_af_xdp{number},iface={device}");
            command.args(["--vdev", &device]);
        }
        // The statistics keep it running without a terminal; there are none in so long a time.
        command.args(["--", "--forward-mode=io", "--nb-cores=1"]);
        command.args(["--stats-period=100000", BUFFERS]);
        let log = setting.directory.join("testpmd.log");
        let namespace = &hosts.gateway.namespace;
        let process = Process::start(setting.cleanup, namespace, command, &log);
        process.map(Self).map_err(|error| match error {
            LabError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                LabError::unsupported(format!("{PROGRAM} is not installed (Debian: dpdk)"))
            }
            error => error,
        })
    }

    /// Its version, once it has said it.
    pub(super) fn version(&self) -> String {
        let output = self.0.output();
        let version = output
            .lines()
            .find_map(|line| line.split_once("RTE Version: "));
        version
            .map_or("DPDK", |(_, version)| version.trim_matches('\''))
            .to_owned()
    }

    /// The error to report if it has ended.
    pub(super) fn check_running(&self) -> Result<(), LabError> {
        self.0.check_running()
    }
}

const PROGRAM: &str = "dpdk-testpmd";
/// Enough for the rings of both ports. By default there are ten times as many, which go through the
/// caches in turn.
const BUFFERS: &str = "--total-num-mbufs=16384";
/// Megabytes: room for them.
const MEMORY: &str = "512";
