//! `io_uring(7)` behind a safe interface.
//!
//! Memory is safe here because [`Uring`] owns everything that a request points to
//! (frames being sent with their headers, slots lent to receive into) from before
//! the request is queued until its last completion was seen. Dropping it cancels
//! all requests and waits for them first; memory that the kernel might still use
//! after that is leaked rather than freed.

mod buffers;
mod completion;
mod message;
mod ring;
mod slab;

pub mod probe;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{cqueue, opcode, squeue};

use crate::frame::Frame;
use crate::sys::arena::Slot;
use crate::sys::uring::buffers::BufferRing;
use crate::sys::uring::completion::Request;
use crate::sys::uring::ring::Ring;
use crate::sys::uring::slab::SendSlab;

pub use crate::sys::uring::completion::Completion;
pub use crate::sys::uring::message::PREFIX_LEN;

/// How often, and how long each time, to wait for cancelled requests to end.
const QUIESCE_ROUNDS: usize = 40;
const QUIESCE_WAIT: Duration = Duration::from_millis(50);

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct UringConfig {
    /// Entries of the submission ring.
    pub submissions: u32,
    /// Entries of the completion ring.
    pub completions: u32,
    /// Frames in flight.
    pub sends: u16,
    /// Registered descriptors.
    pub files: u32,
}

/// A registered descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(u32);

/// A descriptor that is received from continuously.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(u16);

/// How to receive from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveMode {
    /// `read(2)`, one packet each time.
    Read,
    /// `recvmsg(2)`. The payload follows [`PREFIX_LEN`] bytes after the offset.
    Message,
}

/// A ring, its registered descriptors, and all memory that its requests use.
#[derive(Debug)]
pub struct Uring {
    ring: Ring,
    files: Vec<Option<OwnedFd>>,
    sources: ManuallyDrop<Vec<Option<Source>>>,
    sends: ManuallyDrop<SendSlab>,
    /// Read by the kernel when a message source is armed.
    template: ManuallyDrop<Box<Template>>,
    /// The watched descriptor, and whether the request that watches it is active.
    watch: Option<(FileId, bool)>,
    /// The same of the descriptor that is watched while waiting.
    awaited: Option<(FileId, bool)>,
    closing: bool,
}

struct Template(libc::msghdr);

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

#[derive(Debug)]
struct Source {
    file: FileId,
    mode: ReceiveMode,
    tag: u16,
    offset: usize,
    buffers: BufferRing,
    /// Whether a request refers to the source.
    armed: bool,
}

impl Uring {
    /// A ring for this thread.
    ///
    /// # Errors
    ///
    /// `ENOSYS` or `EPERM` where io_uring is missing or forbidden, `EINVAL` where
    /// it is too old, `EMFILE` when there are to be more files than the process
    /// may have.
    pub fn new(config: UringConfig) -> io::Result<Self> {
        let ring = Ring::new(config.submissions, config.completions)?;
        ring.inner()
            .submitter()
            .register_files_sparse(config.files)?;
        Ok(Self {
            ring,
            files: (0..config.files).map(|_| None).collect(),
            sources: ManuallyDrop::new(Vec::new()),
            sends: ManuallyDrop::new(SendSlab::new(config.sends)),
            template: ManuallyDrop::new(Box::new(Template(message::template()))),
            watch: None,
            awaited: None,
            closing: false,
        })
    }

    /// Takes charge of a descriptor.
    ///
    /// # Errors
    ///
    /// `QuotaExceeded` when the table is full.
    pub fn register(&mut self, fd: OwnedFd) -> io::Result<FileId> {
        let index = self.files.iter().position(Option::is_none);
        let index = index.ok_or(io::ErrorKind::QuotaExceeded)?;
        let submitter = self.ring.inner().submitter();
        submitter.register_files_update(index as u32, &[fd.as_raw_fd()])?;
        self.files[index] = Some(fd);
        Ok(FileId(index as u32))
    }

