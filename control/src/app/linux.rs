//! The machine as it is: TUN devices, UDP sockets, netlink, and the dataplane's workers.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use ringlay_dataplane::{
    driver::probe::DriverReport,
    endpoint::Endpoint,
    id::{PortId, TunnelId, UnderlayId},
    port::{
        classifier::Hook,
        tap,
        tun::{self, Keeper, Layer, Life, OpenTunError, TunConfig, TunDevice, TunOffloads},
        underlay::{self, UnderlayConfig},
        uplink::{self, UplinkConfig},
    },
    runtime::Runtime,
    stats::Stats,
    sys::{link, netns},
    tables::Tables,
};
use ringlay_encap::Encapsulation;
use thiserror::Error;

use super::host::{Host, HostError, Leaving, OpenPort, PortChange, Tended};
use super::stations::Stations;
use super::wire::Wire;
use crate::{
    compile::LinkView,
    mtu::Way,
    netlink::{self, Device, RouteChange},
    object::{Guest, Port, PortKind},
};

/// How long after the start devices of a daemon that was killed may still be there.
const PREDECESSOR: Duration = Duration::from_secs(1);

/// Sending sockets a worker has: so many outer source ports do its flows spread over.
const SENDERS: usize = 8;

/// What a TUN device is asked to leave to us.
const OFFLOADS: TunOffloads = TunOffloads::SUPER_FRAMES;

/// The address of uplinks. The kernel's check of source addresses (rp_filter) refuses all that
/// comes from a device without one. Of the range for hosts' own use (RFC 7335).
const UPLINK_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 7);

/// Linux, with running workers.
#[derive(Debug)]
pub(super) struct Linux {
    runtime: Runtime,
    uplinks: Uplinks,
    /// Whether outer packets that fit must not be fragmented.
    dont_fragment: bool,
    /// What leads packets to the uplinks.
    hooks: Mutex<BTreeMap<UnderlayId, Hook>>,
    /// Ports on devices that are not ours.
    stations: Stations,
    /// The endpoint without encapsulation that has an uplink.
    onward: Mutex<Option<UnderlayId>>,
    /// What keeps the devices of containers in being.
    keepers: Mutex<BTreeMap<PortId, Keeper>>,
    leaving: Mutex<Leaving>,
    started: Instant,
}

/// What tunnel endpoints have besides sockets.
#[derive(Debug)]
pub(super) enum Uplinks {
    /// Nothing.
    None,
    /// Uplinks that cut super-frames, fed from the link with this interface index.
    Cutting(u32),
    /// All of them the same device, past the kernel's own stack.
    Wire(Wire),
}

/// A port asks for what the workers cannot serve.
#[derive(Debug, Error)]
#[error("queues: {asked} asked for, but there are {workers} workers; use \"auto\" or {workers}")]
struct QueueCount {
    asked: u16,
    workers: usize,
}

/// A tunnel endpoint cannot have an uplink.
#[derive(Debug, Error)]
#[error("tunnel-gso cannot be set up; `driver = \"udp\"` under [underlay] does without")]
pub(super) struct NoUplink {
    source: HostError,
}

impl NoUplink {
    /// Why, without advice.
    pub(super) fn reason(&self) -> &HostError {
        &self.source
    }
}

impl Linux {
    /// The machine, served by these workers.
    pub(super) fn new(runtime: Runtime, uplinks: Uplinks, dont_fragment: bool) -> Self {
        Self {
            runtime,
            uplinks,
            dont_fragment,
            hooks: Mutex::default(),
            stations: Stations::default(),
            onward: Mutex::default(),
            keepers: Mutex::default(),
            leaving: Mutex::default(),
            started: Instant::now(),
        }
    }

    fn open_uplink(&self, id: UnderlayId, config: &UplinkConfig) -> Result<(), HostError> {
        let uplink = uplink::open(config).map_err(HostError::new)?;
        if config.endpoint.local.is_ipv4() {
            let device = Device {
                netns: None,
                index: uplink.index,
            };
            let address = IpNet::from(IpAddr::V4(UPLINK_ADDRESS));
            device.add_host_address(address).map_err(HostError::new)?;
        }
        tracing::info!(
            endpoint = %config.endpoint, device = uplink.name, offloads = %uplink.offloads,
            "uplink open"
        );
        let hook = self.runtime.add_uplink(id, uplink);
        let hook = hook.map_err(HostError::new)?;
        self.hooks().insert(id, hook);
        Ok(())
    }

