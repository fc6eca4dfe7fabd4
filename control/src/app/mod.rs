//! The daemon: its state, and what runs it.

mod daemon;
mod engine;
mod error;
mod events;
mod host;
mod linux;
mod listener;
mod notify;
mod ports;
mod privileges;
mod underlay;

pub use self::{
    daemon::{RunError, check, run},
    engine::{Done, Engine, Identity},
    error::{ChangeError, ReloadError},
    host::{Host, HostError, OpenPort, PortChange},
    ports::{Entry, Ports},
    underlay::{Chosen, Local, LocalError},
};
