//! How a load of routes goes through the engine: no device depends on it and, but for direct routes,
//! no socket, so nothing but the desired state can refuse it.

use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::Engine;
use crate::{
    object::{Key, Name},
    rib::{Load, LoadError, RouteDelta},
};

/// Keys that watchers are told of together.
const ANNOUNCED: usize = 4096;

/// A load that is in force, or will be as soon as each worker has looked.
#[derive(Debug)]
pub struct Loaded {
    /// What changed among the routes in force.
    pub delta: RouteDelta,
    /// The tables to wait for, if there are new ones.
    pub tables: Option<u64>,
    /// How long the desired state took.
    pub merging: Duration,
    /// How long the tables took.
    pub compiling: Duration,
}

impl Engine {
    /// Puts all routes of a sorted load in force, or none. Kernel routes are not touched: see
    /// [`Self::sync_kernel_routes`].
    ///
    /// # Errors
    ///
    /// If a route would make no sense, or the socket of direct ones cannot be had. Nothing is done
    /// then.
    pub fn load(&mut self, load: &Load) -> Result<Loaded, LoadError> {
        let is_direct = load.has_path(|path| path.direct);
        if !is_direct {
            return self.load_routes(load);
        }
        self.compiler.hold_plain();
        let opened = self.open_underlays();
        let opened = opened.map_err(|error| LoadError::of_socket(&error));
        let loaded = opened.and_then(|()| self.load_routes(load));
        self.compiler.let_plain_go();
        self.close_unused();
        loaded
    }

    fn load_routes(&mut self, load: &Load) -> Result<Loaded, LoadError> {
        let started = Instant::now();
        let delta = self.rib.load(load)?;
        let merged = Instant::now();
        if delta.is_empty() {
            return Ok(Loaded {
                delta,
                tables: None,
                merging: merged - started,
                compiling: Duration::ZERO,
            });
        }
        self.compiler.load(&self.rib, &delta);
        self.follow_tunnels();
        let tables = self.host.publish(self.compiler.tables());
        self.generation += 1;
        let compiling = merged.elapsed();
        self.announce_load(&delta);
        self.poll();
        Ok(Loaded {
            delta,
            tables: Some(tables),
            merging: merged - started,
            compiling,
        })
    }

    /// Whether a network's routes become kernel routes through one of its ports.
    pub fn has_kernel_routes(&self, network: &Name) -> bool {
        self.rib.ports_of(network).any(|port| port.routes)
    }

    /// Makes the kernel's routes follow a network's routes of these prefixes.
    pub fn sync_kernel_routes(&mut self, network: &Name, prefixes: &[IpNet]) {
        self.ports
            .sync_prefixes(&self.rib, &self.compiler, network, prefixes);
    }

    fn announce_load(&self, delta: &RouteDelta) {
        if self.changes.receiver_count() == 0 {
            return;
        }
        let mut keys = delta.keys().map(Key::Route).peekable();
        while keys.peek().is_some() {
            self.announce(keys.by_ref().take(ANNOUNCED));
        }
    }
}