    fn set_onward(&self, change: impl FnOnce(Option<UnderlayId>) -> Option<UnderlayId>) {
        let mut onward = self.onward.lock().expect("no holder of this lock panics");
        *onward = change(*onward);
    }

    fn hooks(&self) -> MutexGuard<'_, BTreeMap<UnderlayId, Hook>> {
        self.hooks.lock().expect("no holder of this lock panics")
    }

    fn keepers(&self) -> MutexGuard<'_, BTreeMap<PortId, Keeper>> {
        self.keepers.lock().expect("no holder of this lock panics")
    }

    fn leaving(&self) -> MutexGuard<'_, Leaving> {
        self.leaving.lock().expect("no holder of this lock panics")
    }

    /// Opens a device of the node's own. When a daemon is killed the kernel takes a moment to close
    /// its devices; one that starts right afterwards waits for that.
    fn open_own(&self, kind: PortKind, config: &TunConfig) -> Result<TunDevice, OpenTunError> {
        loop {
            match open_kind(kind, config) {
                Err(OpenTunError::InUse { .. }) if self.started.elapsed() < PREDECESSOR => {
                    thread::sleep(PREDECESSOR / 500);
                }
                opened => return opened,
            }
        }
    }

    fn check_queues(&self, port: &Port) -> Result<(), HostError> {
        let workers = self.runtime.workers();
        match port.queues {
            Some(asked) if usize::from(asked) != workers => {
                Err(HostError::new(QueueCount { asked, workers }))
            }
            _ => Ok(()),
        }
    }

    fn open_device(&self, port: &Port, mtu: u32) -> Result<TunDevice, HostError> {
        let workers = self.runtime.workers();
        let config = TunConfig {
            name: port.device.to_string(),
            netns: port.netns.clone(),
            queues: workers,
            mtu,
            offloads: OFFLOADS,
            life: match &port.guest {
                None => Life::Queues,
                Some(guest) if guest.resumed => Life::Resumed,
                Some(_) => Life::Kept,
            },
        };
        match &port.guest {
            Some(guest) => open_guest(config, port, guest),
            None => self.open_own(port.kind, &config).map_err(HostError::new),
        }
    }
}

fn open_kind(kind: PortKind, config: &TunConfig) -> Result<TunDevice, OpenTunError> {
    if kind.is_ethernet() {
        tap::open(config)
    } else {
        tun::open(config)
    }
}

/// Opens the device of a container, with its addresses and routes, on one visit to its namespace.
fn open_guest(config: TunConfig, port: &Port, guest: &Guest) -> Result<TunDevice, HostError> {
    let netns = config.netns.clone();
    let here = TunConfig {
        netns: None,
        ..config
    };
    let open = || {
        let device = open_kind(port.kind, &here).map_err(HostError::new)?;
        if guest.addresses.iter().any(|net| net.addr().is_ipv6()) {
            // Some runtimes switch it off until a plugin says otherwise.
            let switch = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", here.name);
            let _ = fs::write(switch, "0");
        }
        match netlink::furnish(device.index, guest) {
            Ok(()) => Ok(device),
            Err(error) => {
                give_up(&device.keeper, guest);
                Err(HostError::new(error))
            }
        }
    };
    match netns {
        Some(path) => netns::visit(&path, open)
            .map_err(|source| HostError::new(OpenTunError::Netns { path, source }))?,
        None => open(),
    }
}

/// The container's end of a pair of devices.
fn peer(guest: &Guest) -> Option<Device> {
    let end = guest.pair.as_ref()?;
    let found = netns::visit(&end.netns, || link::index(end.device.as_str()));
    Some(Device {
        netns: Some(end.netns.clone()),
        index: found.ok()?.ok()?,
    })
}

/// Lets a device go that cannot be served, unless it was there before.
fn give_up(keeper: &Option<Keeper>, guest: &Guest) {
    if let Some(keeper) = keeper
        && !guest.resumed
    {
        let _ = keeper.release();
    }
}

