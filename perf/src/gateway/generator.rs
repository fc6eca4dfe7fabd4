//! Sends frames by AF_XDP sockets, at a rate or as fast as they go, from one thread.
//!
//! The kernel copies each frame once and hands it to the veth's other end within the system call,
//! on the CPU of this thread. What becomes of the frames is for a sink to say.

use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::{LabError, placement};
use ringlay_dataplane::sys::arena::{Arena, Slot};
use ringlay_dataplane::sys::link;
use ringlay_dataplane::sys::xdp::{self, CHUNK, Copying, XdpConfig, XdpSocket};

use super::bucket::Bucket;
use super::frame::{Template, mark};

/// Frames to send by a device.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    /// The host that sends.
    pub(super) namespace: Namespace,
    /// By which device.
    pub(super) device: &'static str,
    /// What.
    pub(super) template: Template,
}

/// How to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Frames a second, all streams together; as fast as they go where there is none.
    pub(super) rate: Option<f64>,
    /// How long to send before anything counts.
    pub(super) warm_up: Duration,
    /// How long to send after that.
    pub(super) duration: Duration,
    /// The number of the measurement, in the marks of the frames that count.
    pub(super) number: u32,
}

/// What was sent, after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sent {
    /// Frames that the kernel took.
    pub(super) frames: u64,
    /// How long that took.
    pub(super) seconds: f64,
    /// How long of it nothing was due: time that the thread spun away.
    pub(super) idle_seconds: f64,
}

/// A thread that sends.
#[derive(Debug)]
pub(super) struct Sending {
    thread: JoinHandle<Result<Sent, LabError>>,
    begins: mpsc::Receiver<()>,
}

/// Starts to send all streams in turn, to the hosts `far`, from a thread on `cpu`.
pub(super) fn start(
    cpu: Option<usize>,
    streams: Vec<Stream>,
    far: Arc<[Ipv4Addr]>,
    pace: Pace,
) -> Sending {
    let (ready, begins) = mpsc::channel();
    let thread = thread::spawn(move || {
        cpu.map_or(Ok(()), placement::pin)?;
        let sources: Result<Vec<_>, _> = streams.into_iter().map(Source::open).collect();
        let mut generator = Generator {
            sources: sources?,
            far,
            sent: 0,
        };
        // Whoever started it may have gone.
        let _ = ready.send(());
        generator.run(&pace)
    });
    Sending { thread, begins }
}

impl Sending {
    /// Waits until the warm-up begins, or it has failed.
    pub(super) fn wait_for_begin(&self) {
        // An error means that it ended before.
        let _ = self.begins.recv();
    }

    /// Waits until everything is sent.
    ///
    /// # Errors
    /// If a socket cannot be had, or its device went.
    pub(super) fn finish(self) -> Result<Sent, LabError> {
        let result = self.thread.join();
        result.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
}

struct Generator {
    sources: Vec<Source>,
    far: Arc<[Ipv4Addr]>,
    sent: u64,
}

impl Generator {
    fn run(&mut self, pace: &Pace) -> Result<Sent, LabError> {
        let start = Instant::now();
        let mut bucket = Bucket::new(pace.rate, BURST);
        self.send_until(start, pace.warm_up, &mut bucket, mark(NOT_COUNTED))?;
        let (begin, before) = (start.elapsed(), self.sent);
        let end = begin + pace.duration;
        let idle = self.send_until(start, end, &mut bucket, mark(pace.number))?;
        let seconds = (start.elapsed() - begin).as_secs_f64();
        for source in &mut self.sources {
            source.finish()?;
        }
        Ok(Sent {
            frames: self.sent - before,
            seconds,
            idle_seconds: idle.as_secs_f64(),
        })
    }

