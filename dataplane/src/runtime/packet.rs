//! Gives workers the packet sockets of devices that are Ethernet ports.

use std::os::fd::OwnedFd;

use super::{AttachError, Runtime};
use crate::driver::Queue;
use crate::id::PortId;
use crate::port::packet::PacketDevice;
use crate::worker::Command;

impl Runtime {
    /// Serves a device by its packet sockets, each worker by its own. Returns what has the device
    /// listen to the port's MAC address.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; then the sockets are closed.
    pub fn add_packet_port(
        &self,
        id: PortId,
        device: PacketDevice,
    ) -> Result<OwnedFd, AttachError> {
        self.check_count(device.queues.len())?;
        if self.queues().ports.contains_key(&id) {
            return Err(AttachError::InUse);
        }
        let queue = |fd| Queue::Packet { port: id, fd };
        let queues = device.queues.into_iter();
        let queues = queues.map(|sockets| sockets.into_iter().map(queue).collect());
        match self.attach(queues) {
            Ok(counters) => {
                self.queues().ports.insert(id, counters);
                Ok(device.membership)
            }
            Err(error) => {
                self.broadcast(|done| Command::DetachPort { id, done });
                Err(error)
            }
        }
    }
}
