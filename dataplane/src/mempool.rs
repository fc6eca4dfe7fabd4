//! Per-worker frame memory, of two sizes.
//!
//! A large frame has room for one super-frame and for the outer headers in front of it, a small one
//! for what crosses a link whole, and the same headers: encapsulation never copies payload. Small
//! frames lie together, in the memory that AF_XDP sockets share with the kernel, which pins all of it.
//! A pool belongs to one thread; frames return to it when they are dropped.

use std::io;
use std::rc::Rc;

use crate::frame::Frame;
use crate::sys::arena::Arena;
use crate::sys::xdp::CHUNK;

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

/// Bytes of a packet that a small frame has room for behind [`HEADROOM`].
pub const SMALL_CAPACITY: usize = CHUNK - HEADROOM;

/// Small frames of a pool: two queues lend two thousand each, and as many are on their way.
pub const SMALL_FRAMES: u32 = 8192;

/// The frames of one worker.
#[derive(Clone, Debug)]
pub struct Mempool {
    large: Rc<Arena>,
    small: Rc<Arena>,
}

impl Mempool {
    /// Reserves address space for `frames` large frames, and for [`SMALL_FRAMES`].
    ///
    /// # Errors
    ///
    /// The error of the underlying memory mapping.
    pub fn new(frames: u32) -> io::Result<Self> {
        Ok(Self {
            large: Arena::new(frames, STRIDE)?,
            small: Arena::new(SMALL_FRAMES, CHUNK)?,
        })
    }

    /// Takes an empty large frame whose data starts at [`HEADROOM`]; `None` when there is none left.
    #[inline]
    pub fn allocate(&self) -> Option<Frame> {
        self.large.take().map(|slot| Frame::new(slot, HEADROOM))
    }

    /// Takes an empty small frame whose data starts at [`HEADROOM`]; `None` when there is none left.
    #[inline]
    pub fn allocate_small(&self) -> Option<Frame> {
        self.small.take().map(|slot| Frame::new(slot, HEADROOM))
    }

    /// Takes an empty frame for a packet of `len` bytes, up to [`CAPACITY`]: a small one if that is
    /// enough and there is one.
    #[inline]
    pub fn allocate_for(&self, len: usize) -> Option<Frame> {
        let small = (len <= SMALL_CAPACITY).then(|| self.allocate_small());
        small.flatten().or_else(|| self.allocate())
    }

    /// The same packet in a small frame, to be sent as it is: the one it is in, or a copy, with less
    /// in front than [`HEADROOM`] if it is longer than [`SMALL_CAPACITY`].
    ///
    /// # Errors
    ///
    /// The frame, when it is longer than [`CHUNK`], or there is no small one left.
    #[inline]
    pub(crate) fn shrink(&self, frame: Frame) -> Result<Frame, Frame> {
        if frame.is_of(&self.small) {
            return Ok(frame);
        }
        let start = CHUNK.checked_sub(frame.len());
        match start.and_then(|start| Some((start, self.small.take()?))) {
            Some((start, slot)) => Ok(frame.copy_to(Frame::new(slot, start.min(HEADROOM)))),
            None => Err(frame),
        }
    }

    /// Moves a packet from a small frame to a large one; false when it is in such already, or none
    /// is left.
    pub(crate) fn enlarge(&self, frame: &mut Frame) -> bool {
        let large = frame.is_of(&self.small).then(|| self.allocate()).flatten();
        large.is_some_and(|large| {
            *frame = frame.copy_to(large);
            true
        })
    }

    /// Takes a large frame and copies `data` into it; `None` when the pool is exhausted
    /// or `data` is longer than [`CAPACITY`].
    pub fn copy_of(&self, data: &[u8]) -> Option<Frame> {
        let frame = (data.len() <= CAPACITY).then(|| self.allocate());
        frame.flatten().map(|frame| filled(frame, data))
    }

    /// Takes a small frame and copies `data` into it; `None` when there is none left, or `data` is
    /// longer than [`SMALL_CAPACITY`].
    pub fn small_copy_of(&self, data: &[u8]) -> Option<Frame> {
        let frame = (data.len() <= SMALL_CAPACITY).then(|| self.allocate_small());
        frame.flatten().map(|frame| filled(frame, data))
    }

    /// The small frames' memory, for drivers that show the kernel all of it.
    pub(crate) fn shared(&self) -> &Rc<Arena> {
        &self.small
    }

    /// Large frames that nobody owns.
    pub fn available(&self) -> usize {
        self.large.available()
    }

    /// Small frames that nobody owns.
    pub fn available_small(&self) -> usize {
        self.small.available()
    }
}

fn filled(mut frame: Frame, data: &[u8]) -> Frame {
    frame.set_len(data.len());
    frame.data_mut().copy_from_slice(data);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_moves_between_sizes_as_long_as_it_fits() {
        let pool = Mempool::new(1).unwrap();
        let mut frame = pool.copy_of(&[7; SMALL_CAPACITY]).unwrap();
        frame.meta.flow_hash = 9;
        let small = pool.shrink(frame).unwrap();
        assert_eq!(pool.available(), 1);
        assert_eq!((small.headroom(), small.tailroom()), (HEADROOM, 0));
        let place = small.data().as_ptr();
        let small = pool.shrink(small).unwrap();
        assert_eq!(small.data().as_ptr(), place, "it is in one already");
        let mut large = small;
        assert!(pool.enlarge(&mut large) && !pool.enlarge(&mut large));
        assert_eq!(pool.available_small(), SMALL_FRAMES as usize);
        assert_eq!(large.data(), [7; SMALL_CAPACITY]);
        assert_eq!((large.meta.flow_hash, large.headroom()), (9, HEADROOM));
        drop(large);
        let long = pool.copy_of(&[1; CHUNK + 1]).unwrap();
        let mut long = pool.shrink(long).unwrap_err();
        assert_eq!(long.len(), CHUNK + 1);
        assert_eq!(pool.available_small(), SMALL_FRAMES as usize);
        long.truncate(CHUNK);
        let longest = pool.shrink(long).unwrap();
        assert_eq!((longest.headroom(), longest.tailroom()), (0, 0));
        assert_eq!(longest.data(), [1; CHUNK]);
    }

    #[test]
    fn large_frames_serve_where_small_ones_do_not() {
        let pool = Mempool::new(2).unwrap();
        let room = |len| pool.allocate_for(len).unwrap().tailroom();
        assert_eq!(room(SMALL_CAPACITY), SMALL_CAPACITY);
        assert!(room(SMALL_CAPACITY + 1) >= CAPACITY);
        let _all: Vec<_> = std::iter::from_fn(|| pool.allocate_small()).collect();
        assert!(room(1) >= CAPACITY);
        let frame = pool.copy_of(b"packet").unwrap();
        assert_eq!(pool.shrink(frame).unwrap_err().data(), b"packet");
    }
}
