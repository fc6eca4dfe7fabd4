//! Gives workers the queues of devices that are served by AF_XDP, and leads packets there.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{AttachError, Runtime};
use crate::counters::QueueCounters;
use crate::driver::{Owner, Queue};
use crate::id::PortId;
use crate::port::wire::{self, WireDevice};
use crate::port::xdp::XdpProgram;
use crate::sys::xdp::Copying;
use crate::worker::Command;

/// A device whose packets are led to the workers.
#[derive(Debug)]
pub struct Led {
    /// Leads them there as long as it lives.
    pub program: XdpProgram,
    /// Queues on which frames are moved without copies.
    pub zero_copies: usize,
}

/// Queues for each worker, the program that leads to them, and copies of their sockets for it.
type Spread = (Vec<Vec<Queue>>, XdpProgram, Vec<OwnedFd>);

impl Runtime {
    /// Serves the queues of the device that is the wire of all endpoints, besides their sockets: each
    /// by one worker, some by none or several of them if there are not as many as workers. Returns what
    /// leads packets to them; drop it before [`Self::remove_wire`].
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; then the wire is not served, and the sockets are.
    pub fn add_wire(&self, device: WireDevice) -> Result<Led, AttachError> {
        match self.attach_led(self.spread(Owner::Wire, device)?) {
            Ok((led, counters)) => {
                self.queues().wire.extend(counters);
                Ok(led)
            }
            Err(error) => {
                self.remove_wire();
                Err(error)
            }
        }
    }

    /// Closes the sockets of the wire; when it returns no worker uses them. What was to leave by it
    /// leaves by the endpoints' own sockets from then on.
    pub fn remove_wire(&self) {
        self.broadcast(|done| Command::DetachWire { done });
    }

    /// Serves the queues of a device that is an Ethernet port, each by one worker. Workers beyond
    /// them send by the device's packet sockets, of which there must be enough. Returns what leads
    /// packets to the queues; drop it before [`Self::remove_port`].
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; then the port is not served.
    pub fn add_link(&self, id: PortId, mut device: WireDevice) -> Result<Led, AttachError> {
        if self.queues().ports.contains_key(&id) {
            return Err(AttachError::InUse);
        }
        let mut senders = std::mem::take(&mut device.senders).into_iter();
        let (mut queues, program, copies) = self.spread(Owner::Port(id), device)?;
        let sends = |queue: &Queue| matches!(queue, Queue::Xdp { added: false, .. });
        for worker in queues.iter_mut().filter(|queues| !queues.iter().any(sends)) {
            worker.extend(senders.next().map(|fd| Queue::Tap { port: id, fd }));
        }
        match self.attach_led((queues, program, copies)) {
            Ok((led, counters)) => {
                self.queues().ports.insert(id, counters);
                Ok(led)
            }
            Err(error) => {
                self.broadcast(|done| Command::DetachPort { id, done });
                Err(error)
            }
        }
    }

    /// Gives each worker its share of a device's queues, some none and some several if there are not
    /// as many as workers; returns also what leads to them.
    fn spread(&self, owner: Owner, device: WireDevice) -> Result<Spread, AttachError> {
        let WireDevice {
            index,
            sockets,
            lasting,
            program,
            copying,
            ..
        } = device;
        let copies = wire::copies(&sockets).map_err(AttachError::Lead)?;
        let mut queues: Vec<_> = self.workers.iter().map(|_| Vec::new()).collect();
        for (queue, socket) in sockets.into_iter().enumerate() {
            let workers = queues.len();
            let added = queue >= lasting;
            queues[queue % workers].push(Queue::Xdp {
                owner,
                socket,
                device: index,
                queue: queue as u32, // a device has some hundred at most
                added,
                copying: if added { Some(Copying::Copy) } else { copying },
            });
        }
        Ok((queues, program, copies))
    }

    /// Gives the workers their queues, and then leads packets there.
    fn attach_led(
        &self,
        (queues, program, copies): Spread,
    ) -> Result<(Led, Vec<Arc<QueueCounters>>), AttachError> {
        let counters = self.attach(queues.into_iter())?;
        let zero_copies = wire::zero_copies(&copies).map_err(AttachError::Lead)?;
        wire::lead(&program, copies).map_err(AttachError::Lead)?;
        let led = Led {
            program,
            zero_copies,
        };
        Ok((led, counters))
    }
}
