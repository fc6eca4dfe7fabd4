//! Socket options that `socket2` does not offer.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets the receive buffer, beyond `net.core.rmem_max` where the process may
/// (`SO_RCVBUFFORCE` needs `CAP_NET_ADMIN`), otherwise up to it.
///
/// # Errors
///
/// `ENOTSOCK` and the like: the descriptor is no socket.
pub fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, value))
}

/// Sets the send buffer, like [`set_receive_buffer`].
///
/// # Errors
///
/// `ENOTSOCK` and the like: the descriptor is no socket.
pub fn set_send_buffer(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, value))
}

/// Lets the kernel hand over trains of equal datagrams of one flow as one (`udp(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` before Linux 5.0.
pub fn set_udp_gro(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set(socket, libc::SOL_UDP, libc::UDP_GRO, i32::from(on))
}

/// Reports the traffic class of each received IPv4 packet (`IP_RECVTOS`: `ip(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv4 socket.
pub fn report_traffic_class_v4(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
}

/// Reports the traffic class of each received IPv6 packet (`IPV6_RECVTCLASS`: RFC 3542).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv6 socket.
pub fn report_traffic_class_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)
}

/// Reports the time to live of each received IPv4 packet, or no more (`IP_RECVTTL`: `ip(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv4 socket.
pub fn report_ttl_v4(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, i32::from(on))
}

/// Reports the hop limit of each received IPv6 packet, or no more (`IPV6_RECVHOPLIMIT`: RFC 3542).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv6 socket.
pub fn report_ttl_v6(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set(
        socket,
        libc::IPPROTO_IPV6,
        libc::IPV6_RECVHOPLIMIT,
        i32::from(on),
    )
}

/// Sends UDP datagrams without a checksum over IPv4 (`SO_NO_CHECK`: `socket(7)`). `UDP_SEGMENT`
/// fails on such sockets.
///
/// # Errors
///
/// `ENOTSOCK` and the like: the descriptor is no socket.
pub fn omit_checksums_v4(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)
}

/// Sends UDP datagrams without a checksum over IPv6 (`UDP_NO_CHECK6_TX` in `linux/udp.h`).
/// `UDP_SEGMENT` fails on such sockets.
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no UDP socket.
pub fn omit_checksums_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    const UDP_NO_CHECK6_TX: libc::c_int = 101;
    set(socket, libc::SOL_UDP, UDP_NO_CHECK6_TX, 1)
}

/// Receives UDP datagrams without a checksum over IPv6 (`UDP_NO_CHECK6_RX` in `linux/udp.h`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no UDP socket.
pub fn accept_zero_checksums_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    const UDP_NO_CHECK6_RX: libc::c_int = 102;
    set(socket, libc::SOL_UDP, UDP_NO_CHECK6_RX, 1)
}

/// Sends each IPv6 packet with the flow label of the address it goes to (`IPV6_FLOWINFO_SEND`
/// in `linux/in6.h`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv6 socket.
pub fn send_flow_labels(socket: BorrowedFd<'_>) -> io::Result<()> {
    const IPV6_FLOWINFO_SEND: libc::c_int = 33;
    set(socket, libc::IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1)
}

/// Sends IPv4 datagrams without the DF bit, fragmenting them as needed (`ip(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv4 socket.
pub fn allow_fragments_v4(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(
        socket,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_DONT,
    )
}

/// Lets the sender fragment IPv6 datagrams as needed (`ipv6(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv6 socket.
pub fn allow_fragments_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(
        socket,
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU_DISCOVER,
        libc::IPV6_PMTUDISC_DONT,
    )
}

/// Sends IPv4 datagrams with the DF bit, and never fragments them; those longer than the device's
/// MTU are refused (`EMSGSIZE`), whatever the kernel has learned of the path (`ip(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv4 socket.
pub fn forbid_fragments_v4(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(
        socket,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_PROBE,
    )
}

/// Never fragments IPv6 datagrams; those longer than the device's MTU are refused (`EMSGSIZE`),
/// whatever the kernel has learned of the path (`ipv6(7)`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv6 socket.
pub fn forbid_fragments_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(
        socket,
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU_DISCOVER,
        libc::IPV6_PMTUDISC_PROBE,
    )
}

/// Fragments only IPv6 packets that are longer than the device's MTU, whatever the kernel has learned
/// of the path (`IPV6_PMTUDISC_OMIT` in `linux/in6.h`).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no IPv6 socket.
pub fn fragment_for_device_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(
        socket,
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU_DISCOVER,
        libc::IPV6_PMTUDISC_OMIT,
    )
}

/// Lets a raw ICMP socket receive only "destination unreachable", to which "fragmentation needed"
/// belongs (`raw(7)`).
///
/// # Errors
///
/// `EOPNOTSUPP` when it is no raw ICMP socket.
pub fn only_unreachable_v4(socket: BorrowedFd<'_>) -> io::Result<()> {
    /// `ICMP_FILTER` and `ICMP_DEST_UNREACH` of `linux/icmp.h`. Set bits are types to drop.
    const ICMP_FILTER: libc::c_int = 1;
    const UNREACHABLE: u32 = 3;
    write(
        socket,
        libc::SOL_RAW,
        ICMP_FILTER,
        &(!(1u32 << UNREACHABLE)).to_ne_bytes(),
    )
}

/// Lets a raw ICMPv6 socket receive only "packet too big" (RFC 3542 section 3.2).
///
/// # Errors
///
/// `ENOPROTOOPT` when it is no raw ICMPv6 socket.
pub fn only_too_big_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    /// `ICMPV6_FILTER` and `ICMPV6_PKT_TOOBIG` of `linux/icmpv6.h`. Set bits are types to drop.
    const ICMPV6_FILTER: libc::c_int = 1;
    const PACKET_TOO_BIG: u32 = 2;
    let mut filter = [0xff; 32];
    filter[..4].copy_from_slice(&(!(1u32 << PACKET_TOO_BIG)).to_ne_bytes());
    write(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &filter)
}

fn set(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    write(socket, level, option, &value)
}

/// Sets an option to a value, which holds no pointer that the kernel would follow.
pub(super) fn write<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_of_val(value) as libc::socklen_t;
    let (fd, value) = (socket.as_raw_fd(), (&raw const *value).cast());
    // SAFETY: the kernel reads at most `len` bytes of the value, which is borrowed until the end.
    let rc = unsafe { libc::setsockopt(fd, level, option, value, len) };
    check(rc)
}

/// The value of an option that consists of so many words.
pub(super) fn read<const N: usize>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<[u32; N]> {
    let mut words = [0; N];
    let mut len = size_of_val(&words) as libc::socklen_t;
    let (fd, value) = (socket.as_raw_fd(), (&raw mut words).cast());
    // SAFETY: the kernel writes at most `len` bytes, as many as the words have, which may be any.
    let rc = unsafe { libc::getsockopt(fd, level, option, value, &raw mut len) };
    check(rc).map(|()| words)
}

fn check(rc: libc::c_int) -> io::Result<()> {
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
