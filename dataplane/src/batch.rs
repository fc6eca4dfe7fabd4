//! A vector of frames, the unit that drivers fill and nodes consume.

use crate::frame::Frame;

/// The most frames a driver puts into one batch. Large enough to amortise the
/// per-batch work (table pick-up, flush), small enough that the headers of a
/// batch stay in the first-level cache.
pub const BATCH_SIZE: usize = 64;

/// A bounded vector of frames. It never reallocates.
#[derive(Debug)]
pub struct Batch {
    frames: Vec<Frame>,
    limit: usize,
}

impl Batch {
    /// An empty batch with room for [`BATCH_SIZE`] frames.
    pub fn new() -> Self {
        Self::with_limit(BATCH_SIZE)
    }

    /// An empty batch with room for `limit` frames.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            frames: Vec::with_capacity(limit),
            limit,
        }
    }

    /// Adds a frame; gives it back when the batch is full.
    ///
    /// # Errors
    ///
    /// The frame itself.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.room() == 0 {
            return Err(frame);
        }
        self.frames.push(frame);
        Ok(())
    }

    /// How many more frames fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.limit - self.frames.len()
    }

    /// The number of frames.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes all frames out, oldest first.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = Frame> + '_ {
        self.frames.drain(..)
    }

    /// Lets go of the frames that `keep` does not want; the others stay in order.
    pub fn retain(&mut self, keep: impl FnMut(&mut Frame) -> bool) {
        self.frames.retain_mut(keep);
    }

    /// The frames, oldest first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter()
    }

    /// The frames side by side, oldest first.
    #[inline]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frames, oldest first, writable.
    #[inline]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Frame> {
        self.frames.iter_mut()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}
