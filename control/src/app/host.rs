//! What the engine needs of the machine: devices, sockets, workers. The engine decides, this does.

use std::{collections::BTreeMap, error::Error, fmt, net::IpAddr, thread, time::Duration};

use ipnet::IpNet;
use ringlay_dataplane::{
    driver::probe::DriverReport,
    endpoint::Endpoint,
    id::{PortId, TunnelId, UnderlayId},
    port::tun::Keeper,
    stats::Stats,
    tables::Tables,
};

use crate::{
    compile::LinkView,
    mtu::Way,
    netlink::{Device, RouteChange, vanish},
    object::Port,
};

/// A device that was opened for a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPort {
    /// The device.
    pub device: Device,
    /// How many queues it has.
    pub queues: usize,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// What it offers and Ringlay uses, and what was refused and why.
    pub mode: String,
    /// The other end, if the device is one of a pair that we made.
    pub peer: Option<Device>,
}

/// Devices of containers that nothing serves any more. Their namespaces have them no longer when this
/// was dropped, for which the kernel takes its time: no lock should be held.
#[derive(Debug, Default)]
pub struct Leaving(pub(super) Vec<Keeper>);

/// Threads that let devices go at the same time.
const LEAVE_AT_ONCE: usize = 16;

/// The kernel takes 15 to 20 ms to remove a device. It is out of sight after the first few, and what
/// follows, waiting for all CPUs, is left to threads that nobody waits for.
impl Drop for Leaving {
    fn drop(&mut self) {
        let watches: Vec<_> = self.0.iter().map(Keeper::watch).collect();
        let share = self.0.len().div_ceil(LEAVE_AT_ONCE);
        while !self.0.is_empty() {
            let rest = self.0.len().saturating_sub(share);
            let some = self.0.split_off(rest);
            // Without a thread they go right here.
            let thread = thread::Builder::new().name("leaving".to_owned());
            drop(thread.spawn(move || drop(some)));
        }
        for watch in watches.into_iter().flatten() {
            vanish::wait(|| watch.is_there());
        }
    }
}

/// What became of a port: it is served anew, or why it no longer is.
pub type Tended = (PortId, Result<OpenPort, String>);

/// Something on the machine failed; says what and why.
#[derive(Debug)]
pub struct HostError(Box<dyn Error + Send + Sync>);

impl HostError {
    /// Wraps whatever failed.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    /// The failure of this kind that it wraps, if it does.
    pub(super) fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// What an error says, and what its sources say.
    pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::chain(self.0.as_ref()))
    }
}

impl Error for HostError {}

/// The machine, as far as the engine needs it. No method makes a worker wait.
pub trait Host: Send + Sync + fmt::Debug {
    /// Opens a port's device with its addresses and gives it to the workers. `link` is what we are
    /// on it, if it has Ethernet.
    ///
    /// # Errors
    ///
    /// If that cannot be done; then nothing is left of it.
    fn open_port(
        &self,
        id: PortId,
        port: &Port,
        mtu: u32,
        link: Option<&LinkView>,
    ) -> Result<OpenPort, HostError>;

    /// Looks after ports' devices that are not ours; tells what became of them.
    fn tend_ports(&self) -> Vec<Tended> {
        Vec::new()
    }

    /// Closes a port's device, which is then gone; that of a container is when what
    /// [`Self::take_leaving`] returns is dropped.
    fn close_port(&self, id: PortId);

    /// What is left of containers' devices that were closed since the last call.
    fn take_leaving(&self) -> Leaving {
        Leaving::default()
    }

    /// Stops serving a port, whose device stays if it is a container's: the daemon ends.
    fn leave_port(&self, id: PortId) {
        self.close_port(id);
    }

    /// Adds and removes addresses of a device, sets its MTU.
    ///
    /// # Errors
    ///
    /// If the kernel refuses; some may then be done.
    fn change_port(&self, device: &Device, change: &PortChange) -> Result<(), HostError>;

    /// Takes back, adds and replaces routes through a device; returns what the kernel refused, and
    /// why.
    fn change_routes(&self, device: &Device, change: &RouteChange) -> Vec<(IpNet, HostError)>;

    /// The ways by which packets from `source` leave for `destinations`, as far as there are any.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked.
    fn ways(
        &self,
        source: IpAddr,
        destinations: &[IpAddr],
    ) -> Result<BTreeMap<IpAddr, Way>, HostError>;

    /// What about the host's settings keeps packets of an IP version from getting, without
    /// encapsulation, from `link` to a port, or, if `forwarded`, on to where one leads.
    fn hindrances(&self, _link: &str, _is_v4: bool, _forwarded: bool) -> Vec<String> {
        Vec::new()
    }

    /// Opens the sockets of a local tunnel endpoint and gives them to the workers.
    ///
    /// # Errors
    ///
    /// If that cannot be done; then nothing is left of it.
    fn open_underlay(&self, id: UnderlayId, endpoint: Endpoint) -> Result<(), HostError>;

    /// How a device that is served beside the endpoints' sockets hands packets over now, or why it
    /// does not, in words; none where there is no such device.
    fn underlay_mode(&self) -> Option<String> {
        None
    }

    /// Closes the sockets of a local tunnel endpoint.
    fn close_underlay(&self, id: UnderlayId);

    /// Has the sockets of a local tunnel endpoint report outer times to live, or no more.
    fn report_ttl(&self, id: UnderlayId, on: bool);

    /// Looks after the device that is the wire of the tunnel endpoints; returns its interface index,
    /// none if there is none, or it is not served now.
    fn wire(&self) -> Option<u32> {
        None
    }

    /// The interface index of the device by which packets without encapsulation leave past the
    /// kernel's stack, if they do so by an uplink.
    fn onward(&self) -> Option<u32> {
        None
    }

    /// Puts tables in force; returns their generation.
    fn publish(&self, tables: Tables) -> u64;

    /// Waits until all workers forward by a generation; false if the time is over first.
    fn wait_confirmed(&self, generation: u64, timeout: Duration) -> bool;

    /// Sends an Ethernet frame through a tunnel.
    fn inject(&self, tunnel: TunnelId, frame: Vec<u8>);

    /// Sends an Ethernet frame out of an Ethernet port.
    fn inject_link(&self, port: PortId, frame: Vec<u8>);

    /// All counters.
    fn stats(&self) -> Stats;

    /// Has all workers measure their stages, from zero, or no more.
    fn measure_stages(&self, on: bool);

    /// The driver in use, and why.
    fn driver(&self) -> DriverReport;
}

/// What to change about an open device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortChange {
    /// Addresses to add.
    pub add: Vec<IpNet>,
    /// Addresses to remove.
    pub remove: Vec<IpNet>,
    /// The MTU to set, if another.
    pub mtu: Option<u32>,
}

impl PortChange {
    /// What undoes this change of a device whose MTU was `mtu`.
    pub fn reversed(&self, mtu: u32) -> Self {
        Self {
            add: self.remove.clone(),
            remove: self.add.clone(),
            mtu: self.mtu.map(|_| mtu),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.mtu.is_none()
    }
}
