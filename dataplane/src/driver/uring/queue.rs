//! What the driver knows of an attached queue.

use std::sync::Arc;

use crate::counters::QueueCounters;
use crate::driver::errors;
use crate::driver::vnet::Device;
use crate::drop_reason::DropReason;
use crate::frame::Ingress;
use crate::id::UnderlayId;
use crate::sys::uring::{FileId, SourceId};

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
    /// Nothing more is to be received.
    pub(super) gone: bool,
    /// Errors in a row.
    pub(super) failures: u32,
    /// Frames handed over and not yet reported as sent or refused.
    pub(super) in_flight: u32,
}

#[derive(Debug)]
pub(super) enum Kind {
    Device(Device),
    Underlay {
        id: UnderlayId,
        senders: Vec<FileId>,
    },
}

impl Kind {
    pub(super) fn label(&self) -> String {
        match self {
            Self::Device(device) => device.to_string(),
            Self::Underlay { id, .. } => format!("underlay {id}"),
        }
    }

    #[inline]
    pub(super) fn ingress(&self) -> Ingress {
        match self {
            Self::Device(device) => device.ingress(),
            Self::Underlay { id, .. } => Ingress::Underlay(*id),
        }
    }

    pub(super) fn drop_reason(&self, errno: i32) -> DropReason {
        match self {
            Self::Device(device) => device.drop_reason(errno),
            Self::Underlay { .. } => errors::underlay_drop_reason(errno),
        }
    }
}
