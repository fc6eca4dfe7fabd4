//! Per-worker frame memory.
//!
//! Every frame has room for one super-frame and for the outer headers in front
//! of it, so that encapsulation never copies payload. A pool belongs to one
//! thread; frames return to it when they are dropped.

use std::io;
use std::rc::Rc;

use crate::frame::Frame;
use crate::sys::arena::Arena;

/// Free bytes in front of received data: the largest outer header stack
/// (Ethernet, IPv6, UDP, VXLAN, Ethernet: 84 bytes), the virtio-net header (24)
/// and what `recvmsg` puts before the payload, with room to spare.
pub const HEADROOM: usize = 256;

/// Bytes from the first usable byte to the end: the largest IP packet.
pub const CAPACITY: usize = 65_536 + 512;

/// Distance between slots. 17 cache lines beyond a multiple of the page size, so
/// that the headers of consecutive frames fall into different cache sets.
const STRIDE: usize = 69_632 + 17 * 64;
const _: () = assert!(STRIDE >= HEADROOM + CAPACITY && STRIDE % 4096 == 17 * 64);

/// The frames of one worker.
#[derive(Clone, Debug)]
pub struct Mempool {
    arena: Rc<Arena>,
}

impl Mempool {
    /// Reserves address space for `frames` frames.
    ///
    /// # Errors
    ///
    /// The error of the underlying memory mapping.
    pub fn new(frames: u32) -> io::Result<Self> {
        Ok(Self {
            arena: Arena::new(frames, STRIDE)?,
        })
    }

    /// Takes an empty frame whose data starts at [`HEADROOM`]; `None` when the
    /// pool is exhausted.
    #[inline]
    pub fn allocate(&self) -> Option<Frame> {
        self.arena.take().map(|slot| Frame::new(slot, HEADROOM))
    }

    /// Takes a frame and copies `data` into it; `None` when the pool is exhausted
    /// or `data` is longer than [`CAPACITY`].
    pub fn copy_of(&self, data: &[u8]) -> Option<Frame> {
        if data.len() > CAPACITY {
            return None;
        }
        let mut frame = self.allocate()?;
        frame.set_len(data.len());
        frame.data_mut().copy_from_slice(data);
        Some(frame)
    }

    /// The memory, for drivers that show the kernel all of it.
    pub(crate) fn arena(&self) -> &Rc<Arena> {
        &self.arena
    }

    /// Frames that nobody owns.
    pub fn available(&self) -> usize {
        self.arena.available()
    }
}
