//! One queue's IO: a system call for each packet of a device's queue, one for many
//! datagrams of an underlay socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use ringlay_encap::ip::IpVersion;

use crate::batch::{BATCH_SIZE, Batch};
use crate::counters::QueueCounters;
use crate::driver::ledger::Ledger;
use crate::driver::packets::PacketSender;
use crate::driver::vnet::Device;
use crate::driver::{datagram, errors, raw, sender_of};
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::UnderlayId;
use crate::mempool::Mempool;
use crate::sys::datagram::Datagram;
use crate::sys::mmsg::{ReceiveArray, SendArray};

/// What queues need to do their IO.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) pool: Mempool,
    pub(super) ledger: Ledger,
    pub(super) datagrams: ReceiveArray,
    pub(super) sends: SendArray,
}

#[derive(Debug)]
pub(super) struct Attached {
    pub(super) kind: Kind,
    pub(super) counters: Arc<QueueCounters>,
    pub(super) ready: bool,
    /// Errors in a row.
    pub(super) failures: u32,
}

#[derive(Debug)]
pub(super) enum Kind {
    Device {
        device: Device,
        file: File,
    },
    Underlay {
        id: UnderlayId,
        receiver: OwnedFd,
        senders: Vec<Sender>,
    },
    Raw {
        id: UnderlayId,
        version: IpVersion,
        receiver: OwnedFd,
        sender: PacketSender,
    },
}

/// A UDP socket and the frames to leave by it, in order.
#[derive(Debug)]
pub(super) enum Sender {
    Trains(TrainSender),
    Packets(PacketSender),
}

/// A socket by which each frame leaves as a whole.
#[derive(Debug)]
pub(super) struct TrainSender {
    socket: OwnedFd,
    pending: Vec<Frame>,
}

/// A socket to receive from, and what becomes of its datagrams.
struct Source<'a, U> {
    socket: &'a OwnedFd,
    ingress: Ingress,
    unwrap: U,
}

/// Why a queue's turn ended.
pub(super) enum Turn {
    /// It has had its share.
    Over,
    /// There is nothing more to receive.
    Empty,
    /// The mempool has no frame.
    Starved,
    /// The kernel refused.
    Failed(io::Error),
}

impl Kind {
    pub(super) fn label(&self) -> String {
        match self {
            Self::Device { device, .. } => device.to_string(),
            Self::Underlay { id, .. } | Self::Raw { id, .. } => format!("underlay {id}"),
        }
    }
}

impl Sender {
    pub(super) fn new(socket: OwnedFd, trains: bool) -> Self {
        if trains {
            Self::Trains(TrainSender {
                socket,
                pending: Vec::with_capacity(BATCH_SIZE),
            })
        } else {
            Self::Packets(PacketSender::new(socket))
        }
    }

    #[inline]
    fn send(&mut self, frame: Frame, io: &mut Io, counters: &QueueCounters) {
        match self {
            Self::Trains(sender) => {
                sender.pending.push(frame);
                if sender.pending.len() == BATCH_SIZE {
                    sender.flush(io, counters);
                }
            }
            Self::Packets(sender) => sender.send(frame, &mut io.sends, &io.ledger, counters),
        }
    }

    fn flush(&mut self, io: &mut Io, counters: &QueueCounters) {
        match self {
            Self::Trains(sender) => sender.flush(io, counters),
            Self::Packets(sender) => sender.flush(&mut io.sends, &io.ledger, counters),
        }
    }
}

impl TrainSender {
    fn flush(&mut self, io: &mut Io, counters: &QueueCounters) {
        let mut rest = &self.pending[..];
        while !rest.is_empty() {
            io.ledger.system_calls(1);
            let error = match io.sends.send(self.socket.as_fd(), rest) {
                Ok(sent) => {
                    rest[..sent]
                        .iter()
                        .for_each(|frame| io.ledger.sent(counters, frame, 0));
                    rest = &rest[sent..];
                    continue;
                }
                Err(error) => error.raw_os_error().unwrap_or(0),
            };
            // A full socket is full for all of them; any other error is about one.
            let refused = if errors::is_full(error) {
                rest.len()
            } else {
                1
            };
            if error != libc::EINTR {
                let reason = errors::underlay_drop_reason(error);
                let (refused, _) = rest.split_at(refused);
                refused
                    .iter()
                    .for_each(|frame| io.ledger.dropped(reason, frame));
                let refused = refused.len();
                rest = &rest[refused..];
            }
        }
        self.pending.clear();
    }
}

impl Attached {
    /// The descriptor that frames come in by.
    pub(super) fn receive_fd(&self) -> RawFd {
        match &self.kind {
            Kind::Device { file, .. } => file.as_raw_fd(),
            Kind::Underlay { receiver, .. } | Kind::Raw { receiver, .. } => receiver.as_raw_fd(),
        }
    }

    /// Asks the kernel what found no room.
    pub(super) fn count_missed(&self) {
        if let Kind::Device { device, file } = &self.kind {
            device.count_missed(file.as_fd(), &self.counters);
        }
    }