    /// Sends until `end` has passed since the start; returns how long nothing was due.
    fn send_until(
        &mut self,
        start: Instant,
        end: Duration,
        bucket: &mut Bucket,
        mark: [u8; 8],
    ) -> Result<Duration, LabError> {
        let mut idle = Duration::ZERO;
        let mut idle_since = None;
        let mut turn = 0;
        loop {
            let now = start.elapsed();
            let due = if now < end { bucket.take(now) } else { 0 };
            if due > 0 || now >= end {
                idle += idle_since
                    .take()
                    .map_or(Duration::ZERO, |since| now - since);
            }
            if now >= end {
                return Ok(idle);
            }
            if due == 0 {
                idle_since.get_or_insert(now);
                std::hint::spin_loop();
                continue;
            }
            turn = (turn + 1) % self.sources.len();
            self.sent += self.sources[turn].send(due, &self.far, self.sent, mark)?;
        }
    }
}

/// An AF_XDP socket whose slots have the template in them already.
struct Source {
    socket: XdpSocket,
    arena: Rc<Arena>,
    template: Template,
    device: &'static str,
}

impl Source {
    fn open(stream: Stream) -> Result<Self, LabError> {
        let Stream {
            namespace,
            device,
            template,
        } = stream;
        let arena = Arena::new(SLOTS, CHUNK).map_err(LabError::io("map memory"))?;
        let socket = open(&namespace, device, &arena)?;
        let slots: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        for mut slot in slots {
            let start = start_in(&slot);
            template.write(&mut slot.bytes_mut()[start..start + template.len()]);
        }
        Ok(Self {
            socket,
            arena,
            template,
            device,
        })
    }

    /// Sends up to `due` frames, which are numbered from `number` on, and says how many.
    fn send(
        &mut self,
        due: usize,
        far: &[Ipv4Addr],
        number: u64,
        mark: [u8; 8],
    ) -> Result<u64, LabError> {
        self.socket.complete();
        let len = self.template.len();
        let mut place = (number % far.len() as u64) as usize;
        let mut sent = 0;
        while sent < due as u64
            && let Some(mut slot) = self.arena.take()
        {
            let start = start_in(&slot);
            let frame = &mut slot.bytes_mut()[start..start + len];
            self.template.stamp(frame, far[place], mark, number + sent);
            let refused = self.socket.send(slot, start, len);
            debug_assert!(refused.is_ok(), "there are no more slots than entries");
            sent += 1;
            place = (place + 1) % far.len();
        }
        self.advance()?;
        Ok(sent)
    }

    /// Waits until the kernel has taken everything.
    fn finish(&mut self) -> Result<(), LabError> {
        let deadline = Instant::now() + PATIENCE;
        while self.socket.has_backlog() && Instant::now() < deadline {
            self.socket.complete();
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), LabError> {
        let advanced = self.socket.advance().map(drop);
        advanced.map_err(|error| failed(self.device)(error))
    }
}

/// Where in a slot its frame is: elsewhere in each, so that they do not contend for the same lines of
/// the cache.
fn start_in(slot: &Slot) -> usize {
    slot.bytes().as_ptr().addr() / CHUNK % PLACES * CACHE_LINE
}

/// A socket for a device's only queue. The kernel frees that of the socket before a moment after its
/// end.
fn open(namespace: &Namespace, device: &str, arena: &Rc<Arena>) -> Result<XdpSocket, LabError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open = || -> io::Result<_> { Ok((xdp::open()?, link::index(device)?)) };
        let (socket, index) = namespace.run(open)?.map_err(failed(device))?;
        let config = XdpConfig {
            device: index,
            queue: 0,
            copying: Some(Copying::Copy),
            entries: SLOTS,
            lent: 0,
        };
        match XdpSocket::new(socket, Rc::clone(arena), config) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                thread::sleep(RETRY_INTERVAL);
            }
            result => return result.map_err(failed(device)),
        }
    }
}

fn failed(device: &str) -> impl FnOnce(io::Error) -> LabError {
    LabError::io(format!("send by an AF_XDP socket on {device}"))
}

/// Frames sent at once: as many as the kernel takes in one system call.
const BURST: usize = 32;
/// Frames that may be on their way: few enough to stay in the cache.
const SLOTS: u32 = 256;
/// Places for a frame in a slot; it ends in it from each.
const PLACES: usize = 32;
const CACHE_LINE: usize = 64;
/// The number of frames that warm up.
const NOT_COUNTED: u32 = u32::MAX;
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
