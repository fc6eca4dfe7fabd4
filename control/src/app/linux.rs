//! The machine as it is: TUN devices, UDP sockets, netlink, and the dataplane's workers.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use ringlay_dataplane::{
    driver::probe::DriverReport,
    id::{PortId, TunnelId, UnderlayId},
    port::{
        tun::{self, TunConfig, TunDevice, TunOffloads},
        underlay::{self, UnderlayConfig},
    },
    runtime::Runtime,
    stats::Stats,
    tables::Tables,
};
use thiserror::Error;

use super::host::{Host, HostError, OpenPort, PortChange};
use crate::{netlink::Device, object::Port};

/// Sending sockets a worker has: so many outer source ports do its flows spread over.
const SENDERS: usize = 8;

/// What a TUN device is asked to leave to us.
const OFFLOADS: TunOffloads = TunOffloads::SUPER_FRAMES;

/// Linux, with running workers.
#[derive(Debug)]
pub(super) struct Linux {
    runtime: Runtime,
}

/// A port asks for what the workers cannot serve.
#[derive(Debug, Error)]
#[error("queues: {asked} asked for, but there are {workers} workers; use \"auto\" or {workers}")]
struct QueueCount {
    asked: u16,
    workers: usize,
}

impl Linux {
    /// The machine, served by these workers.
    pub(super) fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    fn open_device(&self, port: &Port, mtu: u32) -> Result<TunDevice, HostError> {
        let workers = self.runtime.workers();
        if let Some(asked) = port.queues
            && usize::from(asked) != workers
        {
            return Err(HostError::new(QueueCount { asked, workers }));
        }
        let config = TunConfig {
            name: port.device.to_string(),
            netns: port.netns.clone(),
            queues: workers,
            mtu,
            offloads: OFFLOADS,
        };
        tun::open(&config).map_err(HostError::new)
    }
}

impl Host for Linux {
    fn open_port(&self, id: PortId, port: &Port, mtu: u32) -> Result<OpenPort, HostError> {
        let tun = self.open_device(port, mtu)?;
        let device = Device {
            netns: port.netns.clone(),
            index: tun.index,
        };
        let open = OpenPort {
            device,
            queues: tun.queues.len(),
            mtu,
            mode: mode(&tun),
        };
        // Dropping the device on an error removes it.
        open.device
            .add_addresses(&port.addresses)
            .map_err(HostError::new)?;
        self.runtime.add_port(id, tun).map_err(HostError::new)?;
        Ok(open)
    }

    fn close_port(&self, id: PortId) {
        self.runtime.remove_port(id);
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

    fn change_routes(
        &self,
        device: &Device,
        remove: &[IpNet],
        add: &[IpNet],
    ) -> Vec<(IpNet, HostError)> {
        match device.change_routes(remove, add) {
            Ok(refused) => refused
                .into_iter()
                .map(|(prefix, error)| (prefix, HostError::new(error)))
                .collect(),
            // Nobody could be asked: all were refused.
            Err(error) => {
                let text = HostError::new(error).to_string();
                let all = remove.iter().chain(add).copied();
                all.map(|prefix| (prefix, HostError::new(text.clone())))
                    .collect()
            }
        }
    }

    fn open_underlay(&self, id: UnderlayId, local: SocketAddr) -> Result<(), HostError> {
        let workers = self.runtime.workers();
        let config = UnderlayConfig {
            local,
            workers,
            senders: SENDERS,
            gro: true,
        };
        let queues = underlay::bind(&config).map_err(HostError::new)?;
        self.runtime
            .add_underlay(id, queues)
            .map_err(HostError::new)
    }

    fn close_underlay(&self, id: UnderlayId) {
        self.runtime.remove_underlay(id);
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

    fn stats(&self) -> Stats {
        self.runtime.stats()
    }

    fn driver(&self) -> DriverReport {
        self.runtime.driver().clone()
    }
}

/// What a device offers and we use, in words.
fn mode(tun: &TunDevice) -> String {
    let mut mode = format!("multi-queue tun, offloads: {}", tun.offloads);
    for (kind, error) in &tun.refused {
        mode.push_str(&format!("; refused {kind}: {error}"));
    }
    mode
}