impl Host for Linux {
    fn open_port(
        &self,
        id: PortId,
        port: &Port,
        mtu: u32,
        link: Option<&LinkView>,
    ) -> Result<OpenPort, HostError> {
        self.check_queues(port)?;
        if let Some(view) = link.filter(|_| port.kind.is_station()) {
            let mut open = self.stations.open(&self.runtime, id, port, view)?;
            open.peer = port.guest.as_ref().and_then(peer);
            return Ok(open);
        }
        let mut tun = self.open_device(port, mtu)?;
        let device = Device {
            netns: port.netns.clone(),
            index: tun.index,
        };
        let open = OpenPort {
            device,
            queues: tun.queues.len(),
            mtu,
            mode: mode(&tun),
            peer: None,
        };
        let keeper = tun.keeper.take();
        if let Some(guest) = &port.guest {
            if let Err(error) = self.runtime.add_port(id, tun) {
                give_up(&keeper, guest);
                return Err(HostError::new(error));
            }
            self.keepers().extend(keeper.map(|keeper| (id, keeper)));
            return Ok(open);
        }
        // Dropping the device on an error removes it.
        if link.is_none() {
            let added = open.device.add_addresses(&port.addresses);
            added.map_err(HostError::new)?;
        }
        self.runtime.add_port(id, tun).map_err(HostError::new)?;
        Ok(open)
    }

    fn tend_ports(&self) -> Vec<Tended> {
        self.stations.tend(&self.runtime)
    }

    fn close_port(&self, id: PortId) {
        self.stations.close(id);
        let keeper = self.keepers().remove(&id);
        // It fails if the device is gone, which is what is wanted.
        let _ = keeper.as_ref().map(Keeper::release);
        self.runtime.remove_port(id);
        // Last, so that it is not a worker who waits until the device is gone.
        self.leaving().0.extend(keeper);
    }

    fn take_leaving(&self) -> Leaving {
        std::mem::take(&mut self.leaving())
    }

    fn leave_port(&self, id: PortId) {
        self.stations.close(id);
        self.runtime.remove_port(id);
        self.keepers().remove(&id);
    }

    fn change_port(&self, device: &Device, change: &PortChange) -> Result<(), HostError> {
        device.add_addresses(&change.add).map_err(HostError::new)?;
        device
            .delete_addresses(&change.remove)
            .map_err(HostError::new)?;
        match change.mtu {
            Some(mtu) => device.set_mtu(mtu).map_err(HostError::new),
            None => Ok(()),
        }
    }

    fn change_routes(&self, device: &Device, change: &RouteChange) -> Vec<(IpNet, HostError)> {
        match device.change_routes(change) {
            Ok(refused) => refused
                .into_iter()
                .map(|(prefix, error)| (prefix, HostError::new(error)))
                .collect(),
            // Nobody could be asked: all were refused.
            Err(error) => {
                let text = HostError::new(error).to_string();
                let set = change.add.iter().chain(&change.replace);
                let all = set.map(|(prefix, _)| prefix).chain(&change.remove).copied();
                all.map(|prefix| (prefix, HostError::new(text.clone())))
                    .collect()
            }
        }
    }

    fn ways(
        &self,
        source: IpAddr,
        destinations: &[IpAddr],
    ) -> Result<BTreeMap<IpAddr, Way>, HostError> {
        netlink::ways(source, destinations).map_err(HostError::new)
    }

    fn hindrances(&self, link: &str, is_v4: bool, forwarded: bool) -> Vec<String> {
        hindrances(link, is_v4, forwarded)
    }

    fn onward(&self) -> Option<u32> {
        let Uplinks::Cutting(index) = self.uplinks else {
            return None;
        };
        let onward = self.onward.lock().expect("no holder of this lock panics");
        onward.map(|_| index)
    }

