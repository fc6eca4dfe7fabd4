//! The device that AF_XDP sockets serve: opened for the first tunnel endpoint, given up when it goes,
//! and opened again when it comes back. Which packets leave by it is for the tables to say.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use ringlay_dataplane::{
    endpoint::Endpoint,
    id::UnderlayId,
    port::{
        packet::OpenPacketError,
        tunnels::Tunnels,
        wire::{self, OpenWireError, WireConfig, WireDevice},
        xdp::{Selection, XdpProgram},
    },
    runtime::{AttachError, Led, Runtime},
    sys::{bpf::XdpMode, link},
};
use thiserror::Error;

use super::host::HostError;
use crate::object::ZeroCopy;

/// How long the queues of a process that was killed may stay taken.
const RELEASE_TIME: Duration = Duration::from_secs(1);
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// One device, and the endpoints that it is for, all of one address.
#[derive(Debug)]
pub(super) struct Wire {
    device: String,
    local: IpAddr,
    zero_copy: ZeroCopy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    endpoints: BTreeMap<UnderlayId, Endpoint>,
    open: Option<Open>,
    /// Why it could not be opened when that was last tried.
    failure: String,
}

#[derive(Debug)]
struct Open {
    index: u32,
    queues: u32,
    /// Those that the device sends by.
    senders: u32,
    /// How the device hands packets over, in words.
    mode: String,
    /// Leads packets to the sockets as long as it lives.
    program: XdpProgram,
}

/// The device cannot be served.
#[derive(Debug, Error)]
#[error("af_xdp cannot be set up on {device}; `driver = \"udp\"` under [underlay] does without")]
struct NoWire {
    device: String,
    source: OpenError,
}

