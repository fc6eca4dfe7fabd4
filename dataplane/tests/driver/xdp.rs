//! Frames by AF_XDP, between the two ends of a veth pair.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_dataplane::counters::QueueCounters;
use ringlay_dataplane::driver::{DriverConfig, DriverKind, Owner, Queue, QueueId};
use ringlay_dataplane::drop_reason::DropReason;
use ringlay_dataplane::frame::{Frame, Ingress};
use ringlay_dataplane::id::{PortId, UnderlayId};
use ringlay_dataplane::port::xdp::{Selection, XdpProgram};
use ringlay_dataplane::sys::bpf::XdpMode;
use ringlay_dataplane::sys::{link, xdp};

use crate::allocations::assert_moves_without;
use crate::ip::ip;
use crate::rig::{FRAMES, Rig, endpoint, pattern, private_address, underlay};
use crate::veth::with_pair;

crate::scenarios!(
    frames_of_every_size_cross_in_both_modes,
    frames_leave_from_where_they_lie,
    a_wait_ends_when_a_frame_comes,
    queues_of_both_kinds_are_served_together,
    frames_wait_for_a_device_that_is_down,
    what_does_not_fit_is_dropped_by_name,
    what_the_kernel_drops_is_told_when_asked_for,
    a_detached_queue_is_free_and_returns_its_frames,
    a_device_that_is_gone_is_no_trouble,
    moving_frames_allocates_nothing,
);

