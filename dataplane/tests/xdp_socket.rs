//! AF_XDP sockets on a veth pair: against the kernel's own stack, and against each other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod ip;
mod veth;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use ringlay_dataplane::port::sink::{Sink, SinkConfig};
use ringlay_dataplane::port::xdp::{Selection, XdpProgram};
use ringlay_dataplane::sys::arena::{Arena, Slot};
use ringlay_dataplane::sys::bpf::XdpMode;
use ringlay_dataplane::sys::xdp::{
    self, CHUNK, Copying, HEADROOM, RECEIVE_MAX, Received, XdpConfig, XdpDrops, XdpSocket,
};
use ringlay_dataplane::sys::{ethtool, link};
use ringlay_encap::arp::{self, ArpOperation, ArpRepr};
use ringlay_encap::eth::{self, EthernetRepr};
use ringlay_encap::{EtherType, MacAddr};

use crate::ip::ip;
use crate::veth::with_pair;

const ENTRIES: u32 = 64;
const SLOTS: u32 = 256;
const PATIENCE: Duration = Duration::from_secs(5);
const MODES: [XdpMode; 2] = [XdpMode::Native, XdpMode::Generic];

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// For experiments (IEEE 802): nothing else is sent with it.
const EXPERIMENT: EtherType = EtherType(0x88b5);

/// A device's only queue, with all that comes by it.
struct End {
    socket: XdpSocket,
    arena: Rc<Arena>,
    _program: XdpProgram,
}

fn config(device: &str) -> XdpConfig {
    XdpConfig {
        device: link::index(device).unwrap(),
        queue: 0,
        copying: None,
        entries: ENTRIES,
        lent: ENTRIES as usize / 2,
    }
}

impl End {
    fn open(device: &str, arena: &Rc<Arena>, mode: XdpMode) -> io::Result<Self> {
        let config = config(device);
        let program = XdpProgram::attach(config.device, 1, mode, &Selection::All)?;
        let mut socket = XdpSocket::new(xdp::open()?, Rc::clone(arena), config)?;
        assert_eq!(socket.lent(), config.lent);
        program.lead(config.queue, socket.as_fd())?;
        while socket.lent() < ENTRIES as usize {
            socket.lend(arena.take().unwrap()).unwrap();
        }
        socket.advance()?;
        Ok(Self {
            socket,
            arena: Rc::clone(arena),
            _program: program,
        })
    }

    /// The next packet, and the next slot lent in its place.
    fn receive(&mut self) -> Received {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.socket.complete();
            if let Some(received) = self.socket.receive() {
                self.socket.lend(self.arena.take().unwrap()).unwrap();
                self.socket.advance().unwrap();
                return received;
            }
            assert!(Instant::now() < deadline, "nothing arrives");
            thread::yield_now();
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let mut slot = self.arena.take().unwrap();
        let start = HEADROOM.min(CHUNK - frame.len());
        slot.bytes_mut()[start..start + frame.len()].copy_from_slice(frame);
        self.socket.send(slot, start, frame.len()).unwrap();
        self.socket.advance().unwrap();
    }
}

fn bytes(received: &Received) -> &[u8] {
    &received.slot.bytes()[received.start..received.start + received.len]
}

fn frame(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; eth::HEADER_LEN];
    let header = EthernetRepr {
        dst: MacAddr([0xff; 6]),
        src: OURS,
        ethertype,
    };
    header.emit(&mut frame);
    frame.extend(payload);
    frame
}

#[test]
fn the_kernel_answers_what_is_sent_and_its_answer_arrives() {
    let (us, kernel) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
    for mode in MODES {
        with_pair(|| {
            ip("address add 10.9.0.2/24 dev far");
            let arena = Arena::new(SLOTS, CHUNK).unwrap();
            let mut near = End::open("near", &arena, mode).unwrap();
            let mut request = [0; arp::PACKET_LEN];
            ArpRepr::request(OURS, us, kernel).emit(&mut request);
            near.send(&frame(EtherType::ARP, &request));
            let reply = loop {
                let received = near.receive();
                assert!(received.start >= HEADROOM, "room for outer headers");
                let (header, payload) = EthernetRepr::parse(bytes(&received)).unwrap();
                if header.ethertype == EtherType::ARP {
                    break ArpRepr::parse(&bytes(&received)[payload..]).unwrap();
                }
            };
            assert_eq!(reply.operation, ArpOperation::Reply);
            assert_eq!((reply.sender_ip, reply.target_mac), (kernel, OURS));
        });
    }
}

#[test]
fn packets_cross_in_order_and_every_slot_comes_back() {
    const PACKETS: u32 = 1000;
    for mode in MODES {
        with_pair(|| {
            let arena = Arena::new(SLOTS, CHUNK).unwrap();
            let mut near = End::open("near", &arena, mode).unwrap();
            let mut far = End::open("far", &arena, mode).unwrap();
            for number in 0..PACKETS {
                let mut payload = vec![0; 60 + number as usize];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                let sent = frame(EXPERIMENT, &payload);
                near.send(&sent);
                let received = far.receive();
                assert_eq!(bytes(&received), sent, "packet {number}, {mode:?}");
            }
            drop((near, far));
            assert_eq!(arena.available(), SLOTS as usize);
        });
    }
}

