//! Ringlay as the gateway: a node with one worker, and a full table of routes into its tunnel.

use std::path::Path;

use ringlay_control::lab::drops::Drops;
use ringlay_control::lab::ringlay_node::{DEVICE, NETWORK, Node, PORT, VNI};
use ringlay_control::lab::{LabError, bridge, link};
use ringlay_control::stages::StageCosts;

use super::super::hosts::{ACCESS_DEVICE, GATEWAY_UNDERLAY, Hosts, INSIDE, OUTSIDE, STATION};
use super::kernel::BRIDGE;
use super::{FAR_MAC, OVERLAY_MAC, Ports, STATION_MAC, Setting};
use crate::{import, routers};

/// A running node.
#[derive(Debug)]
pub(super) struct RinglayGateway(Node);

impl RinglayGateway {
    /// Starts the node, and returns once its worker forwards by all routes.
    pub(super) fn start(
        setting: &Setting<'_>,
        hosts: &Hosts,
        ports: Ports,
    ) -> Result<(Self, String), LabError> {
        let text = |socket: &Path| config_text(setting, ports, socket);
        let node = Node::start_configured(
            setting.cleanup,
            setting.program,
            &hosts.gateway,
            "gateway",
            setting.directory,
            text,
        )?;
        node.wait_until_ready()?;
        let lead_in = || match ports {
            Ports::TunUdp | Ports::TunXdp => link::add_default_route(DEVICE),
            Ports::TapUdp => bridge::add(BRIDGE, &[ACCESS_DEVICE, DEVICE]),
            Ports::XdpXdp => Ok(()),
        };
        hosts.gateway.namespace.run(lead_in)??;
        let (routes, count) = setting.routes;
        import::routes(setting.program, &node.socket, NETWORK, routes, count)?;
        let mode = node.mode()?;
        Ok((Self(node), mode))
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.0.process.pid()
    }

    /// Where the worker's time goes while `run` runs.
    pub(super) fn stages(
        &self,
        run: impl FnOnce() -> Result<(), LabError>,
    ) -> Result<Option<StageCosts>, LabError> {
        self.0.set_stages(true)?;
        let done = run().and_then(|()| self.0.stats());
        self.0.set_stages(false)?;
        Ok(StageCosts::of(&done?))
    }

    /// What the node dropped so far, by reason.
    pub(super) fn drops(&self) -> Result<Drops, LabError> {
        self.0.process.check_running()?;
        let mut drops = Drops::default();
        let stats = self.0.stats()?;
        for drop in stats.drops {
            drops.count(drop.reason, drop.frames);
        }
        let ports = stats.ports.into_iter().map(|it| ("port", it.queues));
        let underlays = stats.underlays.into_iter();
        let all = ports.chain(underlays.map(|it| ("underlay", it.queues)));
        for (kind, queues) in all {
            let Some(missed) = queues.and_then(|queues| queues.missed) else {
                continue;
            };
            for (what, packets) in [
                ("ring_full", missed.ring_full),
                ("no_slot", missed.no_slot),
                ("too_long", missed.too_long),
            ] {
                drops.count(format!("missed_{kind}_{what}"), packets);
            }
        }
        Ok(drops)
    }
}

fn config_text(setting: &Setting<'_>, ports: Ports, socket: &Path) -> String {
    let workers = setting
        .gateway_cpu
        .map_or_else(|| "1".to_owned(), |cpu| format!("[{cpu}]"));
    let underlay = match ports {
        Ports::TunUdp | Ports::TapUdp => "udp",
        Ports::TunXdp | Ports::XdpXdp => "af_xdp",
    };
    let port = port_text(ports);
    let [own, far] = [OVERLAY_MAC, FAR_MAC].map(text_of);
    let routers = routers::neighbours(NETWORK, OUTSIDE, setting.next_hops);
    format!(
        r#"[node]
name = "gateway"
socket = "{socket}"

[dataplane]
workers = {workers}
poll = "{poll}"

[underlay]
address = "{GATEWAY_UNDERLAY}"
driver = "{underlay}"

[[network]]
name = "{NETWORK}"
encap = "vxlan"
vni = {VNI}
port = {PORT}
mac = "{own}"

{port}
[[vtep]]
network = "{NETWORK}"
address = "{OUTSIDE}"
mac = "{far}"
{routers}"#,
        socket = socket.display(),
        poll = setting.poll,
    )
}

/// The port inside: a router on a link of its own, or a station on that of the host inside.
fn port_text(ports: Ports) -> String {
    let station = |kind: &str, device: &str| {
        let mac = text_of(STATION_MAC);
        format!(
            r#"[[port]]
network = "{NETWORK}"
kind = "{kind}"
device = "{device}"
addresses = ["{STATION}/24"]
mac = "{mac}"
routes = false
"#
        )
    };
    match ports {
        Ports::TapUdp => station("tap", DEVICE),
        Ports::XdpXdp => station("af_xdp", ACCESS_DEVICE),
        Ports::TunUdp | Ports::TunXdp => format!(
            r#"[[port]]
network = "{NETWORK}"
kind = "tun"
device = "{DEVICE}"
addresses = ["10.42.1.1/24"]
routes = false

[[route]]
network = "{NETWORK}"
prefix = "{INSIDE}/32"
port = "{DEVICE}"
"#
        ),
    }
}

fn text_of(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