/// For experiments (IEEE 802): nothing else is sent with it.
const HEADER: [u8; 14] = [0xff, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
const PATIENCE: Duration = Duration::from_secs(5);
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Attaches a device's only queue, with all that comes by it.
fn attach(
    rig: &mut Rig,
    id: u16,
    device: &str,
    mode: XdpMode,
) -> (QueueId, Arc<QueueCounters>, XdpProgram) {
    let device = link::index(device).unwrap();
    let program = XdpProgram::attach(device, 1, mode, &Selection::All).unwrap();
    let counters = Arc::new(QueueCounters::default());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let socket = xdp::open().expect("these tests need AF_XDP");
        let copy = socket.try_clone().unwrap();
        let queue = Queue::Xdp {
            owner: Owner::Port(PortId(id)),
            socket,
            device,
            queue: 0,
            added: false,
            copying: None,
        };
        match rig.driver.attach(queue, counters.clone()) {
            Ok(queue) => {
                program.lead(0, copy.as_fd()).unwrap();
                return (queue, counters, program);
            }
            // The kernel takes its time to free a queue.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                assert!(Instant::now() < deadline, "{error}");
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn packet(seed: u64, len: usize) -> Vec<u8> {
    [&HEADER[..], &pattern(seed, len)].concat()
}

/// The frames of these tests among what came, which may be the kernel's too.
fn ours(frames: Vec<Frame>) -> Vec<Frame> {
    let is_ours = |frame: &Frame| frame.data().starts_with(&HEADER);
    frames.into_iter().filter(is_ours).collect()
}

fn collect(rig: &mut Rig, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.len() < count {
        frames.extend(ours(rig.next()));
    }
    assert_eq!(frames.len(), count);
    frames
}

fn frames_of_every_size_cross_in_both_modes(kind: DriverKind) {
    for mode in [XdpMode::Native, XdpMode::Generic] {
        with_pair(|| {
            let mut rig = Rig::new(kind);
            let (out, tx, _near) = attach(&mut rig, 1, "near", mode);
            let (_, rx, _far) = attach(&mut rig, 2, "far", mode);
            let lengths: Vec<_> = (46..=1_500).collect();
            for lengths in lengths.chunks(60) {
                for &len in lengths {
                    let frame = rig.frame(&packet(len as u64, len), NOWHERE);
                    rig.driver.send(out, frame);
                }
                rig.driver.flush();
                for (frame, &len) in collect(&mut rig, lengths.len()).iter().zip(lengths) {
                    assert_eq!(frame.data(), packet(len as u64, len));
                    assert_eq!(frame.meta.ingress, Ingress::Ethernet(PortId(2)));
                    assert!(frame.headroom() >= 128);
                }
            }
            assert_eq!(tx.tx_frames.value(), lengths.len() as u64);
            assert!(rx.rx_frames.value() >= lengths.len() as u64);
            assert_eq!(rig.counters.total_drops(), 0);
            rig.driver = Rig::new(kind).driver;
            rig.assert_pool_is_full(FRAMES);
        });
    }
}

fn frames_leave_from_where_they_lie(kind: DriverKind) {
    with_pair(|| {
        let mut rig = Rig::new(kind);
        let (near, _, _program) = attach(&mut rig, 1, "near", XdpMode::Native);
        let (far, _, _other) = attach(&mut rig, 2, "far", XdpMode::Native);
        let mut frame = rig.frame(&packet(1, 900), NOWHERE);
        frame.prepend(100);
        frame.trim_front(100);
        rig.driver.send(near, frame);
        rig.driver.flush();
        // There and back, twice, without a copy of ours.
        for queue in [far, near, far] {
            let frame = collect(&mut rig, 1).remove(0);
            let place = frame.data().as_ptr();
            assert_eq!(frame.data(), packet(1, 900));
            assert_eq!(frame.data().as_ptr(), place);
            rig.driver.send(queue, frame);
            rig.driver.flush();
        }
        collect(&mut rig, 1);
    });
}

fn a_wait_ends_when_a_frame_comes(kind: DriverKind) {
    with_pair(|| {
        ip("address add 10.9.0.2/24 dev far");
        let mut rig = Rig::new(kind);
        let (_queue, _, _program) = attach(&mut rig, 1, "near", XdpMode::Native);
        let socket = UdpSocket::bind("10.9.0.2:0").unwrap();
        socket.set_broadcast(true).unwrap();
        let sent = pattern(7, 300);
        for round in 0..20 {
            rig.poll();
            // After many frames without a wait, too.
            for _ in 0..2 * round {
                socket.send_to(&sent, "10.9.0.255:9").unwrap();
                while !rig.poll().iter().any(|frame| frame.data().ends_with(&sent)) {}
            }
            thread::scope(|scope| {
                scope.spawn(|| {
                    // Probably while the driver waits; if it does not yet, it need not.
                    thread::sleep(Duration::from_millis(5));
                    socket.send_to(&sent, "10.9.0.255:9").unwrap();
                });
                // For ever, if it is not told.
                loop {
                    rig.driver.wait(None).unwrap();
                    if rig.poll().iter().any(|frame| frame.data().ends_with(&sent)) {
                        break;
                    }
                }
            });
        }
    });
}

fn queues_of_both_kinds_are_served_together(kind: DriverKind) {
    with_pair(|| {
        ip("link set lo up");
        let mut rig = Rig::new(kind);
        let to = private_address();
        let (near, _, _program) = attach(&mut rig, 1, "near", XdpMode::Native);
        let (_, _, _other) = attach(&mut rig, 2, "far", XdpMode::Native);
        let (out, _) = rig.attach(underlay(3, endpoint(private_address(), 1, false)));
        rig.attach(underlay(4, endpoint(to, 1, false)));
        for round in 0..50 {
            for number in 0..40 {
                let frame = rig.frame(&packet(number, 200), NOWHERE);
                rig.driver.send(near, frame);
                let datagram = rig.frame(&packet(number, 100), to);
                rig.driver.send(out, datagram);
            }
            rig.driver.flush();
            let frames = collect(&mut rig, 80);
            let of = |id| {
                let by = move |frame: &&Frame| frame.meta.ingress == id;
                frames.iter().filter(by).count()
            };
            assert_eq!(of(Ingress::Ethernet(PortId(2))), 40, "round {round}");
            assert_eq!(of(Ingress::Underlay(UnderlayId(4))), 40, "round {round}");
        }
    });
}

fn frames_wait_for_a_device_that_is_down(kind: DriverKind) {
    const RING: u64 = 2_048;
    const EXCESS: u64 = 10;
    with_pair(|| {
        let mut rig = Rig::with(kind, 2 * FRAMES, DriverConfig::default());
        let (out, _, _near) = attach(&mut rig, 1, "near", XdpMode::Native);
        let (_, _, _far) = attach(&mut rig, 2, "far", XdpMode::Native);
        ip("link set near down");
        for number in 0..RING + EXCESS {
            let frame = rig.frame(&packet(number, 100), NOWHERE);
            rig.driver.send(out, frame);
        }
        rig.driver.flush();
        assert_eq!(rig.drops(DropReason::PortTxFull), EXCESS);
        ip("link set near up");
        let mut arrived = 0;
        while arrived < 200 {
            rig.driver.flush();
            arrived += ours(rig.next()).len();
        }
    });
}

fn what_does_not_fit_is_dropped_by_name(kind: DriverKind) {
    with_pair(|| {
        let mut rig = Rig::new(kind);
        let (out, _, _near) = attach(&mut rig, 1, "near", XdpMode::Native);
        let (_, _, _far) = attach(&mut rig, 2, "far", XdpMode::Native);
        for len in [0, 4_097, 65_000] {
            let frame = rig.frame(&vec![0; len], NOWHERE);
            rig.driver.send(out, frame);
        }
        let fitting = rig.frame(&packet(1, 1_500), NOWHERE);
        rig.driver.send(out, fitting);
        rig.driver.flush();
        assert_eq!(rig.drops(DropReason::PortTxError), 3);
        assert_eq!(collect(&mut rig, 1)[0].data(), packet(1, 1_500));
    });
}

fn what_the_kernel_drops_is_told_when_asked_for(kind: DriverKind) {
    const SENT: u64 = 4_096;
    with_pair(|| {
        let mut rig = Rig::with(kind, 4 * FRAMES, DriverConfig::default());
        let (out, _, _near) = attach(&mut rig, 1, "near", XdpMode::Native);
        let (far, rx, _far) = attach(&mut rig, 2, "far", XdpMode::Native);
        let missed = rx.missed.get().expect("one of its kind");
        let lost = || missed.no_slot.value() + missed.ring_full.value();
        // Nobody receives.
        for number in 0..SENT {
            let frame = rig.frame(&packet(number, 100), NOWHERE);
            rig.driver.send(out, frame);
            rig.driver.flush();
        }
        assert_eq!(lost(), 0, "nobody has asked");
        rig.driver.count_missed();
        let arrived = |rig: &mut Rig| {
            let polls = std::iter::repeat_with(|| rig.poll());
            polls.take_while(|it| !it.is_empty()).flatten().count() as u64
        };
        let deadline = Instant::now() + PATIENCE;
        let mut received = 0;
        while received + lost() < SENT {
            assert!(Instant::now() < deadline, "{received} and {missed:?}");
            received += arrived(&mut rig);
            rig.driver.flush();
            rig.driver.count_missed();
        }
        assert!(lost() > 0, "{missed:?}");
        assert_eq!((missed.too_long.value(), missed.invalid.value()), (0, 0));
        assert_eq!(rig.counters.total_drops(), 0, "no frames, so no drops");
        let before = lost();
        rig.driver.detach(far);
        assert!(lost() >= before, "what was counted stays");
    });
}

fn a_detached_queue_is_free_and_returns_its_frames(kind: DriverKind) {
    with_pair(|| {
        let mut rig = Rig::new(kind);
        for round in 0..5 {
            let (near, _, program) = attach(&mut rig, 1, "near", XdpMode::Native);
            let (far, _, other) = attach(&mut rig, 2, "far", XdpMode::Native);
            let frame = rig.frame(&packet(round, 100), NOWHERE);
            rig.driver.send(near, frame);
            rig.driver.flush();
            assert_eq!(collect(&mut rig, 1)[0].data(), packet(round, 100));
            drop((program, other));
            for queue in [near, far] {
                rig.driver.detach(queue);
            }
            rig.assert_pool_is_full(FRAMES);
            let late = rig.frame(&packet(0, 100), NOWHERE);
            rig.driver.send(near, late);
            assert_eq!(rig.drops(DropReason::PortGone), round + 1);
        }
    });
}

fn a_device_that_is_gone_is_no_trouble(kind: DriverKind) {
    with_pair(|| {
        let mut rig = Rig::new(kind);
        let (out, _, _near) = attach(&mut rig, 1, "near", XdpMode::Native);
        ip("link delete near");
        for number in 0..100 {
            let frame = rig.frame(&packet(number, 100), NOWHERE);
            rig.driver.send(out, frame);
            rig.driver.flush();
        }
        assert_eq!(rig.drops(DropReason::PortTxError), 99, "all but the first");
        assert!(rig.poll().is_empty());
        rig.driver.wait(Some(Duration::from_millis(1))).unwrap();
        rig.driver.detach(out);
        rig.assert_pool_is_full(FRAMES);
    });
}

fn moving_frames_allocates_nothing(kind: DriverKind) {
    with_pair(|| {
        let mut rig = Rig::new(kind);
        let (near, _, _program) = attach(&mut rig, 1, "near", XdpMode::Native);
        let (_, _, _other) = attach(&mut rig, 2, "far", XdpMode::Native);
        let data = packet(1, 1_000);
        assert_moves_without(&mut rig, near, &data);
    });
}
