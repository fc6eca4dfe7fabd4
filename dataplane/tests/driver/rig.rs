//! A driver with its pool and counters, and queues for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ::tun::AbstractDevice;
use crossbeam::utils::CachePadded;
use ringlay_dataplane::batch::{BATCH_SIZE, Batch};
use ringlay_dataplane::counters::{QueueCounters, WorkerCounters};
use ringlay_dataplane::driver::epoll::EpollDriver;
use ringlay_dataplane::driver::uring::UringDriver;
use ringlay_dataplane::driver::xdp::XdpDriver;
use ringlay_dataplane::driver::{Driver, DriverConfig, DriverKind, Queue, QueueId};
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::endpoint::Endpoint;
use ringlay_dataplane::frame::Frame;
use ringlay_dataplane::id::{PortId, UnderlayId};
use ringlay_dataplane::mempool::{Mempool, SMALL_FRAMES};
use ringlay_dataplane::port::tun::{self, Life, TunConfig, TunDevice, TunOffloads};
use ringlay_dataplane::port::underlay::{self, UnderlayConfig, UnderlayQueue, UnderlaySockets};
use ringlay_dataplane::sys::eventfd::Waker;
use ringlay_encap::{Encapsulation, UdpChecksum};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Frames of a rig's pool.
pub(crate) const FRAMES: u32 = 1024;

/// One worker's driver, without the worker.
pub(crate) struct Rig {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) pool: Mempool,
    pub(crate) counters: Arc<CachePadded<WorkerCounters>>,
    pub(crate) waker: Waker,
    batch: Batch,
}

impl Rig {
    pub(crate) fn new(kind: DriverKind) -> Self {
        Self::with(kind, FRAMES, DriverConfig::default())
    }

    pub(crate) fn with(kind: DriverKind, frames: u32, config: DriverConfig) -> Self {
        let pool = Mempool::new(frames).unwrap();
        let counters = Arc::new(WorkerCounters::new());
        let waker = Waker::new().unwrap();
        let driver: Box<dyn Driver> = match kind {
            DriverKind::IoUring => {
                let driver = UringDriver::new(config, pool.clone(), counters.clone(), &waker);
                let driver = driver.expect("these tests need io_uring");
                Box::new(XdpDriver::new(driver, pool.clone(), counters.clone()))
            }
            DriverKind::Epoll => {
                let driver = EpollDriver::new(config, pool.clone(), counters.clone(), &waker);
                let driver = driver.unwrap();
                Box::new(XdpDriver::new(driver, pool.clone(), counters.clone()))
            }
        };
        Self {
            driver,
            pool,
            counters,
            waker,
            batch: Batch::new(),
        }
    }

    pub(crate) fn attach(&mut self, queue: Queue) -> (QueueId, Arc<QueueCounters>) {
        let counters = Arc::new(QueueCounters::default());
        (
            self.driver.attach(queue, counters.clone()).unwrap(),
            counters,
        )
    }

    /// A frame with `data`, to be sent to `remote`.
    pub(crate) fn frame(&self, data: &[u8], remote: SocketAddr) -> Frame {
        let mut frame = self.pool.copy_of(data).expect("the pool has frames");
        frame.meta.remote = remote;
        frame
    }

    /// Frames that are there without waiting.
    pub(crate) fn poll(&mut self) -> Vec<Frame> {
        self.driver.receive(&mut self.batch);
        assert!(self.batch.len() <= BATCH_SIZE);
        self.batch.drain().collect()
    }

