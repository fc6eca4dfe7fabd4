//! Queues of the io_uring driver, from their descriptors to a source that receives, and back.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::UringDriver;
use super::queue::{Attached, Kind, Lengths, Senders};
use crate::counters::QueueCounters;
use crate::driver::Queue;
use crate::driver::packets::PacketSender;
use crate::driver::vnet::Device;
use crate::mempool::HEADROOM;
use crate::sys::uring::{FileId, PREFIX_LEN, ReceiveMode};

impl UringDriver {
    /// Registers a queue's descriptors and opens its source as queue `index`.
    pub(super) fn open(
        &mut self,
        index: u16,
        queue: Queue,
        counters: Arc<QueueCounters>,
    ) -> io::Result<Attached> {
        let read = |fd, device: Device| {
            let kind = Kind::Device(device);
            (fd, ReceiveMode::Read, device.read_offset(), kind)
        };
        let (fd, mode, offset, kind) = match queue {
            Queue::Tun { port, fd } => read(fd, Device::Port(port)),
            Queue::Tap { port, fd } => read(fd, Device::Ethernet(port)),
            Queue::Packet { port, fd } => read(fd, Device::Packet(port)),
            Queue::Uplink { id, fd } => read(fd, Device::Uplink(id)),
            Queue::Xdp { .. } => return Err(io::ErrorKind::Unsupported.into()),
            Queue::Underlay {
                id,
                receiver,
                senders,
                trains,
            } => {
                let senders = if trains {
                    Senders::Ring(self.register_all(senders)?)
                } else {
                    Senders::Packets(senders.into_iter().map(PacketSender::new).collect())
                };
                let kind = Kind::Underlay { id, senders };
                (receiver, ReceiveMode::Message, HEADROOM - PREFIX_LEN, kind)
            }
            Queue::Raw { id, socket } => {
                let kind = Kind::Raw {
                    id,
                    version: socket.version,
                    sender: PacketSender::new(socket.fd.try_clone()?)
                        .with_others(socket.fragmenting, socket.limited),
                };
                (socket.fd, ReceiveMode::Message, HEADROOM - PREFIX_LEN, kind)
            }
        };
        let opened = self.uring.register(fd).and_then(|file| {
            let source = self
                .uring
                .open_source(file, mode, self.receive_buffers, offset, index);
            source
                .inspect_err(|_| self.uring.unregister(file))
                .map(|source| (file, source))
        });
        match opened {
            Ok((file, source)) => {
                let lengths = Lengths::default();
                let (waiting, gone, failures, in_flight) = (0, false, 0, 0);
                Ok(Attached {
                    kind,
                    counters,
                    source,
                    file,
                    waiting,
                    lengths,
                    gone,
                    failures,
                    in_flight,
                    needy: false,
                })
            }
            Err(error) => {
                self.unregister_senders(&kind);
                Err(error)
            }
        }
    }

    fn register_all(&mut self, sockets: Vec<OwnedFd>) -> io::Result<Vec<FileId>> {
        let mut files = Vec::with_capacity(sockets.len());
        for socket in sockets {
            match self.uring.register(socket) {
                Ok(file) => files.push(file),
                Err(error) => {
                    files
                        .into_iter()
                        .for_each(|file| self.uring.unregister(file));
                    return Err(error);
                }
            }
        }
        Ok(files)
    }

    fn unregister_senders(&mut self, kind: &Kind) {
        if let Kind::Underlay {
            senders: Senders::Ring(senders),
            ..
        } = kind
        {
            senders.iter().for_each(|&file| self.uring.unregister(file));
        }
    }

    /// Closes what [`Self::open`] opened; false if requests still use it.
    pub(super) fn close(&mut self, queue: &Attached) -> bool {
        if !self.uring.close_source(queue.source) {
            return false;
        }
        self.uring.unregister(queue.file);
        self.unregister_senders(&queue.kind);
        true
    }
}
