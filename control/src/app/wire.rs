//! The device that AF_XDP sockets serve: opened for a tunnel endpoint, given up when it goes, and
//! opened again when it comes back. Which packets leave by it is for the tables to say.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use ringlay_dataplane::{
    id::UnderlayId,
    port::{
        packet::OpenPacketError,
        wire::{self, OpenWireError, WireConfig, WireDevice},
        xdp::{Selection, XdpProgram},
    },
    runtime::{AttachError, Runtime},
    sys::{bpf::XdpMode, ethtool, link},
};
use thiserror::Error;

use super::host::HostError;

/// How long the queues of a process that was killed may stay taken.
const RELEASE_TIME: Duration = Duration::from_secs(1);
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// One device, and the endpoint that it is for. A device carries one endpoint: others go by sockets.
#[derive(Debug)]
pub(super) struct Wire {
    device: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    endpoint: Option<(UnderlayId, SocketAddr)>,
    open: Option<Open>,
    /// Why it could not be opened when that was last tried.
    failure: String,
}

#[derive(Debug)]
struct Open {
    index: u32,
    queues: u32,
    /// Leads packets to the sockets as long as it lives.
    _program: XdpProgram,
}

/// A device that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWire {
    /// The endpoint.
    pub endpoint: UnderlayId,
    /// The device's interface index.
    pub index: u32,
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
        "the workers' memory, 70 MiB each, may not be pinned: raise RLIMIT_MEMLOCK or grant \
         CAP_IPC_LOCK"
    )]
    Unpinned(#[source] AttachError),
    #[error(transparent)]
    Attach(AttachError),
}

impl From<AttachError> for OpenError {
    fn from(error: AttachError) -> Self {
        if error.is_unpinned() {
            Self::Unpinned(error)
        } else {
            Self::Attach(error)
        }
    }
}

impl OpenError {
    /// Whether a process that has ended may be in the way.
    fn is_busy(&self) -> bool {
        match self {
            Self::Program(error) => matches!(error, OpenWireError::Taken { .. }),
            Self::Attach(error) => error.is_busy(),
            Self::Device(_) | Self::Packet(_) | Self::Unpinned(_) => false,
        }
    }
}

impl Wire {
    pub(super) fn new(device: String) -> Self {
        Self {
            device,
            state: Mutex::default(),
        }
    }

    /// Serves the device for an endpoint, if it serves none.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
    pub(super) fn open(
        &self,
        runtime: &Runtime,
        id: UnderlayId,
        local: SocketAddr,
    ) -> Result<(), HostError> {
        let mut state = self.state();
        if let Some((_, first)) = state.endpoint {
            let device = &self.device;
            tracing::info!(endpoint = %local, device, %first, "by sockets: af_xdp is for the first");
            return Ok(());
        }
        let open = patiently(|| self.try_open(runtime, id, local));
        state.open = Some(open.map_err(|source| {
            let device = self.device.clone();
            HostError::new(NoWire { device, source })
        })?);
        state.endpoint = Some((id, local));
        Ok(())
    }

    /// Gives the device up, if it serves this endpoint.
    pub(super) fn close(&self, runtime: &Runtime, id: UnderlayId) {
        let mut state = self.state();
        if state.endpoint.is_some_and(|(owner, _)| owner == id) {
            // From now on the sockets get everything.
            state.open = None;
            state.endpoint = None;
            runtime.remove_wire(id);
        }
    }

    /// Follows what became of the device; returns whether it is served.
    pub(super) fn tend(&self, runtime: &Runtime) -> Option<OpenWire> {
        let mut state = self.state();
        let (endpoint, local) = state.endpoint?;
        let index = link::index(&self.device).ok();
        let queues = self.queues();
        let as_before = |open: &Open| index == Some(open.index) && open.queues == queues;
        if state.open.as_ref().is_some_and(|open| !as_before(open)) {
            tracing::warn!(
                device = self.device,
                "the device is gone, or another: by sockets"
            );
            state.open = None;
            runtime.remove_wire(endpoint);
        }
        if state.open.is_none() && index.is_some() {
            match self.try_open(runtime, endpoint, local) {
                Ok(open) => state.open = Some(open),
                Err(error) => state.note(&self.device, &error),
            }
        }
        let index = state.open.as_ref()?.index;
        Some(OpenWire { endpoint, index })
    }

    fn try_open(
        &self,
        runtime: &Runtime,
        id: UnderlayId,
        local: SocketAddr,
    ) -> Result<Open, OpenError> {
        let config = WireConfig {
            selection: Selection::Endpoint(local),
            device: self.device.clone(),
            index: link::index(&self.device).map_err(OpenError::Device)?,
            senders: 0,
        };
        let opened = wire::open(&config)?;
        let index = config.index;
        let queues = opened.sockets.len() as u32; // as many as a device has
        let mode = describe(&opened);
        let program = runtime.add_wire(id, opened)?;
        tracing::info!(endpoint = %local, device = self.device, queues, mode, "wire open");
        Ok(Open {
            index,
            queues,
            _program: program,
        })
    }

    fn queues(&self) -> u32 {
        ethtool::receive_queues(&self.device).unwrap_or(1).max(1)
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
    /// Logs a failure that is not the last one again.
    fn note(&mut self, device: &str, error: &OpenError) {
        let text = HostError::chain(error);
        if self.failure != text {
            tracing::warn!(device, error = text, "af_xdp cannot be set up again yet");
            self.failure = text;
        }
    }
}

/// How the device hands packets over, in words.
pub(super) fn describe(opened: &WireDevice) -> String {
    let why = |error: &io::Error| format!("generic XDP, because of native: {error}");
    match (opened.mode, &opened.not_native) {
        (XdpMode::Native, _) => "native XDP, copied".to_owned(),
        (XdpMode::Generic, Some(error)) => why(error),
        (XdpMode::Generic, None) => "generic XDP".to_owned(),
    }
}
