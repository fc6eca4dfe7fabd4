//! The plain way to write an overlay: one read and one sendto a packet.
//!
//! The loop of flannel's `udp` backend (poll, then read and send in turn until both descriptors
//! are dry), with VXLAN around the packets so that it carries as many header bytes as the others.
//! It is the baseline that a dataplane has to beat, written with care but without batches,
//! segments or offloads. It knows one far end and no routes.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tun::AbstractDevice;

use super::LabError;

/// Overlay addresses of the two hosts.
pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 44, 0, 1), Ipv4Addr::new(10, 44, 0, 2)];

/// Name of the device in each host.
pub const DEVICE: &str = "loop0";

/// Where one end of the loop runs.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LoopArgs {
    /// Underlay address of this host.
    #[arg(long)]
    pub local: Ipv4Addr,
    /// Underlay address of the other.
    #[arg(long)]
    pub remote: Ipv4Addr,
    /// Overlay address of this host, in a /24.
    #[arg(long)]
    pub address: Ipv4Addr,
    /// MTU of the overlay in bytes.
    #[arg(long)]
    pub mtu: u16,
}

/// [`run`] as a process of its own.
pub fn main(args: LoopArgs) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringlay lab-loop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Forwards in the calling thread's namespace until the process is ended.
///
/// # Errors
/// If the device or the socket cannot be made, or fails.
pub fn run(args: LoopArgs) -> Result<(), LabError> {
    let device = open_device(&args).map_err(LabError::io(format!("create {DEVICE}")))?;
    let local = SocketAddrV4::new(args.local, PORT);
    let socket = UdpSocket::bind(local).map_err(LabError::io(format!("bind {local}")))?;
    socket
        .set_nonblocking(true)
        .map_err(LabError::io("set the socket non-blocking"))?;
    let far = SocketAddr::V4(SocketAddrV4::new(args.remote, PORT));
    forward(&device, &socket, far).map_err(LabError::io("forward"))
}

fn open_device(args: &LoopArgs) -> io::Result<tun::Device> {
    let mut config = tun::Configuration::default();
    config
        .tun_name(DEVICE)
        .address(IpAddr::V4(args.address))
        .netmask(IpAddr::V4(Ipv4Addr::new(255, 255, 255, 0)))
        .mtu(args.mtu)
        .up();
    let device = tun::create(&config)?;
    debug_assert!(!device.packet_information());
    device.set_nonblock()?;
    Ok(device)
}

fn forward(device: &tun::Device, socket: &UdpSocket, far: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for descriptor in [device.as_raw_fd(), socket.as_raw_fd()] {
        poll.registry()
            .register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(2);
    let mut outbound = vec![0; HEADER.len() + MAX_PACKET];
    outbound[..HEADER.len()].copy_from_slice(&HEADER);
    let mut inbound = vec![0; HEADER.len() + MAX_PACKET];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => other?,
        }
        loop {
            let sent = tun_to_udp(device, socket, far, &mut outbound)?;
            let received = udp_to_tun(device, socket, far, &mut inbound)?;
            if !sent && !received {
                break;
            }
        }
    }
}

/// Moves one packet out; false if there was none.
fn tun_to_udp(
    device: &tun::Device,
    socket: &UdpSocket,
    far: SocketAddr,
    buffer: &mut [u8],
) -> io::Result<bool> {
    let length = match device.recv(&mut buffer[HEADER.len()..]) {
        Ok(length) => length,
        Err(error) => return nothing_there(error),
    };
    let is_ipv4 = buffer[HEADER.len()] >> 4 == 4;
    if is_ipv4 {
        // A full socket buffer loses the packet, as it does in the loop this one stands for.
        let _ = socket.send_to(&buffer[..HEADER.len() + length], far);
    }
    Ok(true)
}

/// Moves one packet in; false if there was none.
fn udp_to_tun(
    device: &tun::Device,
    socket: &UdpSocket,
    far: SocketAddr,
    buffer: &mut [u8],
) -> io::Result<bool> {
    let (length, from) = match socket.recv_from(buffer) {
        Ok(received) => received,
        Err(error) => return nothing_there(error),
    };
    if from == far && length > HEADER.len() && buffer[..VXLAN_LEN] == HEADER[..VXLAN_LEN] {
        let _ = device.send(&buffer[HEADER.len()..length]);
    }
    Ok(true)
}

/// A refused port is the far end not being up yet: nothing there either.
fn nothing_there(error: io::Error) -> io::Result<bool> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::ConnectionRefused | ErrorKind::Interrupted => Ok(false),
        _ => Err(error),
    }
}

/// Not 4789: that is Ringlay's in the same hosts.
const PORT: u16 = 4791;
const MAX_PACKET: usize = 65_535;
const VXLAN_LEN: usize = 8;
/// VXLAN (RFC 7348 section 5) with VNI 44, then Ethernet to and from fixed addresses, IPv4.
const HEADER: [u8; 22] = [
    0x08, 0, 0, 0, 0, 0, 44, 0, // VXLAN
    0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, // Ethernet
];