    /// Receives up to `share` frames.
    pub(super) fn receive(&mut self, io: &mut Io, share: usize, batch: &mut Batch) -> Turn {
        let counters = &self.counters;
        match &mut self.kind {
            Kind::Device { device, file } => (0..share)
                .find_map(|_| io.read_packet(file, *device, counters, batch))
                .unwrap_or(Turn::Over),
            Kind::Underlay { id, receiver, .. } => {
                let source = Source {
                    socket: receiver,
                    ingress: Ingress::Underlay(*id),
                    unwrap: datagram::into_frame,
                };
                io.receive_datagrams(source, counters, share, batch)
            }
            Kind::Raw {
                id,
                version,
                receiver,
                ..
            } => {
                let source = Source {
                    socket: receiver,
                    ingress: Ingress::Underlay(*id),
                    unwrap: |datagram| raw::into_frame(datagram, *version),
                };
                io.receive_datagrams(source, counters, share, batch)
            }
        }
    }

    pub(super) fn send(&mut self, io: &mut Io, frame: Frame) {
        match &mut self.kind {
            Kind::Device { device, file } => {
                io.write_packet(file, *device, &self.counters, frame);
            }
            Kind::Underlay { senders, .. } => {
                let choice = sender_of(&frame.meta, senders.len());
                let Some(sender) = senders.get_mut(choice) else {
                    return io.ledger.dropped(DropReason::UnderlayTxError, &frame);
                };
                sender.send(frame, io, &self.counters);
            }
            Kind::Raw { sender, .. } => {
                sender.send(frame, &mut io.sends, &io.ledger, &self.counters);
            }
        }
    }

    /// Sends what is pending on every socket.
    pub(super) fn flush(&mut self, io: &mut Io) {
        match &mut self.kind {
            Kind::Device { .. } => {}
            Kind::Underlay { senders, .. } => senders
                .iter_mut()
                .for_each(|sender| sender.flush(io, &self.counters)),
            Kind::Raw { sender, .. } => {
                sender.flush(&mut io.sends, &io.ledger, &self.counters);
            }
        }
    }
}

impl Io {
    /// Reads one packet into `batch`; says why if there was none.
    fn read_packet(
        &mut self,
        mut file: &File,
        device: Device,
        counters: &QueueCounters,
        batch: &mut Batch,
    ) -> Option<Turn> {
        let Some(mut slot) = self.pool.allocate().map(Frame::into_slot) else {
            return Some(Turn::Starved);
        };
        self.ledger.system_calls(1);
        match file.read(&mut slot.bytes_mut()[device.read_offset()..]) {
            // Packets have a header at least: this is the end of a file.
            Ok(0) => return Some(Turn::Failed(io::Error::from_raw_os_error(libc::ENODEV))),
            Ok(len) => match device.unwrap(slot, len) {
                Ok(mut frame) => {
                    frame.meta.ingress = device.ingress();
                    self.ledger.received(counters, &frame);
                    let refused = batch.push(frame);
                    debug_assert!(refused.is_ok(), "a share is never more than the room");
                }
                Err(reason) => self.ledger.received_in_vain(reason),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(Turn::Empty),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => match error.raw_os_error().unwrap_or(0) {
                errno if device.loses_packet(errno) => {
                    self.ledger.received_in_vain(DropReason::RxTruncated);
                }
                errno if device.is_quiet(errno) => {}
                _ => return Some(Turn::Failed(error)),
            },
        }
        None
    }

    /// Receives up to `share` datagrams into `batch` with one system call.
    fn receive_datagrams(
        &mut self,
        source: Source<'_, impl Fn(Datagram) -> Result<Frame, DropReason>>,
        counters: &QueueCounters,
        share: usize,
        batch: &mut Batch,
    ) -> Turn {
        let pool = &self.pool;
        let room = self
            .datagrams
            .fill(share, || pool.allocate().map(Frame::into_slot));
        if room == 0 {
            return Turn::Starved;
        }
        self.ledger.system_calls(1);
        let received = self.datagrams.receive(source.socket.as_fd(), room);
        for datagram in (0..).map_while(|index| {
            let received = received.as_ref().is_ok_and(|&received| index < received);
            if received {
                self.datagrams.take(index)
            } else {
                None
            }
        }) {
            match (source.unwrap)(datagram) {
                Ok(mut frame) => {
                    frame.meta.ingress = source.ingress;
                    self.ledger.received(counters, &frame);
                    let refused = batch.push(frame);
                    debug_assert!(refused.is_ok(), "a share is never more than the room");
                }
                Err(reason) => self.ledger.received_in_vain(reason),
            }
        }
        if self.pool.available() < BATCH_SIZE {
            // Other queues and this node's own messages need memory too.
            self.datagrams.release();
        }
        match received {
            Ok(received) if received < room => Turn::Empty,
            Ok(_) => Turn::Over,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Turn::Empty,
                io::ErrorKind::Interrupted => Turn::Over,
                _ => Turn::Failed(error),
            },
        }
    }

    fn write_packet(
        &mut self,
        mut file: &File,
        device: Device,
        counters: &QueueCounters,
        mut frame: Frame,
    ) {
        if !device.wrap(&mut frame) {
            return self.ledger.dropped(device.drop_reason(0), &frame);
        }
        self.ledger.system_calls(1);
        let mut written = file.write(frame.data());
        while written
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
        {
            written = file.write(frame.data());
        }
        match written {
            Ok(_) => self.ledger.sent(counters, &frame, device.header_len()),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                self.ledger.dropped(device.drop_reason(errno), &frame);
            }
        }
    }
}