#[test]
fn what_one_socket_received_another_sends_from_the_same_place() {
    with_pair(|| {
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        let mut near = End::open("near", &arena, XdpMode::Native).unwrap();
        let mut far = End::open("far", &arena, XdpMode::Native).unwrap();
        let sent = frame(EXPERIMENT, &[7; 100]);
        near.send(&sent);
        let Received { slot, start, len } = far.receive();
        far.socket.send(slot, start, len).unwrap();
        far.socket.advance().unwrap();
        assert_eq!(bytes(&near.receive()), sent);
    });
}

#[test]
fn a_burst_beyond_one_system_calls_worth_is_sent_whole() {
    const BURST: usize = ENTRIES as usize;
    with_pair(|| {
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        let mut near = End::open("near", &arena, XdpMode::Native).unwrap();
        let mut far = End::open("far", &arena, XdpMode::Native).unwrap();
        let sent = frame(EXPERIMENT, &[1; 50]);
        for _ in 0..BURST {
            let mut slot = arena.take().unwrap();
            slot.bytes_mut()[..sent.len()].copy_from_slice(&sent);
            near.socket.send(slot, 0, sent.len()).unwrap();
        }
        let excess: Slot = arena.take().unwrap();
        let excess = near.socket.send(excess, 0, 60);
        assert!(excess.is_err(), "the ring is full, and the slot comes back");
        near.socket.advance().unwrap();
        for _ in 0..BURST {
            assert_eq!(bytes(&far.receive()), sent);
        }
        near.socket.complete();
        assert_eq!(near.socket.in_flight(), 0);
    });
}

#[test]
fn a_device_tells_its_driver() {
    with_pair(|| assert_eq!(ethtool::driver("near").unwrap(), "veth"));
}

/// The kernel says nothing of it.
#[test]
fn a_queue_that_the_device_does_not_send_by_holds_nobody_up() {
    with_pair(|| {
        let mut set = Command::new("ethtool");
        set.args(["-L", "near", "rx", "2"]);
        assert!(set.status().unwrap().success(), "ethtool is installed");
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        let config = XdpConfig {
            queue: 1,
            ..config("near")
        };
        let socket = xdp::open().unwrap();
        let mut socket = XdpSocket::new(socket, Rc::clone(&arena), config).unwrap();
        socket.send(arena.take().unwrap(), 0, 60).unwrap();
        socket.advance().unwrap();
        assert!(socket.has_backlog());
    });
}

