//! Frames on their way to the kernel, with the headers that point to them.

use crate::frame::Frame;
use crate::sys::cmsg::{self, CONTROL_LEN, ControlBytes};
use crate::sys::sockaddr::{self, SOCKADDR_LEN, SockaddrBytes};

/// Room for a fixed number of frames in flight. Entries never move, and one is
/// reused only after [`Self::take`].
pub(super) struct SendSlab {
    entries: Box<[Entry]>,
    free: Vec<u16>,
}

struct Entry {
    frame: Option<Frame>,
    tag: u16,
    header: libc::msghdr,
    vector: libc::iovec,
    name: SockaddrBytes,
    control: ControlBytes,
}

impl SendSlab {
    pub(super) fn new(capacity: u16) -> Self {
        Self {
            entries: (0..capacity).map(|_| Entry::new()).collect(),
            free: (0..capacity).rev().collect(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Takes charge of a frame; gives it back if all entries are in use.
    #[inline]
    pub(super) fn insert(&mut self, frame: Frame, tag: u16) -> Result<u16, Frame> {
        let Some(index) = self.free.pop() else {
            return Err(frame);
        };
        let entry = &mut self.entries[usize::from(index)];
        entry.frame = Some(frame);
        entry.tag = tag;
        Ok(index)
    }

    /// Address and length of the data of a frame in charge, valid until it is taken.
    #[inline]
    pub(super) fn data(&self, index: u16) -> (*const u8, usize) {
        let frame = self.entries[usize::from(index)].frame.as_ref();
        frame.map_or((std::ptr::null(), 0), |frame| {
            (frame.data().as_ptr(), frame.len())
        })
    }

    /// Address of a message header for a frame in charge, to its `meta.remote` and
    /// in segments of its `segment_size`; valid until the frame is taken.
    #[inline]
    pub(super) fn message(&mut self, index: u16) -> *const libc::msghdr {
        let (data, len) = self.data(index);
        let entry = &mut self.entries[usize::from(index)];
        let Some(frame) = &entry.frame else {
            return &raw const entry.header;
        };
        // The kernel does not write through the vector, although its type says so.
        entry.vector = libc::iovec {
            iov_base: data.cast_mut().cast(),
            iov_len: len,
        };
        let name_len = sockaddr::encode(&frame.meta.remote, &mut entry.name);
        let control_len = cmsg::encode(frame, &mut entry.control);
        entry.header.msg_name = (&raw mut entry.name).cast();
        entry.header.msg_namelen = name_len as libc::socklen_t;
        entry.header.msg_iov = &raw mut entry.vector;
        entry.header.msg_iovlen = 1;
        entry.header.msg_control = match control_len {
            0 => std::ptr::null_mut(),
            _ => (&raw mut entry.control).cast(),
        };
        entry.header.msg_controllen = control_len as _;
        &raw const entry.header
    }

    /// Ends the charge of a frame that the kernel is done with.
    #[inline]
    pub(super) fn take(&mut self, index: u16) -> Option<(Frame, u16)> {
        let entry = self.entries.get_mut(usize::from(index))?;
        let frame = entry.frame.take()?;
        self.free.push(index);
        Some((frame, entry.tag))
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            frame: None,
            tag: 0,
            // SAFETY: `msghdr` consists of integers and raw pointers, for which
            // zero is valid.
            header: unsafe { std::mem::zeroed() },
            vector: libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: 0,
            },
            name: [0; SOCKADDR_LEN],
            control: [0; CONTROL_LEN],
        }
    }
}

impl std::fmt::Debug for SendSlab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendSlab")
            .field("capacity", &self.entries.len())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
