//! A machine that only remembers what it was told, and refuses what it is told to refuse.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Mutex,
    time::Duration,
};

use ipnet::IpNet;
use ringlay_control::{
    app::{Host, HostError, OpenPort, PortChange},
    compile::LinkView,
    mtu::Way,
    netlink::{Device, RouteChange},
    object::Port,
};
use ringlay_dataplane::{
    driver::{DriverKind, probe::DriverReport},
    endpoint::Endpoint,
    id::{PortId, TunnelId, UnderlayId},
    stats::Stats,
    tables::Tables,
};

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct FakeHost {
    state: Mutex<State>,
}

/// What the machine was told.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Open devices by port, with their names.
    pub(crate) ports: BTreeMap<PortId, String>,
    /// Open sockets.
    pub(crate) underlays: BTreeMap<UnderlayId, Endpoint>,
    /// Kernel routes: interface index and prefix.
    pub(crate) routes: BTreeSet<(u32, IpNet)>,
    /// Their MTUs.
    pub(crate) route_mtus: BTreeMap<(u32, IpNet), Option<u32>>,
    /// Ways to far ends.
    pub(crate) ways: BTreeMap<IpAddr, Way>,
    /// MTUs that devices were given.
    pub(crate) mtus: BTreeMap<u32, u32>,
    /// Frames sent through tunnels.
    pub(crate) injected: Vec<(TunnelId, Vec<u8>)>,
    /// Frames that left by Ethernet ports.
    pub(crate) injected_links: Vec<(PortId, Vec<u8>)>,
    /// The tables in force.
    pub(crate) tables: Tables,
    /// How often there were new ones.
    pub(crate) generation: u64,
    /// Devices that cannot be opened.
    pub(crate) broken: BTreeSet<String>,
    /// Endpoints that report outer times to live.
    pub(crate) ttls: BTreeSet<UnderlayId>,
    /// UDP ports that are taken.
    pub(crate) taken: BTreeSet<u16>,
    /// Whether workers measure their stages.
    pub(crate) measures_stages: bool,
    /// Prefixes to which the kernel has a route already.
    pub(crate) routed: BTreeSet<IpNet>,
}

impl FakeHost {
    /// Looks at the machine, or changes it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }
}

impl Host for FakeHost {
    fn open_port(
        &self,
        id: PortId,
        port: &Port,
        mtu: u32,
        _link: Option<&LinkView>,
    ) -> Result<OpenPort, HostError> {
        self.with(|state| {
            let name = port.device.to_string();
            if state.broken.contains(&name) {
                return Err(HostError::new(format!("{name} is broken")));
            }
            assert!(
                !state.ports.values().any(|other| *other == name),
                "{name} is open twice"
            );
            assert_eq!(state.ports.insert(id, name), None, "{id} is open twice");
            let device = Device {
                netns: port.netns.clone(),
                index: u32::from(id.0) + 100,
            };
            Ok(OpenPort {
                device,
                queues: 2,
                mtu,
                mode: "fake".to_owned(),
                peer: None,
            })
        })
    }

    fn close_port(&self, id: PortId) {
        self.with(|state| {
            state.ports.remove(&id).expect("open");
            state
                .routes
                .retain(|(index, _)| *index != u32::from(id.0) + 100);
        });
    }

    fn change_port(&self, device: &Device, change: &PortChange) -> Result<(), HostError> {
        if let Some(mtu) = change.mtu {
            self.with(|state| state.mtus.insert(device.index, mtu));
        }
        Ok(())
    }

    fn change_routes(&self, device: &Device, change: &RouteChange) -> Vec<(IpNet, HostError)> {
        self.with(|state| {
            for prefix in &change.remove {
                assert!(
                    state.routes.remove(&(device.index, *prefix)),
                    "{prefix} is not routed"
                );
            }
            let mut refused = Vec::new();
            for (prefix, mtu) in &change.add {
                if state.routed.contains(prefix) {
                    refused.push((*prefix, HostError::new("exists")));
                } else {
                    state.route_mtus.insert((device.index, *prefix), *mtu);
                    assert!(
                        state.routes.insert((device.index, *prefix)),
                        "{prefix} is routed twice"
                    );
                }
            }
            for (prefix, mtu) in &change.replace {
                let key = (device.index, *prefix);
                assert!(state.routes.contains(&key), "{prefix} is not routed");
                state.route_mtus.insert(key, *mtu);
            }
            refused
        })
    }

    fn ways(
        &self,
        _source: IpAddr,
        destinations: &[IpAddr],
    ) -> Result<BTreeMap<IpAddr, Way>, HostError> {
        let known = |state: &mut State| {
            let ways = destinations
                .iter()
                .filter_map(|end| Some((*end, state.ways.get(end)?.clone())));
            ways.collect()
        };
        Ok(self.with(known))
    }

    fn open_underlay(&self, id: UnderlayId, endpoint: Endpoint) -> Result<(), HostError> {
        let local = endpoint.local;
        self.with(|state| {
            if state.taken.contains(&local.port()) {
                return Err(HostError::new(format!("port {} is taken", local.port())));
            }
            let mut open = state.underlays.values().map(|it| it.local);
            assert!(
                local.port() == 0 || open.all(|it| it != local),
                "{local} is open twice"
            );
            assert_eq!(state.underlays.insert(id, endpoint), None);
            Ok(())
        })
    }

    fn close_underlay(&self, id: UnderlayId) {
        self.with(|state| {
            state.ttls.remove(&id);
            state.underlays.remove(&id).expect("open");
        });
    }

    fn report_ttl(&self, id: UnderlayId, on: bool) {
        self.with(|state| {
            if !on {
                state.ttls.remove(&id);
            } else if state.underlays.contains_key(&id) {
                state.ttls.insert(id);
            }
        });
    }

    fn publish(&self, tables: Tables) -> u64 {
        self.with(|state| {
            state.tables = tables;
            state.generation += 1;
            state.generation
        })
    }

    fn wait_confirmed(&self, generation: u64, _timeout: Duration) -> bool {
        self.with(|state| state.generation >= generation)
    }

    fn inject(&self, tunnel: TunnelId, frame: Vec<u8>) {
        self.with(|state| state.injected.push((tunnel, frame)));
    }

    fn inject_link(&self, port: PortId, frame: Vec<u8>) {
        self.with(|state| state.injected_links.push((port, frame)));
    }

    fn stats(&self) -> Stats {
        let generation = self.with(|state| state.generation);
        Stats {
            generation,
            workers: Vec::new(),
            ports: Vec::new(),
            underlays: Vec::new(),
            wire: None,
            measured: None,
        }
    }

    fn measure_stages(&self, on: bool) {
        self.with(|state| state.measures_stages = on);
    }

    fn driver(&self) -> DriverReport {
        DriverReport {
            kind: DriverKind::Epoll,
            reason: "a fake".to_owned(),
        }
    }
}
