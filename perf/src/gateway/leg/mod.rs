//! What forwards in the gateway: one implementation a leg.

mod kernel;
mod ringlay;
mod testpmd;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::drops::Drops;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::stages::StageCosts;
use ringlay_dataplane::port::sink::{Sink, SinkConfig};
use ringlay_dataplane::sys::bpf::XdpMode;
use ringlay_dataplane::sys::link;

use self::ringlay::RinglayGateway;
use self::testpmd::Testpmd;
use super::direction::Direction;
use super::frame::{MAGIC, MARK_AT, OVERHEAD, Template};
use super::generator::Stream;
use super::hosts::{
    ACCESS_MAC, Hosts, INSIDE_DEVICE, INSIDE_MAC, Joined, Mac, OUTSIDE_DEVICE, OUTSIDE_MAC,
};
use super::trial::Range;

/// Which implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegKind {
    /// None: the hosts are joined directly.
    Wire,
    /// DPDK's testpmd moves frames between two AF_XDP ports as they are.
    Testpmd,
    /// Ringlay.
    Ringlay(Ports),
    /// The kernel's bridge, with its VXLAN device as a port.
    Bridge,
    /// The kernel routes into its VXLAN device.
    Routed,
}

/// How Ringlay gets at the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// A TUN device that the kernel routes to, and UDP sockets.
    TunUdp,
    /// A TUN device that the kernel routes to, and AF_XDP on the underlay.
    TunXdp,
    /// A TAP device that the kernel bridges to, and UDP sockets.
    TapUdp,
    /// AF_XDP on both sides.
    XdpXdp,
}

const NAMES: [(&str, LegKind); 8] = [
    ("wire", LegKind::Wire),
    ("testpmd", LegKind::Testpmd),
    ("af_xdp/af_xdp", LegKind::Ringlay(Ports::XdpXdp)),
    ("tap/udp", LegKind::Ringlay(Ports::TapUdp)),
    ("tun/af_xdp", LegKind::Ringlay(Ports::TunXdp)),
    ("tun/udp", LegKind::Ringlay(Ports::TunUdp)),
    ("bridge", LegKind::Bridge),
    ("routed", LegKind::Routed),
];

impl fmt::Display for LegKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = NAMES.iter().filter(|(_, kind)| kind == self);
        f.pad(names.next().map_or("", |(name, _)| name))
    }
}

impl FromStr for LegKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().skip(1).find(|(name, _)| *name == text);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().skip(1).map(|(name, _)| *name).collect();
            format!("there are {}", names.join(", "))
        })
    }
}

/// What all legs are started with.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub(super) cleanup: &'a Cleanup,
    /// Names of namespaces begin with it.
    pub(super) prefix: &'a str,
    /// Where files may be.
    pub(super) directory: &'a Path,
    /// The `ringlay` binary.
    pub(super) program: &'a Path,
    /// A file of routes, and how many there are in it.
    pub(super) routes: (&'a Path, u32),
    /// Routers that they lead to.
    pub(super) next_hops: u16,
    /// Value of `dataplane.poll`.
    pub(super) poll: &'a str,
    /// The CPU of generator and sinks.
    pub(super) traffic_cpu: Option<usize>,
    /// The gateway's CPU.
    pub(super) gateway_cpu: Option<usize>,
    /// Whether the kernel's legs forward on the gateway's CPU, rather than on the sender's.
    pub(super) steered: bool,
    /// Hosts that are far.
    pub(super) far: &'a Arc<[Ipv4Addr]>,
}

/// A leg that forwards. Fields are dropped in their order: the gateway goes before its hosts.
#[derive(Debug)]
pub(super) struct Leg {
    gateway: Gateway,
    sinks: [Sink; 2],
    hosts: Hosts,
    kind: LegKind,
    /// Which modes it runs in, where it says.
    pub(super) mode: String,
}

#[derive(Debug)]
enum Gateway {
    Kernel,
    Testpmd(Testpmd),
    Ringlay(RinglayGateway),
}

impl Leg {
    /// Starts a leg on fresh hosts, and waits until it forwards in these directions.
    pub(super) fn start(
        kind: LegKind,
        setting: &Setting<'_>,
        directions: &[Direction],
    ) -> Result<Self, LabError> {
        let joined = match kind {
            LegKind::Wire => Joined::Directly,
            // Ringlay's worker would have to share its CPU with the kernel that leads to it.
            LegKind::Ringlay(_) => Joined::ByGateway(None),
            _ => Joined::ByGateway(setting.gateway_cpu.filter(|_| setting.steered)),
        };
        let hosts = Hosts::create(setting.cleanup, setting.prefix, joined)?;
        let sinks = [
            sink(&hosts.inside, INSIDE_DEVICE, kind.changes_frames())?,
            sink(&hosts.outside, OUTSIDE_DEVICE, !kind.changes_frames())?,
        ];
        let (gateway, mode) = match kind {
            LegKind::Wire => (Gateway::Kernel, "one veth pair".to_owned()),
            LegKind::Bridge => (Gateway::Kernel, kernel::bridge(&hosts)?),
            LegKind::Routed => (Gateway::Kernel, kernel::route(&hosts)?),
            LegKind::Testpmd => {
                let testpmd = Testpmd::start(setting, &hosts)?;
                (Gateway::Testpmd(testpmd), String::new())
            }
            LegKind::Ringlay(ports) => {
                let (node, mode) = RinglayGateway::start(setting, &hosts, ports)?;
                (Gateway::Ringlay(node), mode)
            }
        };
        let mut leg = Self {
            gateway,
            sinks,
            hosts,
            kind,
            mode,
        };
        leg.wait_until_it_forwards(setting, directions)?;
        if let Gateway::Testpmd(testpmd) = &leg.gateway {
            leg.mode = testpmd.version();
        }
        Ok(leg)
    }

