//! The configuration file, version 1 (TOML).
//!
//! Reading goes from text to raw values to typed objects; whether the objects
//! make sense together is for the [`crate::rib`] to say. Every error is one message that names
//! file, line, key and remedy. Nothing here touches the system, apart from reading the file.

mod convert;
mod duration;
mod error;
mod ipam;
mod keys;
mod places;
mod print;
mod raw;
mod settings;
mod value;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

pub use self::{error::ConfigError, print::print};
use self::{error::Fault, places::Places};
use crate::{
    ipam::Pool,
    object::{DeviceName, Object, Source, ZeroCopy},
    rib::{ApplyError, Operation, Rib},
};

/// A configuration file, read and typed.
#[derive(Debug)]
pub struct Config {
    /// The daemon's settings.
    pub settings: Settings,
    /// The objects of source `static`.
    pub objects: Vec<Object>,
    places: Places,
}

/// The daemon's settings. It cannot change them while it runs, but for `pools` and `stages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node's name; the host's if absent.
    pub name: Option<String>,
    /// Where the daemon listens; given on the command line if absent.
    pub socket: Option<PathBuf>,
    /// Where attachments of containers are remembered; see [`crate::attach`] if absent.
    pub state: Option<PathBuf>,
    /// The addresses for containers.
    pub pools: Vec<Pool>,
    /// The worker threads.
    pub workers: Workers,
    /// How they do their IO.
    pub driver: Driver,
    /// How they wait.
    pub poll: Poll,
    /// Whether they measure where their time goes.
    pub stages: bool,
    /// Where the tunnels end.
    pub local: Local,
    /// How packets reach the underlay.
    pub underlay_driver: UnderlayDriver,
    /// Whether AF_XDP on the underlay's device is without copies.
    pub zero_copy: ZeroCopy,
    /// Whether outer packets may be fragmented.
    pub df: Df,
    /// How often to find out what really gets to far ends; never if absent.
    pub probe: Option<Duration>,
    /// Whether tunnel frames from unlisted VTEPs are accepted, unless a network says.
    pub accept_unknown_vteps: bool,
}

/// The worker threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One for each CPU that the process may use, pinned to it.
    Auto,
    /// So many, on the first CPUs that the process may use.
    Count(u16),
    /// One on each of these CPUs.
    Cpus(Vec<usize>),
}

/// How workers do their IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The best that the host has.
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

/// How workers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Look for work a while, then sleep.
    Adaptive {
        /// How long to look.
        spin: Duration,
    },
    /// Never sleep.
    Busy,
    /// Sleep as soon as there is no work.
    Interrupt,
}

/// How packets reach the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderlayDriver {
    /// Whichever is faster on the devices at hand.
    Auto,
    /// UDP sockets.
    Udp,
    /// UDP sockets, and for super-frames an uplink that the kernel routes on and cuts late.
    TunnelGso,
    /// UDP sockets, and for all that fits AF_XDP sockets, past the kernel's own stack.
    AfXdp,
}

/// Whether outer packets that fit their path may be fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Df {
    /// No: routers with narrower links drop them and say so, and the tunnel's MTU follows.
    Set,
    /// Yes: routers with narrower links fragment IPv4 packets.
    Clear,
}

/// Where the tunnels end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// At this address.
    Address(IpAddr),
    /// At the first global address of this device, preferably an IPv4 one.
    Device(DeviceName),
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or says something wrong.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let error = |source| ConfigError::Read {
            file: file.to_owned(),
            source,
        };
        let text = fs::read_to_string(file).map_err(error)?;
        Self::parse(file, text)
    }

    /// Understands the text of a configuration file. `file` is only named in errors.
    ///
    /// # Errors
    ///
    /// If it says something wrong.
    pub fn parse(file: &Path, text: String) -> Result<Self, ConfigError> {
        let mut places = Places::new(file.to_owned(), text);
        match understand(&mut places) {
            Ok((settings, objects)) => Ok(Self {
                settings,
                objects,
                places,
            }),
            Err(fault) => Err(places.error(fault)),
        }
    }

    /// The desired state of a node with this configuration whose tunnels end at `local`.
    ///
    /// # Errors
    ///
    /// If the objects make no sense together.
    pub fn rib(&self, local: IpAddr) -> Result<Rib, ConfigError> {
        let mut rib = Rib::new(local);
        let objects = self.objects.iter().cloned();
        let operations = objects.map(|object| Operation::Apply {
            object,
            exist_ok: false,
        });
        match rib.apply(Source::Static, operations) {
            Ok(_) => Ok(rib),
            Err(error) => Err(self.locate(&error)),
        }
    }

    /// Says where in the file the cause of `error` stands.
    pub fn locate(&self, error: &ApplyError) -> ConfigError {
        self.places.apply_error(error)
    }

    /// An error about the underlay's key.
    pub fn underlay_error(&self, problem: String) -> ConfigError {
        let span = self.places.underlay.clone();
        self.places.error(Fault::new(span, problem))
    }
}

fn understand(places: &mut Places) -> Result<(Settings, Vec<Object>), Fault> {
    let text = places.text.clone();
    let document = DeTable::parse(&text).map_err(|error| {
        let problem = format!("not TOML: {}", error.message().replace('\n', "; "));
        Fault::new(error.span().unwrap_or_default(), problem)
    })?;
    if let Some(fault) = keys::unknown_key(document.get_ref()) {
        return Err(fault);
    }
    let file = raw::File::deserialize(Deserializer::from(document)).map_err(|error| {
        let problem = error.message().replace("expected i64", "expected a number");
        Fault::new(error.span().unwrap_or_default(), problem)
    })?;
    convert::convert(file, places)
}

#[cfg(test)]
mod tests;