#[test]
fn a_device_or_queue_that_is_taken_is_refused_until_it_is_free() {
    with_pair(|| {
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        let near = End::open("near", &arena, XdpMode::Native).unwrap();
        let second = End::open("near", &arena, XdpMode::Native).err().unwrap();
        let refusals = [Some(libc::EBUSY), Some(libc::EEXIST)];
        assert!(refusals.contains(&second.raw_os_error()), "{second}");
        let taken = XdpSocket::new(xdp::open().unwrap(), Rc::clone(&arena), config("near"));
        assert_eq!(taken.unwrap_err().raw_os_error(), Some(libc::EBUSY));
        drop(near);
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = End::open("near", &arena, XdpMode::Native) {
            assert!(Instant::now() < deadline, "{error}");
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn foreign_slots_and_packets_outside_their_slot_are_given_back() {
    with_pair(|| {
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        let other = Arena::new(1, CHUNK).unwrap();
        let mut near = End::open("near", &arena, XdpMode::Native).unwrap();
        assert!(near.socket.send(other.take().unwrap(), 0, 60).is_err());
        assert!(near.socket.lend(other.take().unwrap()).is_err());
        for (start, len) in [
            (CHUNK, 1),
            (CHUNK - 60, 61),
            (0, CHUNK + 1),
            (0, 0),
            (usize::MAX, 2),
        ] {
            let slot = arena.take().unwrap();
            assert!(
                near.socket.send(slot, start, len).is_err(),
                "{start}, {len}"
            );
        }
        assert_eq!(near.socket.in_flight(), 0);
    });
}

#[test]
fn a_veth_device_is_copied_to_and_from_and_says_so() {
    with_pair(|| {
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        let near = End::open("near", &arena, XdpMode::Native).unwrap();
        assert_eq!(near.socket.copying(), Copying::Copy);
        let insisting = XdpConfig {
            copying: Some(Copying::ZeroCopy),
            ..config("far")
        };
        let refused = XdpSocket::new(xdp::open().unwrap(), arena, insisting);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    });
}

/// Waits until the kernel has counted `least` of something.
fn wait_for_drops(near: &mut End, far: &End, least: u64, of: fn(&XdpDrops) -> u64) -> XdpDrops {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let drops = far.socket.drops().unwrap();
        if of(&drops) >= least {
            return drops;
        }
        assert!(Instant::now() < deadline, "{drops:?}");
        near.socket.complete();
        near.socket.advance().unwrap();
    }
}

#[test]
fn the_kernel_says_what_it_had_no_room_for() {
    const EXCESS: u32 = 10;
    for mode in MODES {
        with_pair(|| {
            let arena = Arena::new(SLOTS, CHUNK).unwrap();
            let mut near = End::open("near", &arena, mode).unwrap();
            let mut far = End::open("far", &arena, mode).unwrap();
            assert_eq!(far.socket.drops().unwrap(), XdpDrops::default());
            let sent = frame(EXPERIMENT, &[1; 50]);
            (0..ENTRIES + EXCESS).for_each(|_| near.send(&sent));
            let drops = wait_for_drops(&mut near, &far, EXCESS.into(), |it| it.no_slot);
            assert_eq!((drops.ring_full, drops.too_long), (0, 0), "{mode:?}");
            // Slots, but no place in the ring to tell of them.
            for _ in 0..EXCESS {
                far.socket.lend(arena.take().unwrap()).unwrap();
            }
            far.socket.advance().unwrap();
            (0..EXCESS).for_each(|_| near.send(&sent));
            let drops = wait_for_drops(&mut near, &far, EXCESS.into(), |it| it.ring_full);
            assert_eq!((drops.too_long, drops.invalid), (0, 0), "{mode:?}");
        });
    }
}

#[test]
fn the_kernel_says_what_was_too_long() {
    with_pair(|| {
        for device in ["near", "far"] {
            ip(&format!("link set {device} mtu 9000"));
        }
        let arena = Arena::new(SLOTS, CHUNK).unwrap();
        // A veth's driver runs no program with such packets.
        let mut near = End::open("near", &arena, XdpMode::Generic).unwrap();
        let mut far = End::open("far", &arena, XdpMode::Generic).unwrap();
        near.send(&frame(EXPERIMENT, &[1; RECEIVE_MAX + 1 - eth::HEADER_LEN]));
        // As long as a chunk.
        near.send(&frame(EXPERIMENT, &[1; CHUNK - eth::HEADER_LEN]));
        let drops = wait_for_drops(&mut near, &far, 2, |it| it.too_long);
        assert_eq!((drops.no_slot, drops.ring_full), (0, 0));
        assert_eq!(near.socket.drops().unwrap().invalid, 0);
        let fitting = frame(EXPERIMENT, &[1; RECEIVE_MAX - eth::HEADER_LEN]);
        near.send(&fitting);
        assert_eq!(bytes(&far.receive()), fitting);
    });
}

#[test]
fn a_sink_counts_what_is_of_its_measurement_and_leaves_the_rest_to_the_host() {
    const MARK_AT: usize = 42;
    const MAGIC: u32 = 0x0102_0304;
    let (us, kernel) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
    for mode in MODES {
        with_pair(|| {
            ip("address add 10.9.0.2/24 dev far");
            let arena = Arena::new(SLOTS, CHUNK).unwrap();
            let mut near = End::open("near", &arena, mode).unwrap();
            let sink = Sink::attach(&SinkConfig {
                device: link::index("far").unwrap(),
                mode,
                mark_at: MARK_AT as i16,
                magic: MAGIC,
            });
            let sink = sink.unwrap();
            let mut send = |number: u32, count: usize| {
                let mut marked = frame(EXPERIMENT, &[0; 100]);
                marked[MARK_AT..MARK_AT + 4].copy_from_slice(&MAGIC.to_be_bytes());
                marked[MARK_AT + 4..MARK_AT + 8].copy_from_slice(&number.to_be_bytes());
                (0..count).for_each(|_| near.send(&marked));
            };
            let counts = |expected: u64| {
                let deadline = Instant::now() + PATIENCE;
                while sink.packets() != expected {
                    assert!(
                        Instant::now() < deadline,
                        "{}, not {expected}",
                        sink.packets()
                    );
                    thread::yield_now();
                }
            };
            send(1, 3);
            counts(0);
            sink.expect(1);
            send(1, 5);
            send(2, 4);
            counts(5);
            sink.expect(2);
            send(1, 4);
            send(2, 2);
            counts(2);
            let mut request = [0; arp::PACKET_LEN + 18]; // with padding
            ArpRepr::request(OURS, us, kernel).emit(&mut request);
            near.send(&frame(EtherType::ARP, &request));
            let reply = loop {
                let received = near.receive();
                let (header, _) = EthernetRepr::parse(bytes(&received)).unwrap();
                if header.ethertype == EtherType::ARP {
                    break header;
                }
            };
            assert_eq!(reply.dst, OURS);
        });
    }
}
