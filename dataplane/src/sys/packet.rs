//! Packet sockets (`packet(7)`): frames out of a device past the kernel's own stack, and MAC addresses
//! that a device listens to besides its own.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

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
    // SAFETY: `sockaddr_ll` consists of integers.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = device.cast_signed();
    // SAFETY: the kernel reads one `sockaddr_ll`.
    let rc = unsafe {
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len)
    };
    check(rc).map(|()| socket)
}

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

/// Sets an option of the level SOL_PACKET.
fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = (&raw const *value).cast();
    // SAFETY: the kernel reads at most `len` bytes of the value, which is borrowed until the end.
    let rc = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, value, len) };
    check(rc)
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
        for missing in [sender(0x7fff_ffff), listen_to(0x7fff_ffff, [2; 6])] {
            assert_eq!(missing.unwrap_err().raw_os_error(), Some(libc::ENODEV));
        }
    }
}
