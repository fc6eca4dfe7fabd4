//! What the driver knows of an attached queue.

use std::io;
use std::sync::Arc;

use ringlay_encap::ip::IpVersion;

use crate::counters::QueueCounters;
use crate::driver::errors;
use crate::driver::packets::PacketSender;
use crate::driver::vnet::Device;
use crate::drop_reason::DropReason;
use crate::frame::Ingress;
use crate::id::UnderlayId;
use crate::sys::uring::{FileId, SourceId, Uring};

#[derive(Debug)]
pub(super) struct Attached {
    pub(super) kind: Kind,
    pub(super) counters: Arc<QueueCounters>,
    pub(super) source: SourceId,
    /// The descriptor that frames come in by.
    pub(super) file: FileId,
    /// Its frames in `arrived`. With the slots that are lent they make up the
    /// queue's share of the pool.
    pub(super) waiting: usize,
    /// Of the frames that came in.
    pub(super) lengths: Lengths,
    /// Nothing more is to be received.
    pub(super) gone: bool,
    /// Errors in a row.
    pub(super) failures: u32,
    /// Frames handed over and not yet reported as sent or refused.
    pub(super) in_flight: u32,
    /// Whether it is in the driver's list of needy queues.
    pub(super) needy: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Device(Device),
    Underlay {
        id: UnderlayId,
        senders: Senders,
    },
    Raw {
        id: UnderlayId,
        version: IpVersion,
        sender: PacketSender,
    },
}

/// The UDP sockets that frames leave by.
#[derive(Debug)]
pub(super) enum Senders {
    /// By the ring, trains as a whole.
    Ring(Vec<FileId>),
    /// Packet by packet.
    Packets(Vec<PacketSender>),
}

/// One of them.
pub(super) enum Chosen<'a> {
    Ring(FileId),
    Packets(&'a mut PacketSender),
}

impl Attached {
    /// Asks the kernel what found no room.
    pub(super) fn count_missed(&self, uring: &Uring) {
        if let Kind::Device(device) = self.kind
            && let Some(fd) = uring.file(self.file)
        {
            device.count_missed(fd, &self.counters);
        }
    }

    /// Takes note that the receiving ended with this error; returns why a packet was lost by it, if
    /// one was.
    pub(super) fn ended(&mut self, errno: i32) -> Option<DropReason> {
        if matches!(errno, libc::ENOBUFS | libc::ECANCELED) {
            return None;
        }
        if let Kind::Device(device) = self.kind {
            if device.loses_packet(errno) {
                return Some(DropReason::RxTruncated);
            }
            if device.is_quiet(errno) {
                return None;
            }
        }
        self.failures += 1;
        // Zero is the end of a file, which no live queue has.
        if errno == 0 || errors::is_gone(errno) || self.failures >= errors::MAX_FAILURES {
            self.gone = true;
            let error = io::Error::from_raw_os_error(errno);
            let queue = self.kind.label();
            tracing::warn!(queue, %error, "queue receives nothing any more");
        }
        None
    }
}

impl Senders {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ring(files) => files.len(),
            Self::Packets(senders) => senders.len(),
        }
    }

    #[inline]
    pub(super) fn choose(&mut self, index: usize) -> Option<Chosen<'_>> {
        match self {
            Self::Ring(files) => files.get(index).copied().map(Chosen::Ring),
            Self::Packets(senders) => senders.get_mut(index).map(Chosen::Packets),
        }
    }
}

impl Kind {
    pub(super) fn label(&self) -> String {
        match self {
            Self::Device(device) => device.to_string(),
            Self::Underlay { id, .. } | Self::Raw { id, .. } => format!("underlay {id}"),
        }
    }

    #[inline]
    pub(super) fn ingress(&self) -> Ingress {
        match self {
            Self::Device(device) => device.ingress(),
            Self::Underlay { id, .. } | Self::Raw { id, .. } => Ingress::Underlay(*id),
        }
    }

    pub(super) fn drop_reason(&self, errno: i32) -> DropReason {
        match self {
            Self::Device(device) => device.drop_reason(errno),
            Self::Underlay { .. } | Self::Raw { .. } => errors::underlay_drop_reason(errno),
        }
    }
}

/// How long frames are of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths {
    /// A moving average in bytes, times [`Self::WEIGHT`].
    scaled: usize,
}

impl Lengths {
    /// Frames that make up most of the average.
    const WEIGHT: usize = 8;

    /// Frames that are lent, however long they are: a kernel that has to wait for one stops
    /// to deliver, and must be told to go on.
    const FEWEST: usize = 8;

    /// The same where very many queues share the pool, most of which are idle.
    pub(super) const FEWEST_SHARED: usize = 2;

    #[inline]
    pub(super) fn add(&mut self, len: usize) {
        self.scaled += len;
        self.scaled -= self.scaled / (Self::WEIGHT + 1);
    }

    /// How many frames fill `bytes`. Few while nothing has come in yet: most queues of many are
    /// idle.
    #[inline]
    pub(super) fn fitting(&self, bytes: usize) -> usize {
        if self.scaled == 0 {
            return Self::FEWEST;
        }
        (bytes / (self.scaled / Self::WEIGHT).max(1)).max(Self::FEWEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_long_frames_fit_and_many_short_ones() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.fitting(1 << 19), 8, "nothing came yet");
        (0..100).for_each(|_| lengths.add(65_536));
        assert_eq!(lengths.fitting(1 << 19), 8);
        (0..100).for_each(|_| lengths.add(100));
        assert!(lengths.fitting(1 << 19) > 5000);
    }

    #[test]
    fn the_average_follows_within_a_few_frames() {
        let mut lengths = Lengths::default();
        (0..20).for_each(|_| lengths.add(1500));
        let few = lengths.fitting(1 << 19);
        assert!((300..500).contains(&few), "{few}");
        assert_eq!(lengths.fitting(1), Lengths::FEWEST);
    }
}
