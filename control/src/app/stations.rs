//! Ports on devices that are there already, by AF_XDP or packet sockets: opened in the device's
//! namespace, given up when the device goes or gets other queues, and opened again. The devices stay as
//! they are.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use ipnet::IpNet;
use ringlay_dataplane::{
    id::PortId,
    port::{
        packet::{self, PacketConfig},
        station::Station,
        wire::{self, WireConfig},
        xdp::{Selection, XdpProgram},
    },
    runtime::Runtime,
    sys::{link, netns},
};
use thiserror::Error;

use super::{
    host::{HostError, OpenPort, Tended},
    wire::{Mode, OpenError, patiently},
};
use crate::{
    compile::LinkView,
    netlink::Device,
    object::{Port, PortKind, ZeroCopy},
};

/// Devices that are looked at each time: that may take a thread for each.
const LOOKS: usize = 16;

/// All such ports.
#[derive(Debug, Default)]
pub(super) struct Stations {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<PortId, Entry>,
    /// Who was looked at last.
    last: Option<PortId>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    open: Option<Open>,
    /// Why it is not open, as far as that was told.
    failure: String,
}

/// Where a station is to be.
#[derive(Clone, Debug)]
struct Place {
    kind: PortKind,
    device: String,
    netns: Option<PathBuf>,
    zero_copy: ZeroCopy,
    station: Station,
}

#[derive(Debug)]
struct Open {
    seen: Seen,
    told: OpenPort,
    _hold: Hold,
}

/// What is in force at a device as long as it lives.
#[derive(Debug)]
enum Hold {
    /// Leads frames to the sockets.
    Program(#[expect(dead_code, reason = "it is held")] XdpProgram),
    /// Has the device listen to a MAC address.
    Membership(#[expect(dead_code, reason = "it is held")] OwnedFd),
}

/// What decides about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    index: u32,
    queues: u32,
    /// Queues that it sends by.
    senders: u32,
    mtu: u32,
}

/// The device cannot be served.
#[derive(Debug, Error)]
#[error("{kind} cannot be set up on {device}")]
struct NoStation {
    kind: PortKind,
    device: String,
    source: OpenError,
}

impl Stations {
    /// Serves the device of a port.
    ///
    /// # Errors
    ///
    /// If that cannot be done; then nothing is left of it.
    pub(super) fn open(
        &self,
        runtime: &Runtime,
        id: PortId,
        port: &Port,
        view: &LinkView,
    ) -> Result<OpenPort, HostError> {
        let place = Place {
            kind: port.kind,
            device: port.device.to_string(),
            netns: port.netns.clone(),
            zero_copy: port.zero_copy,
            station: Station {
                mac: view.mac,
                addresses: view.addresses.iter().map(IpNet::addr).collect(),
                proxy: port.proxy,
            },
        };
        let opened = patiently(|| place.open(runtime, id));
        let (open, told) = opened.map_err(|source| {
            let (kind, device) = (place.kind, place.device.clone());
            HostError::new(NoStation {
                kind,
                device,
                source,
            })
        })?;
        let entry = Entry {
            place,
            open: Some(open),
            failure: String::new(),
        };
        self.state().entries.insert(id, entry);
        Ok(told)
    }

    /// Gives a port's device up, if it is one of these.
    pub(super) fn close(&self, id: PortId) {
        // From now on the host gets everything. What serves the port lets go of it next.
        self.state().entries.remove(&id);
    }

