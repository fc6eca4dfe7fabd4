//! What a kernel leaves to its devices, of which virtual ones cut nothing and finish no checksum: the
//! container's side is handed super-frames that say how to be cut, or packets that fit.

use std::{
    io::Read,
    net::UdpSocket,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use ringlay_dataplane::{
    frame::Gso,
    sys::{filter, link, netns::run_in, packet, virtio},
};

use super::{bulk::exchange, hosts::Hosts};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the node's device was given.
#[derive(Debug, Default)]
struct Seen {
    super_frames: usize,
    /// Packets that are longer than the device's MTU, and do not say how to be cut to it.
    too_long: Vec<usize>,
}

/// Watches what the node's device is given while something is done.
fn watch(hosts: &Hosts, during: impl FnOnce()) -> Seen {
    const TAKE_ALL: [filter::Instruction; 1] = [filter::Instruction {
        code: 0x06, // BPF_RET | BPF_K
        yes: 0,
        no: 0,
        constant: u32::MAX,
    }];
    const ETH_P_IP: u16 = 0x0800;
    let open = || {
        let socket = packet::receiver(link::index("rl0").unwrap(), ETH_P_IP).unwrap();
        filter::attach(socket.as_fd(), &TAKE_ALL).unwrap();
        (socket, usize::try_from(link::mtu("rl0").unwrap()).unwrap())
    };
    let (socket, mtu) = run_in(&hosts.netns_path(0), open).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut file = std::fs::File::from(socket);
            let (mut seen, mut buffer) = (Seen::default(), vec![0; 1 << 17]);
            loop {
                let ended = done.load(Ordering::Relaxed);
                match file.read(&mut buffer) {
                    Ok(len) => seen.take(&buffer[..len], mtu),
                    Err(_) if ended => return seen,
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        during();
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    })
}

impl Seen {
    fn take(&mut self, data: &[u8], mtu: usize) {
        let (header, packet) = data.split_first_chunk().unwrap();
        let offload = virtio::decode(header).unwrap();
        let start = usize::from(offload.csum_start);
        // How long the kernel says the headers are is a hint: it is what lies in one piece.
        let headers = match offload.gso {
            Gso::None => packet.len(),
            Gso::UdpL4 => start + 8,
            _ => start + usize::from(packet[start + 12] >> 4) * 4,
        };
        let longest = headers + usize::from(offload.gso_size);
        self.super_frames += usize::from(offload.gso != Gso::None);
        if longest > mtu {
            self.too_long.push(longest);
        }
    }
}

/// Sends a train of datagrams in one system call from the kernel's device to the node's.
fn send_train(hosts: &Hosts) {
    const SIZE: i32 = 1_000;
    let near = run_in(&hosts.netns_path(0), || UdpSocket::bind("10.42.1.1:7000"));
    let near = near.unwrap().unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    let far = run_in(&hosts.netns_path(1), || UdpSocket::bind("10.42.2.1:0"));
    let far = far.unwrap().unwrap();
    setsockopt(&far, UdpGsoSegment, &SIZE).unwrap();
    let sent: Vec<u8> = (0..20_500).map(|at| (at % 251) as u8).collect();
    far.send_to(&sent, "10.42.1.1:7000").unwrap();
    let mut buffer = [0; 2_000];
    for part in sent.chunks(SIZE as usize) {
        let len = near.recv(&mut buffer).unwrap();
        assert!(buffer[..len] == *part, "{len} bytes");
    }
}

fn each_way_in(check: impl Fn(&Hosts, &str)) {
    for driver in ["udp", "tunnel-gso", "af_xdp"] {
        let mut hosts = Hosts::new();
        hosts.set(0, "underlay", &format!("driver = \"{driver}\""));
        hosts.start(0);
        hosts.add_kernel_vxlan();
        assert!(hosts.pings("10.42.2.1"), "{driver}");
        check(&hosts, driver);
        let reasons = ["vxlan_malformed", "ip_malformed", "underlay_bad_checksum"];
        hosts.assert_no_drops(0, &reasons);
    }
}

#[test]
fn streams_arrive_as_super_frames_or_fitting() {
    each_way_in(|hosts, driver| {
        let seen = watch(hosts, || exchange(hosts, "10.42.2.1"));
        assert!(seen.too_long.is_empty(), "{driver}: {seen:?}");
        // A kernel cuts what is for a device that an XDP program looks at.
        assert!(seen.super_frames > 0 || driver == "af_xdp", "{driver}");
    });
}

#[test]
fn trains_of_datagrams_arrive_as_they_were_sent() {
    each_way_in(|hosts, driver| {
        let seen = watch(hosts, || send_train(hosts));
        assert!(seen.too_long.is_empty(), "{driver}: {seen:?}");
    });
}
