//! Packet sockets (`packet(7)`): frames out of a device and into it past the kernel's own stack, and
//! MAC addresses that a device listens to besides its own.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::filter::{self, Instruction};
use super::sockopt;

/// A socket whose writes are frames for the device with this index, each behind a virtio-net header of
/// [`crate::sys::virtio::HEADER_LEN`] bytes. It receives nothing, and does not block.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_RAW`, `ENODEV` when there is no such device.
pub fn sender(device: u32) -> io::Result<OwnedFd> {
    let socket = open()?;
    let on: libc::c_int = 1;
    set(&socket, libc::PACKET_VNET_HDR, &on)?;
    bind(&socket, device, 0)?;
    Ok(socket)
}

/// A socket whose reads are frames of one EtherType that the device with this index receives, each
/// behind the same header. What the host sends it does not see, and what the device's classifiers
/// (`tc(8)`) take away neither. Its filter takes nothing until another is [attached](filter::attach);
/// it does not block. While the device is down it reports `ENETDOWN`, once, and goes on by itself
/// when that is up.
///
/// # Errors
///
/// As [`sender`].
pub fn receiver(device: u32, ethertype: u16) -> io::Result<OwnedFd> {
    let socket = open()?;
    let on: libc::c_int = 1;
    set(&socket, libc::PACKET_VNET_HDR, &on)?;
    filter::attach(socket.as_fd(), &NOTHING)?;
    bind(&socket, device, ethertype)?;
    Ok(socket)
}

/// Has the kernel spread what comes over the sockets, which are [receivers](receiver) of the same: a
/// flow, both directions of which count as one, always comes by the same.
///
/// # Errors
///
/// `EINVAL` on kernels that do so for devices only that are up.
pub fn spread(sockets: &[OwnedFd]) -> io::Result<()> {
    let Some((first, others)) = sockets.split_first() else {
        return Ok(());
    };
    let unique = (libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16;
    set(first, libc::PACKET_FANOUT, &unique)?;
    let group = fanout_group(first)? & 0xffff;
    let join = libc::PACKET_FANOUT_HASH << 16 | group;
    others
        .iter()
        .try_for_each(|socket| set(socket, libc::PACKET_FANOUT, &join))
}

/// How many frames found no room in a [receiver] since this was last asked: the kernel
/// begins to count anew each time.
///
/// # Errors
///
/// None that is known: the option is as old as the sockets.
pub fn take_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // `struct tpacket_stats`.
    let [_packets, drops] = sockopt::read(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
    Ok(drops)
}

/// A filter that refuses all (`ret #0`).
const NOTHING: [Instruction; 1] = [Instruction {
    code: 0x06,
    yes: 0,
    no: 0,
    constant: 0,
}];

/// Makes the device with this index listen to a MAC address, until the returned descriptor is closed.
///
/// # Errors
///
/// As [`sender`].
pub fn listen_to(device: u32, mac: [u8; 6]) -> io::Result<OwnedFd> {
    let socket = open()?;
    // SAFETY: `packet_mreq` consists of integers.
    let mut request: libc::packet_mreq = unsafe { mem::zeroed() };
    request.mr_ifindex = device.cast_signed();
    request.mr_type = PACKET_MR_UNICAST;
    request.mr_alen = mac.len() as u16;
    request.mr_address[..mac.len()].copy_from_slice(&mac);
    set(&socket, libc::PACKET_ADD_MEMBERSHIP, &request)?;
    Ok(socket)
}

/// `linux/if_packet.h`.
const PACKET_MR_UNICAST: u16 = 3;

fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `socket` takes no pointers. Without a protocol the socket receives nothing.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    check(fd)?;
    // SAFETY: `fd` was just returned to us and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a socket to a device, to receive frames of this EtherType; none if it is zero.
fn bind(socket: &OwnedFd, device: u32, ethertype: u16) -> io::Result<()> {
    // SAFETY: `sockaddr_ll` consists of integers.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = device.cast_signed();
    // SAFETY: the kernel reads one `sockaddr_ll`.
    let rc = unsafe {
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len)
    };
    check(rc)
}

/// The number of the group that a socket is in, and more in its upper half.
fn fanout_group(socket: &OwnedFd) -> io::Result<u32> {
    let [group] = sockopt::read(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT)?;
    Ok(group)
}

/// Sets an option of the level SOL_PACKET.
fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    sockopt::write(socket.as_fd(), libc::SOL_PACKET, option, value)
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::link;

    #[test]
    fn devices_are_named_by_their_index() {
        let index = link::index("lo").unwrap();
        sender(index).expect("these tests need root");
        listen_to(index, [2, 0, 0, 0, 0, 1]).unwrap();
        let missing = 0x7fff_ffff;
        for missing in [
            sender(missing),
            receiver(missing, 0x0800),
            listen_to(missing, [2; 6]),
        ] {
            assert_eq!(missing.unwrap_err().raw_os_error(), Some(libc::ENODEV));
        }
    }

    #[test]
    fn receivers_of_one_kind_share_what_comes() {
        let index = link::index("lo").unwrap();
        let open = |ethertype| receiver(index, ethertype).expect("these tests need root");
        let groups = [0x0800, 0x86dd].map(|ethertype| [open(ethertype), open(ethertype)]);
        let mut numbers = Vec::new();
        for sockets in &groups {
            spread(sockets).unwrap();
            let [one, other] = sockets
                .each_ref()
                .map(|it| fanout_group(it).unwrap() & 0xffff);
            assert_eq!(one, other);
            numbers.push(one);
        }
        assert_ne!(numbers[0], numbers[1]);
        let strangers = [open(0x0800), open(0x86dd)];
        assert_eq!(
            spread(&strangers).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
    }
}