    /// A descriptor that it has charge of.
    pub fn file(&self, file: FileId) -> Option<BorrowedFd<'_>> {
        let fd = self.files.get(file.0 as usize)?.as_ref()?;
        Some(fd.as_fd())
    }

    /// Closes a descriptor. Requests that use it keep it open until they end.
    pub fn unregister(&mut self, file: FileId) {
        if self
            .files
            .get_mut(file.0 as usize)
            .and_then(Option::take)
            .is_some()
        {
            // Cannot fail for an index inside the table; the file would stay open.
            let _ = self
                .ring
                .inner()
                .submitter()
                .register_files_update(file.0, &[-1]);
        }
    }

    /// Reports [`Completion::Woken`] each time that something writes to `fd`.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be registered.
    pub fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let file = self.register(fd.try_clone_to_owned()?)?;
        self.watch = Some((file, false));
        self.arm_watch()
    }

    /// Lets [`Self::watch_awaited`] watch `fd`.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be registered.
    pub fn set_awaited(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let file = self.register(fd.try_clone_to_owned()?)?;
        self.awaited = Some((file, false));
        Ok(())
    }

    /// Reports [`Completion::Woken`] once as soon as the awaited descriptor is readable. Unlike
    /// [`Self::watch`], this costs nothing while nobody asks for it.
    ///
    /// # Errors
    ///
    /// When the request cannot be queued.
    pub fn watch_awaited(&mut self) -> io::Result<()> {
        let Some((file, active @ false)) = &mut self.awaited else {
            return Ok(());
        };
        let entry = opcode::PollAdd::new(Fixed(file.0), libc::POLLIN as u32).build();
        // SAFETY: the request points to no memory.
        unsafe { self.ring.push(&entry.user_data(Request::Await.encode())) }?;
        *active = true;
        Ok(())
    }

    fn arm_watch(&mut self) -> io::Result<()> {
        let Some((file, active)) = &mut self.watch else {
            return Ok(());
        };
        let entry = opcode::PollAdd::new(Fixed(file.0), libc::POLLIN as u32)
            .multi(true)
            .build();
        // SAFETY: the request points to no memory.
        unsafe { self.ring.push(&entry.user_data(Request::Watch.encode())) }?;
        *active = true;
        Ok(())
    }

    /// Prepares to receive from `file` into slots lent with [`Self::lend`], at most
    /// `slots` (a power of two) at a time, from `offset` bytes into each on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses another buffer ring.
    pub fn open_source(
        &mut self,
        file: FileId,
        mode: ReceiveMode,
        slots: u16,
        offset: usize,
        tag: u16,
    ) -> io::Result<SourceId> {
        let vacant = self.sources.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.sources.len());
        let group = u16::try_from(index).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let buffers = BufferRing::new(&self.ring, group, slots, offset)?;
        if index == self.sources.len() {
            self.sources.push(None);
        }
        self.sources[index] = Some(Source {
            file,
            mode,
            tag,
            offset,
            buffers,
            armed: false,
        });
        Ok(SourceId(group))
    }

    /// Lends the kernel a slot for the source; gives it back if it has enough.
    ///
    /// # Errors
    ///
    /// The slot itself.
    #[inline]
    pub fn lend(&mut self, source: SourceId, slot: Slot) -> Result<(), Slot> {
        match self.source(source) {
            Some(source) => source.buffers.lend(slot),
            None => Err(slot),
        }
    }

    /// How many slots the kernel has of the source.
    pub fn lent(&mut self, source: SourceId) -> usize {
        self.source(source)
            .map_or(0, |source| source.buffers.lent())
    }

    /// Whether the source delivers, or has yet to report that it stopped.
    pub fn is_armed(&mut self, source: SourceId) -> bool {
        self.source(source).is_some_and(|source| source.armed)
    }

    /// Lets the source deliver until it reports that it stopped.
    ///
    /// # Errors
    ///
    /// When the request cannot be queued.
    pub fn arm(&mut self, id: SourceId) -> io::Result<()> {
        let template = &raw const self.template.0;
        let Some(Some(source)) = self.sources.get_mut(usize::from(id.0)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if source.armed {
            return Ok(());
        }
        let (file, group) = (Fixed(source.file.0), source.buffers.group());
        let entry = match source.mode {
            ReceiveMode::Read => read_multishot(file, group),
            ReceiveMode::Message => opcode::RecvMsgMulti::new(file, template, group).build(),
        };
        // SAFETY: the request writes to slots that `buffers.lent` owns and reads
        // the template. Both live until `drop`, and the source until it is closed,
        // which `armed` prevents while the request is active.
        unsafe {
            self.ring
                .push(&entry.user_data(Request::Receive(id.0).encode()))
        }?;
        source.armed = true;
        Ok(())
    }

    /// Asks an armed source to stop; it will report that it did.
    ///
    /// # Errors
    ///
    /// When the request cannot be queued.
    pub fn cancel(&mut self, source: SourceId) -> io::Result<()> {
        let target = CancelBuilder::user_data(Request::Receive(source.0).encode());
        self.push_cancel(target)
    }

    fn push_cancel(&mut self, target: CancelBuilder) -> io::Result<()> {
        let entry = opcode::AsyncCancel2::new(target).build();
        // SAFETY: the request points to no memory.
        unsafe { self.ring.push(&entry.user_data(Request::Cancel.encode())) }
    }

    /// Ends a source and returns its slots to their pool; false, and nothing is
    /// done, while it is armed.
    pub fn close_source(&mut self, id: SourceId) -> bool {
        let Some(slot) = self.sources.get_mut(usize::from(id.0)) else {
            return true;
        };
        let Some(source) = slot else { return true };
        if source.armed || source.buffers.unregister(&self.ring).is_err() {
            return false;
        }
        *slot = None;
        true
    }

    /// Queues a frame to be written to a file.
    ///
    /// The kernel refuses it rather than keep it waiting, so that frames are
    /// neither reordered nor handed to a kernel thread.
    ///
    /// # Errors
    ///
    /// The frame, when too many are in flight.
    #[inline]
    pub fn write(&mut self, file: FileId, frame: Frame, tag: u16) -> Result<(), Frame> {
        let index = self.sends.insert(frame, tag)?;
        let (data, len) = self.sends.data(index);
        let entry = opcode::Write::new(Fixed(file.0), data, len as u32)
            .rw_flags(libc::RWF_NOWAIT)
            .build();
        self.push_send(index, entry)
    }

    /// Queues a frame to be sent by a socket to its `meta.remote`, as a train of
    /// datagrams if it has a `segment_size`.
    ///
    /// # Errors
    ///
    /// The frame, when too many are in flight.
    #[inline]
    pub fn send(&mut self, socket: FileId, frame: Frame, tag: u16) -> Result<(), Frame> {
        let index = self.sends.insert(frame, tag)?;
        let entry = opcode::SendMsg::new(Fixed(socket.0), self.sends.message(index))
            .flags((libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u32)
            .build();
        self.push_send(index, entry)
    }

    #[inline]
    fn push_send(&mut self, index: u16, entry: squeue::Entry) -> Result<(), Frame> {
        // SAFETY: the request reads the frame and the header in the slab's entry,
        // which stay there until its only completion has been seen.
        let pushed = unsafe {
            self.ring
                .push(&entry.user_data(Request::Send(index).encode()))
        };
        match (pushed, &mut *self.sends) {
            (Ok(()), _) => Ok(()),
            (Err(_), sends) => match sends.take(index) {
                Some((frame, _)) => Err(frame),
                None => Ok(()),
            },
        }
    }

    /// Whether requests wait to be handed over.
    #[inline]
    pub fn has_queued(&mut self) -> bool {
        self.ring.queued() > 0
    }

    /// Whether the kernel has something to report that only [`Self::submit`] brings.
    #[inline]
    pub fn has_deferred(&mut self) -> bool {
        self.ring.has_deferred()
    }

    /// Whether [`Self::complete`] has something to return.
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        self.ring.has_completions()
    }

    /// Hands over what is queued.
    ///
    /// # Errors
    ///
    /// `EBUSY` when completions must be taken out first, `EAGAIN` when the kernel
    /// lacks memory.
    pub fn submit(&mut self) -> io::Result<()> {
        self.ring.submit()
    }

    /// Hands over what is queued and waits until there is something to report or
    /// `timeout` is over. May return early.
    ///
    /// # Errors
    ///
    /// As for [`Self::submit`].
    pub fn submit_and_wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ring.submit_and_wait(timeout)
    }

    /// System calls since this was last asked.
    pub fn take_system_calls(&mut self) -> u64 {
        self.ring.take_system_calls()
    }

    /// The next report of the kernel.
    #[inline]
    pub fn complete(&mut self) -> Option<Completion> {
        loop {
            let entry = self.ring.pop()?;
            let completion = match Request::decode(entry.user_data()) {
                Request::Receive(source) => self.received(source, &entry),
                Request::Send(index) => self.sends.take(index).map(|(frame, tag)| {
                    let result = usize::try_from(entry.result()).map_err(|_| -entry.result());
                    Completion::Sent { tag, frame, result }
                }),
                Request::Watch => self.woken(&entry),
                Request::Await => {
                    self.awaited = self.awaited.map(|(file, _)| (file, false));
                    Some(Completion::Woken)
                }
                Request::Cancel => None,
            };
            if completion.is_some() {
                return completion;
            }
        }
    }

    #[inline]
    fn received(&mut self, index: u16, entry: &cqueue::Entry) -> Option<Completion> {
        let source = self.sources.get_mut(usize::from(index))?.as_mut()?;
        let tag = source.tag;
        let id = cqueue::buffer_select(entry.flags());
        source.armed = cqueue::more(entry.flags());
        let slot = id.and_then(|id| source.buffers.take(id));
        match (slot, usize::try_from(entry.result())) {
            (Some(slot), Ok(len)) => Some(match source.mode {
                ReceiveMode::Read => Completion::Packet { tag, slot, len },
                ReceiveMode::Message => {
                    let datagram = message::parse(slot, source.offset, len, &self.template.0);
                    Completion::Datagram { tag, datagram }
                }
            }),
            (_, result) if !source.armed => {
                let errno = if result.is_ok() { 0 } else { -entry.result() };
                Some(Completion::Stopped { tag, errno })
            }
            _ => None,
        }
    }

    fn woken(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        if let Some((_, active)) = &mut self.watch {
            *active = cqueue::more(entry.flags());
            if !*active && !self.closing {
                // Fails only if the kernel lacks memory; then a wake-up is late
                // by as much as the worker's longest wait.
                let _ = self.arm_watch();
            }
        }
        Some(Completion::Woken)
    }

    #[inline]
    fn source(&mut self, id: SourceId) -> Option<&mut Source> {
        self.sources.get_mut(usize::from(id.0))?.as_mut()
    }

    /// Whether no request is active.
    fn is_idle(&self) -> bool {
        let mut watches = self.watch.iter().chain(&self.awaited);
        let watching = watches.any(|&(_, active)| active);
        let receiving = self.sources.iter().flatten().any(|source| source.armed);
        !watching && !receiving && self.sends.in_flight() == 0
    }

    /// Cancels all requests and waits until they have ended; false if some did not.
    fn quiesce(&mut self) -> bool {
        self.closing = true;
        for _ in 0..QUIESCE_ROUNDS {
            while self.complete().is_some() {}
            if self.is_idle() {
                return true;
            }
            let _ = self.push_cancel(CancelBuilder::any());
            let _ = self.submit_and_wait(Some(QUIESCE_WAIT));
        }
        false
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.quiesce() {
            tracing::error!("io_uring requests do not end; their memory is leaked");
            return;
        }
        // SAFETY: dropped nowhere else; no request refers to them any more.
        unsafe {
            ManuallyDrop::drop(&mut self.sources);
            ManuallyDrop::drop(&mut self.sends);
            ManuallyDrop::drop(&mut self.template);
        }
    }
}

/// A request to read from `file` again and again.
fn read_multishot(file: Fixed, group: u16) -> squeue::Entry {
    // `build` of io-uring 0.7.15 overwrites the flag that makes `file` an index into
    // the registered files; without it the kernel reads from the descriptor of that
    // number, whatever it is.
    let entry = opcode::ReadMulti::new(file, 0, group).build();
    entry.flags(squeue::Flags::FIXED_FILE)
}

#[cfg(test)]
mod tests;