    fn open_underlay(&self, id: UnderlayId, endpoint: Endpoint) -> Result<(), HostError> {
        let workers = self.runtime.workers();
        let config = UnderlayConfig {
            endpoint,
            workers,
            senders: SENDERS,
            dont_fragment: self.dont_fragment,
            gro: true,
        };
        let sockets = underlay::bind(&config).map_err(HostError::new)?;
        self.runtime
            .add_underlay(id, sockets)
            .map_err(HostError::new)?;
        if let Uplinks::Wire(wire) = &self.uplinks {
            let opened = wire.open(&self.runtime, id, endpoint);
            return opened.inspect_err(|_| self.runtime.remove_underlay(id));
        }
        let Uplinks::Cutting(underlay) = self.uplinks else {
            return Ok(());
        };
        let config = UplinkConfig {
            endpoint,
            underlay,
            queues: workers,
        };
        self.open_uplink(id, &config).map_err(|source| {
            self.runtime.remove_underlay(id);
            HostError::new(NoUplink { source })
        })?;
        if endpoint.encapsulation == Encapsulation::Plain {
            self.set_onward(|_| Some(id));
        }
        Ok(())
    }

    fn underlay_mode(&self) -> Option<String> {
        match &self.uplinks {
            Uplinks::Wire(wire) => wire.mode(),
            _ => None,
        }
    }

    fn close_underlay(&self, id: UnderlayId) {
        // From now on the sockets get everything.
        self.hooks().remove(&id);
        self.set_onward(|onward| onward.filter(|it| *it != id));
        if let Uplinks::Wire(wire) = &self.uplinks {
            wire.close(&self.runtime, id);
        }
        self.runtime.remove_underlay(id);
    }

    fn report_ttl(&self, id: UnderlayId, on: bool) {
        if let Err(error) = self.runtime.report_ttl(id, on) {
            tracing::warn!(underlay = %id, %error, "outer times to live are not reported");
        }
    }

    fn wire(&self) -> Option<u32> {
        match &self.uplinks {
            Uplinks::Wire(wire) => wire.tend(&self.runtime),
            Uplinks::None | Uplinks::Cutting(_) => None,
        }
    }

    fn publish(&self, tables: Tables) -> u64 {
        self.runtime.publish(tables)
    }

    fn wait_confirmed(&self, generation: u64, timeout: Duration) -> bool {
        self.runtime.wait_confirmed(generation, timeout)
    }

    fn inject(&self, tunnel: TunnelId, frame: Vec<u8>) {
        self.runtime.inject(tunnel, frame);
    }

    fn inject_link(&self, port: PortId, frame: Vec<u8>) {
        self.runtime.inject_link(port, frame);
    }

    fn stats(&self) -> Stats {
        self.runtime.stats()
    }

    fn measure_stages(&self, on: bool) {
        self.runtime.measure_stages(on);
    }

    fn driver(&self) -> DriverReport {
        self.runtime.driver().clone()
    }
}

/// What a device offers and we use, in words.
fn mode(tun: &TunDevice) -> String {
    let kind = match tun.layer {
        Layer::Ip => PortKind::Tun,
        Layer::Ethernet => PortKind::Tap,
    };
    let mut mode = format!("multi-queue {kind}, offloads: {}", tun.offloads);
    for (kind, error) in &tun.refused {
        mode.push_str(&format!("; refused {kind}: {error}"));
    }
    mode
}

/// What [`Host::hindrances`] looks at.
fn hindrances(link: &str, is_v4: bool, forwarded: bool) -> Vec<String> {
    let read = |key: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/{key}"));
        text.ok().and_then(|text| text.trim().parse::<u32>().ok())
    };
    let mut found = Vec::new();
    let forwarding = if is_v4 {
        "ipv4/ip_forward"
    } else {
        "ipv6/conf/all/forwarding"
    };
    if forwarded && read(forwarding) == Some(0) {
        let key = forwarding.replace('/', ".");
        found.push(format!(
            "the host does not forward: what comes in without encapsulation for other network \
             namespaces is lost; `sysctl net.{key}=1`"
        ));
    }
    // The stricter of both counts, as the kernel ranks them: loose above strict.
    let checks = [
        format!("ipv4/conf/{link}/rp_filter"),
        "ipv4/conf/all/rp_filter".to_owned(),
    ];
    if is_v4 && checks.iter().filter_map(|key| read(key)).max() == Some(1) {
        found.push(format!(
            "rp_filter of {link} is strict: what comes in without encapsulation is lost, as the \
             host's route back leads into the overlay; `sysctl net.ipv4.conf.{link}.rp_filter=2`"
        ));
    }
    found
}