    /// The next frames, at least one.
    pub(crate) fn next(&mut self) -> Vec<Frame> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let frames = self.poll();
            if !frames.is_empty() {
                return frames;
            }
            assert!(std::time::Instant::now() < deadline, "nothing arrives");
            self.driver.wait(Some(Duration::from_millis(100))).unwrap();
        }
    }

    /// The next `count` frames.
    pub(crate) fn collect(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.extend(self.next());
        }
        assert_eq!(frames.len(), count);
        frames
    }

    /// The next frame that the kernel did not make by itself: none other comes with it.
    pub(crate) fn next_of(&mut self, is_ours: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let mut frames = self.next();
            frames.retain(&is_ours);
            if let Some(frame) = frames.pop() {
                assert!(frames.is_empty(), "more than one packet");
                return frame;
            }
        }
    }

    /// Fails unless it waits as long as it is told, and does little besides.
    pub(crate) fn assert_waits(&mut self) {
        let before = self.counters.syscalls.value();
        for _ in 0..5 {
            self.driver.wait(Some(Duration::from_millis(10))).unwrap();
            assert!(self.poll().is_empty());
        }
        let calls = self.counters.syscalls.value() - before;
        assert!(calls <= 10, "{calls} system calls while nothing happens");
    }

    /// Waits until `count` frames were sent or dropped: io_uring may report a
    /// refusal only when the driver enters the kernel again.
    pub(crate) fn settle(&mut self, count: u64) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.counters.sent.value() + self.counters.total_drops() < count {
            assert!(
                std::time::Instant::now() < deadline,
                "frames are unaccounted for"
            );
            assert!(self.poll().is_empty());
        }
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.counters.drops(reason)
    }

    /// All frames are back in the pool.
    pub(crate) fn assert_pool_is_full(&self, frames: u32) {
        let available = (self.pool.available(), self.pool.available_small());
        assert_eq!(available, (frames as usize, SMALL_FRAMES as usize));
    }
}

/// An address of this host's loopback device that nobody else uses.
pub(crate) fn private_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from((Ipv4Addr::new(127, 1 + next, high, low), 5789))
}

/// A tunnel endpoint over UDP at `local` for one worker with `senders` sockets.
pub(crate) fn endpoint(local: SocketAddr, senders: usize, gro: bool) -> UnderlayQueue {
    let sockets = bind(local, Encapsulation::Vxlan, |config| {
        (config.senders, config.gro) = (senders, gro);
    });
    { sockets }.queues.remove(0)
}

/// The same with one socket, and this way with checksums.
pub(crate) fn endpoint_with(local: SocketAddr, checksum: UdpChecksum) -> UnderlayQueue {
    let sockets = bind(local, Encapsulation::Vxlan, |config| {
        config.endpoint.checksum = checksum;
    });
    { sockets }.queues.remove(0)
}

/// The sockets of a tunnel endpoint right above IP, for each worker.
pub(crate) fn raw_endpoint(
    local: SocketAddr,
    encapsulation: Encapsulation,
    workers: usize,
) -> Vec<UnderlayQueue> {
    bind(local, encapsulation, |config| config.workers = workers).queues
}

/// The sockets of a tunnel endpoint for one worker, unless `adjust` wants something else.
pub(crate) fn bind(
    local: SocketAddr,
    encapsulation: Encapsulation,
    adjust: impl FnOnce(&mut UnderlayConfig),
) -> UnderlaySockets {
    let mut config = UnderlayConfig {
        endpoint: Endpoint {
            checksum: UdpChecksum::On,
            local,
            encapsulation,
        },
        workers: 1,
        senders: 1,
        dont_fragment: false,
        gro: true,
    };
    adjust(&mut config);
    underlay::bind(&config).unwrap()
}

pub(crate) fn underlay(id: u16, queue: UnderlayQueue) -> Queue {
    queue.into_queues(UnderlayId(id)).remove(0)
}

/// The address of a TUN device's own host, and one behind the device.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// A TUN device in this thread's namespace with the address [`HERE`].
pub(crate) fn tun_device(queues: usize, mtu: u32, offloads: TunOffloads) -> TunDevice {
    let name = "rl%d".to_owned();
    let config = TunConfig {
        name,
        netns: None,
        queues,
        mtu,
        offloads,
        life: Life::Queues,
    };
    let device = tun::open(&config).expect("these tests need root and /dev/net/tun");
    let mut adopted = ::tun::Configuration::default();
    adopted
        .raw_fd(device.queues[0].as_raw_fd())
        .close_fd_on_drop(false)
        .tun_name(&device.name);
    let mut adopted = ::tun::create(&adopted).unwrap();
    adopted.set_address(HERE.into()).unwrap();
    adopted
        .set_netmask(Ipv4Addr::new(255, 255, 255, 0).into())
        .unwrap();
    device
}

pub(crate) fn port(id: u16, device: &mut TunDevice) -> Queue {
    Queue::Tun {
        port: PortId(id),
        fd: device.queues.remove(0),
    }
}

/// `len` bytes that differ from those of any other `seed`.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Sizes that a queue carries: every small one, some of the others, and `largest`.
pub(crate) fn sizes(largest: usize) -> impl Iterator<Item = usize> {
    (1..=260)
        .chain((260..=9_000).step_by(97))
        .chain([9_000, 32_768, 60_000, largest])
}
