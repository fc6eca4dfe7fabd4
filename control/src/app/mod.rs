//! The daemon: its state, and what runs it.

mod chosen;
mod daemon;
mod echoes;
mod engine;
mod error;
mod events;
mod facts;
pub(crate) mod firewall;
mod host;
mod icmp;
mod linux;
mod listener;
mod neighbourhood;
mod notify;
mod ports;
mod privileges;
mod routers;
mod start;
mod stations;
mod underlay;
mod wire;

pub use self::{
    chosen::{Chosen, Device, Facts},
    daemon::{RunError, check, run},
    engine::{CannotProbe, Done, Engine, Identity, Loaded, PeerMtu, Probed},
    error::{ChangeError, ReloadError},
    host::{Host, HostError, Leaving, OpenPort, PortChange, Tended},
    ports::{Entry, Ports},
    underlay::{Local, LocalError},
};
pub(crate) use self::{
    facts::{uplinks, wires},
    start::driver_choice,
};
