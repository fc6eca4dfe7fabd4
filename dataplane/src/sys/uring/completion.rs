//! What the kernel reports, and how its reports are told apart.

use crate::frame::Frame;
use crate::sys::arena::Slot;
use crate::sys::datagram::Datagram;

/// What the kernel reports.
#[derive(Debug)]
pub enum Completion {
    /// A packet was read to the source's offset in `slot`.
    Packet {
        /// The source's tag.
        tag: u16,
        /// The memory.
        slot: Slot,
        /// Bytes read.
        len: usize,
    },
    /// A datagram was received; `None` if the kernel delivered it damaged.
    Datagram {
        /// The source's tag.
        tag: u16,
        /// The datagram.
        datagram: Option<Datagram>,
    },
    /// The source delivers nothing until it is armed again.
    Stopped {
        /// The source's tag.
        tag: u16,
        /// Why: `ENOBUFS` when it has used up its slots, zero at the end of a file.
        errno: i32,
    },
    /// A frame was sent or refused.
    Sent {
        /// The tag given with it.
        tag: u16,
        /// The frame.
        frame: Frame,
        /// Bytes sent, or the error number.
        result: Result<usize, i32>,
    },
    /// A watched descriptor became readable.
    Woken,
}

/// What a completion belongs to, as its user data.
#[derive(Clone, Copy)]
pub(super) enum Request {
    Receive(u16),
    Send(u16),
    Watch,
    Await,
    Cancel,
}

impl Request {
    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Receive(source) => 1 << 32 | u64::from(source),
            Self::Send(entry) => 2 << 32 | u64::from(entry),
            Self::Watch => 3 << 32,
            Self::Await => 4 << 32,
            Self::Cancel => 5 << 32,
        }
    }

    pub(super) fn decode(data: u64) -> Self {
        match data >> 32 {
            1 => Self::Receive(data as u16),
            2 => Self::Send(data as u16),
            3 => Self::Watch,
            4 => Self::Await,
            _ => Self::Cancel,
        }
    }
}