    /// Where to measure with plain frames of `len` bytes.
    pub(super) fn range<'a>(
        &'a self,
        setting: &Setting<'a>,
        direction: Direction,
        len: usize,
    ) -> Range<'a> {
        let mut streams = Vec::new();
        if direction != Direction::Decap {
            let destination = self.kind.access_mac();
            streams.push(Stream {
                namespace: self.hosts.inside.clone(),
                device: INSIDE_DEVICE,
                template: Template::plain(len, destination),
            });
        }
        if direction != Direction::Encap {
            let destination = self.kind.overlay_mac();
            streams.push(Stream {
                namespace: self.hosts.outside.clone(),
                device: OUTSIDE_DEVICE,
                template: Template::tunnelled(len, destination, FAR_MAC),
            });
        }
        Range {
            streams,
            sinks: &self.sinks,
            far: setting.far,
            cpu: setting.traffic_cpu,
            node: match &self.gateway {
                Gateway::Ringlay(node) => Some(node.pid()),
                _ => None,
            },
        }
    }

    /// What the gateway says it dropped so far, and whether it still runs.
    pub(super) fn drops(&self) -> Result<Drops, LabError> {
        match &self.gateway {
            Gateway::Kernel => Ok(Drops::default()),
            Gateway::Testpmd(testpmd) => testpmd.check_running().map(|()| Drops::default()),
            Gateway::Ringlay(node) => node.drops(),
        }
    }

    /// Where the worker's time goes in a trial at full load, if it is Ringlay's.
    pub(super) fn stages(
        &self,
        range: &Range<'_>,
        duration: Duration,
    ) -> Result<Option<StageCosts>, LabError> {
        match &self.gateway {
            Gateway::Ringlay(node) => node.stages(|| range.measure(None, duration).map(drop)),
            _ => Ok(None),
        }
    }

    fn wait_until_it_forwards(
        &self,
        setting: &Setting<'_>,
        directions: &[Direction],
    ) -> Result<(), LabError> {
        let deadline = Instant::now() + START_LIMIT;
        for direction in directions {
            let range = self.range(setting, *direction, PROBE_LEN);
            while range.probe()?.loss > PROBE_LOSS {
                let drops = self.drops()?;
                if Instant::now() > deadline {
                    let what = format!(
                        "until {} forwards ({direction}; dropped: {drops})",
                        self.kind
                    );
                    let seconds = START_LIMIT.as_secs();
                    return Err(LabError::TimedOut { what, seconds });
                }
                thread::sleep(LOOK_INTERVAL);
            }
        }
        Ok(())
    }
}

impl LegKind {
    /// Whether what comes out is not what goes in.
    fn changes_frames(self) -> bool {
        !matches!(self, Self::Wire | Self::Testpmd)
    }

    /// Destination of plain frames on their way to the gateway.
    fn access_mac(self) -> Mac {
        match self {
            Self::Bridge => FAR_MAC,
            Self::Wire => OUTSIDE_MAC,
            Self::Ringlay(Ports::TapUdp | Ports::XdpXdp) => STATION_MAC,
            _ => ACCESS_MAC,
        }
    }

    /// Destination of the frames in VXLAN.
    fn overlay_mac(self) -> Mac {
        match self {
            Self::Bridge => INSIDE_MAC,
            _ => OVERLAY_MAC,
        }
    }
}

/// `plain`: whether plain frames arrive there.
fn sink(namespace: &Namespace, device: &str, plain: bool) -> Result<Sink, LabError> {
    let mark_at = if plain { MARK_AT } else { OVERHEAD + MARK_AT };
    let attach = || {
        Sink::attach(&SinkConfig {
            device: link::index(device)?,
            mode: XdpMode::Native,
            mark_at: mark_at as i16,
            magic: MAGIC,
        })
    };
    let attached = namespace.run(attach)?;
    attached.map_err(LabError::io(format!("count what {device} receives")))
}

/// The gateway's MAC address in the overlay.
const OVERLAY_MAC: Mac = [2, 0, 0, 0, 0x42, 1];
/// That of Ringlay on the link inside, where it is a station on it.
const STATION_MAC: Mac = [2, 0, 0, 0, 0x40, 3];
/// The far end's.
const FAR_MAC: Mac = [2, 0, 0, 0, 0x42, 2];

const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const PROBE_LEN: usize = 128;
/// The first packets of a flow may be lost, as long as others are not.
const PROBE_LOSS: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_are_read_as_they_are_written() {
        for (name, kind) in NAMES.iter().skip(1) {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
            assert_eq!(&kind.to_string(), name);
        }
        assert!("wire".parse::<LegKind>().is_err(), "it is always there");
    }
}