/// What failed.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error("there is no such device")]
    Device(#[source] io::Error),
    #[error(transparent)]
    Program(#[from] OpenWireError),
    #[error(transparent)]
    Packet(#[from] OpenPacketError),
    #[error(
        "32 MiB of each worker's memory may not be pinned: raise RLIMIT_MEMLOCK or grant \
         CAP_IPC_LOCK"
    )]
    Unpinned(#[source] AttachError),
    #[error(
        "its driver cannot do without copies, or not with this MTU: `zero_copy = \"auto\"` lets the \
         kernel copy"
    )]
    Copied(#[source] AttachError),
    #[error(transparent)]
    Attach(AttachError),
    #[error("the XDP program cannot be replaced by one for other tunnel endpoints")]
    Select(#[source] io::Error),
}

impl OpenError {
    /// What workers say to the queues of a device of which this is wanted.
    pub(super) fn attach(zero_copy: ZeroCopy) -> impl FnOnce(AttachError) -> Self {
        move |error| match error {
            error if error.is_unpinned() => Self::Unpinned(error),
            error if zero_copy == ZeroCopy::On && error.is_refused() => Self::Copied(error),
            error => Self::Attach(error),
        }
    }

    /// Whether a process that has ended may be in the way.
    fn is_busy(&self) -> bool {
        match self {
            Self::Program(error) => matches!(error, OpenWireError::Taken { .. }),
            Self::Attach(error) => error.is_busy(),
            Self::Device(_)
            | Self::Packet(_)
            | Self::Unpinned(_)
            | Self::Copied(_)
            | Self::Select(_) => false,
        }
    }
}

impl Wire {
    /// Of this device, for endpoints with this address.
    pub(super) fn new(device: String, local: IpAddr, zero_copy: ZeroCopy) -> Self {
        Self {
            device,
            local,
            zero_copy,
            state: Mutex::default(),
        }
    }

    /// Serves the device for an endpoint, and for those that it is served for already.
    ///
    /// # Errors
    ///
    /// If that cannot be done; then all is as before.
    pub(super) fn open(
        &self,
        runtime: &Runtime,
        id: UnderlayId,
        endpoint: Endpoint,
    ) -> Result<(), HostError> {
        let mut state = self.state();
        let is_first = state.endpoints.insert(id, endpoint).is_none() && state.endpoints.len() == 1;
        let selection = state.selection(self.local);
        let done = match &state.open {
            Some(open) => open.program.select(&selection).map_err(OpenError::Select),
            // Those of before go by sockets until it is back.
            None if !is_first => Ok(()),
            None => {
                patiently(|| self.try_open(runtime, &selection)).map(|open| state.open = Some(open))
            }
        };
        done.map_err(|source| {
            state.endpoints.remove(&id);
            let device = self.device.clone();
            HostError::new(NoWire { device, source })
        })
    }

    /// Serves the device no more for this endpoint.
    pub(super) fn close(&self, runtime: &Runtime, id: UnderlayId) {
        let mut state = self.state();
        if state.endpoints.remove(&id).is_none() {
            return;
        }
        // From now on the sockets get everything.
        if state.endpoints.is_empty() {
            state.open = None;
            runtime.remove_wire();
        } else if let Some(open) = &state.open
            && let Err(error) = open.program.select(&state.selection(self.local))
        {
            tracing::warn!(device = self.device, %error, "packets of an endpoint that is gone come still");
        }
    }

    /// Follows what became of the device; returns its interface index if it is served.
    pub(super) fn tend(&self, runtime: &Runtime) -> Option<u32> {
        let mut state = self.state();
        if state.endpoints.is_empty() {
            return None;
        }
        let index = link::index(&self.device).ok();
        let queues = (
            wire::receive_queues(&self.device),
            wire::send_queues(&self.device),
        );
        let as_before =
            |open: &Open| index == Some(open.index) && (open.queues, open.senders) == queues;
        if state.open.as_ref().is_some_and(|open| !as_before(open)) {
            tracing::warn!(
                device = self.device,
                "the device is gone, or another: by sockets"
            );
            state.open = None;
            state.failure.clear();
            runtime.remove_wire();
        }
        if state.open.is_none() && index.is_some() {
            match self.try_open(runtime, &state.selection(self.local)) {
                Ok(open) => state.open = Some(open),
                Err(error) => state.note(&self.device, &error),
            }
        }
        Some(state.open.as_ref()?.index)
    }

    /// How the device hands packets over now, or why it does not; none before there is an endpoint.
    pub(super) fn mode(&self) -> Option<String> {
        let state = self.state();
        let device = &self.device;
        let plural = |queues| if queues == 1 { "" } else { "s" };
        match &state.open {
            _ if state.endpoints.is_empty() => None,
            Some(Open { queues, mode, .. }) => Some(format!(
                "{device}, {queues} queue{}, {mode}",
                plural(*queues)
            )),
            None if state.failure.is_empty() => Some(format!("{device} is gone; by sockets")),
            None => Some(format!("by sockets: {device}: {}", state.failure)),
        }
    }

    fn try_open(&self, runtime: &Runtime, selection: &Selection) -> Result<Open, OpenError> {
        let config = WireConfig {
            selection: selection.clone(),
            device: self.device.clone(),
            index: link::index(&self.device).map_err(OpenError::Device)?,
            senders: 0,
            copying: self.zero_copy.copying(),
        };
        let opened = wire::open(&config)?;
        let (index, senders) = (opened.index, opened.sends_by);
        let queues = opened.sockets.len() as u32; // as many as a device has
        let mode = Mode::of(&opened);
        let led = runtime
            .add_wire(opened)
            .map_err(OpenError::attach(self.zero_copy))?;
        let mode = mode.describe(&led);
        tracing::info!(local = %self.local, device = self.device, queues, mode = mode.as_str(), "wire open");
        Ok(Open {
            index,
            queues,
            senders,
            mode,
            program: led.program,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// Tries again while a process that has ended may be in the way.
pub(super) fn patiently<T>(
    mut attempt: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let deadline = Instant::now() + RELEASE_TIME;
    loop {
        match attempt() {
            Err(error) if error.is_busy() && Instant::now() < deadline => {
                thread::sleep(RELEASE_POLL);
            }
            done => return done,
        }
    }
}

impl State {
    /// What is to be led to the sockets.
    fn selection(&self, local: IpAddr) -> Selection {
        Selection::Tunnels(Tunnels::new(local, self.endpoints.values().copied()))
    }

    /// Logs a failure that is not the last one again.
    fn note(&mut self, device: &str, error: &OpenError) {
        let text = HostError::chain(error);
        if self.failure != text {
            tracing::warn!(device, error = text, "af_xdp cannot be set up again yet");
            self.failure = text;
        }
    }
}

/// How a device hands packets over.
#[derive(Debug)]
pub(super) struct Mode {
    program: String,
    queues: usize,
    /// Why the device is not asked to do without copies.
    objection: Option<&'static str>,
}

impl Mode {
    /// As far as that is known before workers serve it.
    pub(super) fn of(opened: &WireDevice) -> Self {
        let why = |error: &io::Error| format!("generic XDP, because of native: {error}");
        let program = match (opened.mode, &opened.not_native) {
            (XdpMode::Native, _) => "native XDP".to_owned(),
            (XdpMode::Generic, Some(error)) => why(error),
            (XdpMode::Generic, None) => "generic XDP".to_owned(),
        };
        Self {
            program,
            queues: opened.sockets.len(),
            objection: opened.objection,
        }
    }

    /// In words.
    pub(super) fn describe(&self, led: &Led) -> String {
        let Self {
            program, queues, ..
        } = self;
        match led.zero_copies {
            0 => match self.objection {
                Some(why) => format!("{program}, copy, because {why}"),
                None => format!("{program}, copy"),
            },
            all if all == *queues => format!("{program}, zero-copy"),
            some => format!("{program}, zero-copy on {some} of {queues} queues"),
        }
    }
}