    /// Follows what became of some of the devices; tells what changed.
    pub(super) fn tend(&self, runtime: &Runtime) -> Vec<Tended> {
        let mut state = self.state();
        let from = state.last.map_or(Bound::Unbounded, Bound::Excluded);
        let State { entries, last } = &mut *state;
        let mut changes = Vec::new();
        *last = None;
        for (id, entry) in entries.range_mut((from, Bound::Unbounded)).take(LOOKS) {
            changes.extend(entry.tend(runtime, *id).map(|change| (*id, change)));
            *last = Some(*id);
        }
        changes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Entry {
    fn tend(&mut self, runtime: &Runtime, id: PortId) -> Option<Result<OpenPort, String>> {
        let seen = self.place.look().ok();
        let mut change = None;
        if let (PortKind::Packet, Some(seen), Some(open)) = (self.place.kind, seen, &mut self.open)
            && (open.seen.index, open.seen.queues) == (seen.index, seen.queues)
            && open.seen.mtu != seen.mtu
        {
            // Sockets do not care.
            open.seen.mtu = seen.mtu;
            open.told.mtu = seen.mtu;
            change = Some(Ok(open.told.clone()));
        }
        let as_before = |open: &Open| seen == Some(open.seen);
        if self.open.as_ref().is_some_and(|open| !as_before(open)) {
            let device = &self.place.device;
            tracing::warn!(
                device,
                "the device is gone, or another, or has other queues"
            );
            self.open = None;
            runtime.remove_port(id);
            self.failure = format!("{device} is gone");
            change = Some(Err(self.failure.clone()));
        }
        if self.open.is_none() && seen.is_some() {
            match self.place.open(runtime, id) {
                Ok((open, told)) => {
                    let (device, mode) = (&self.place.device, &told.mode);
                    tracing::info!(device, mode, "served again");
                    self.open = Some(open);
                    change = Some(Ok(told));
                }
                Err(error) => {
                    let failure = HostError::chain(&error);
                    if self.failure != failure {
                        self.failure.clone_from(&failure);
                        change = Some(Err(failure));
                    }
                }
            }
        }
        change
    }
}

impl Place {
    fn open(&self, runtime: &Runtime, id: PortId) -> Result<(Open, OpenPort), OpenError> {
        let mut seen = self.look().map_err(OpenError::Device)?;
        let (hold, queues, mode) = match self.kind {
            PortKind::Packet => self.open_sockets(seen, runtime, id)?,
            _ => self.open_queues(&mut seen, runtime, id)?,
        };
        let told = OpenPort {
            device: Device {
                netns: self.netns.clone(),
                index: seen.index,
            },
            queues,
            mtu: seen.mtu,
            mode,
            peer: None,
        };
        let open = Open {
            seen,
            told: told.clone(),
            _hold: hold,
        };
        Ok((open, told))
    }

    /// By AF_XDP, for which the device may add queues; returns also how many there are then, and what
    /// they are like, in words.
    fn open_queues(
        &self,
        seen: &mut Seen,
        runtime: &Runtime,
        id: PortId,
    ) -> Result<(Hold, usize, String), OpenError> {
        let config = WireConfig {
            selection: Selection::Station(self.station.clone()),
            device: self.device.clone(),
            index: seen.index,
            senders: runtime.workers(),
            copying: self.zero_copy.copying(),
        };
        let opened = self.inside(|| wire::open(&config));
        let opened = opened.map_err(OpenError::Device)??;
        let (mode, queues) = (Mode::of(&opened), opened.sockets.len());
        seen.queues = queues as u32; // a device has some hundred at most
        seen.senders = opened.sends_by;
        let led = runtime
            .add_link(id, opened)
            .map_err(OpenError::attach(self.zero_copy))?;
        let mode = format!("af_xdp, {}", mode.describe(&led));
        Ok((Hold::Program(led.program), queues, mode))
    }

    /// The same by packet sockets.
    fn open_sockets(
        &self,
        seen: Seen,
        runtime: &Runtime,
        id: PortId,
    ) -> Result<(Hold, usize, String), OpenError> {
        let config = PacketConfig {
            device: self.device.clone(),
            index: seen.index,
            station: self.station.clone(),
            workers: runtime.workers(),
        };
        let opened = self.inside(|| packet::open(&config));
        let opened = opened.map_err(OpenError::Device)??;
        let queues = opened.queues.len();
        let membership = runtime.add_packet_port(id, opened);
        let membership = membership.map_err(OpenError::attach(ZeroCopy::Auto))?;
        let mode = "packet sockets, super-frames".to_owned();
        Ok((Hold::Membership(membership), queues, mode))
    }

    fn look(&self) -> io::Result<Seen> {
        self.inside(|| {
            let (queues, senders) = match self.kind {
                // They are on all queues.
                PortKind::Packet => (0, 0),
                _ => (
                    wire::receive_queues(&self.device),
                    wire::send_queues(&self.device),
                ),
            };
            Ok(Seen {
                index: link::index(&self.device)?,
                queues,
                senders,
                mtu: link::mtu(&self.device)?,
            })
        })?
    }

    /// Does something in the device's namespace.
    fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> io::Result<T> {
        match &self.netns {
            Some(path) => netns::run_in(path, action),
            None => Ok(action()),
        }
    }
}
