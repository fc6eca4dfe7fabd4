//! Facts and settings of a network device that no crate in use offers.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest device name, without the terminating zero (`IFNAMSIZ - 1`).
pub const MAX_NAME_LEN: usize = libc::IFNAMSIZ - 1;

/// The index of the device called `name` in this thread's network namespace.
///
/// # Errors
///
/// `ENODEV` when there is none.
pub fn index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a zero-terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Whether the network namespace of `socket` has a device with this index.
pub fn is_there(socket: BorrowedFd<'_>, index: u32) -> bool {
    let Ok(mut request) = request("") else {
        return false;
    };
    request.ifr_ifru.ifru_ifindex = index.cast_signed();
    // SAFETY: SIOCGIFNAME reads and writes one `ifreq`, which `request` is.
    unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFNAME as _, &raw mut request) == 0 }
}

/// The MTU of the device called `name` in this thread's network namespace, in bytes.
///
/// # Errors
///
/// `ENODEV` when there is none.
pub fn mtu(name: &str) -> io::Result<u32> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let mut request = request(name)?;
    // SAFETY: SIOCGIFMTU reads and writes one `ifreq`, which `request` is.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &raw mut request) };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel wrote the number.
    Ok(unsafe { request.ifr_ifru.ifru_mtu }.unsigned_abs())
}

/// Sets how many packets the device's transmit queue holds.
///
/// `socket` is any socket in the device's network namespace.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`, `ENODEV` when there is no such device.
pub fn set_transmit_queue_len(socket: BorrowedFd<'_>, name: &str, packets: u32) -> io::Result<()> {
    let mut request = request(name)?;
    // The kernel's `ifr_qlen` is an int at the start of the union, as is this.
    request.ifr_ifru.ifru_metric = i32::try_from(packets).unwrap_or(i32::MAX);
    // SAFETY: SIOCSIFTXQLEN reads one `ifreq`, which `request` is.
    let rc = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFTXQLEN as _,
            &raw mut request,
        )
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The MAC address of the device called `name` in this thread's network namespace; zeros if it has
/// none.
///
/// # Errors
///
/// `ENODEV` when there is no such device.
pub fn hardware_address(name: &str) -> io::Result<[u8; 6]> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let mut request = request(name)?;
    // SAFETY: SIOCGIFHWADDR reads and writes one `ifreq`, which `request` is.
    let rc = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCGIFHWADDR as _,
            &raw mut request,
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel wrote the address.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(address.sa_data) {
        *to = from as u8;
    }
    Ok(mac)
}

/// Sets the MAC address of an Ethernet device.
///
/// `socket` is any socket in the device's network namespace.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`, `ENODEV` when there is no such device.
pub fn set_hardware_address(socket: BorrowedFd<'_>, name: &str, mac: [u8; 6]) -> io::Result<()> {
    let mut request = request(name)?;
    let mut address = libc::sockaddr {
        sa_family: libc::ARPHRD_ETHER,
        sa_data: [0; 14],
    };
    for (to, from) in address.sa_data.iter_mut().zip(mac) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_hwaddr = address;
    // SAFETY: SIOCSIFHWADDR reads one `ifreq`, which `request` is.
    let rc = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFHWADDR as _,
            &raw mut request,
        )
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A zeroed `ifreq` that names a device.
///
/// # Errors
///
/// `InvalidInput` when the name is longer than [`MAX_NAME_LEN`].
pub(in crate::sys) fn request(name: &str) -> io::Result<libc::ifreq> {
    if name.len() > MAX_NAME_LEN {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `ifreq` consists of integers, arrays and unions of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}
