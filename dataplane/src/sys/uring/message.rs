//! The layout of what a multishot `recvmsg` puts into a buffer: a header, room
//! for the sender's address and for control messages, and the payload.

use io_uring::types::RecvMsgOut;

use crate::sys::arena::Slot;
use crate::sys::cmsg::{self, CONTROL_LEN};
use crate::sys::datagram::Datagram;
use crate::sys::sockaddr::{self, SOCKADDR_LEN};

/// `struct io_uring_recvmsg_out` (`linux/io_uring.h`): four 32-bit numbers.
const OUT_LEN: usize = 16;

/// Bytes in front of the payload.
pub const PREFIX_LEN: usize = OUT_LEN + SOCKADDR_LEN + CONTROL_LEN;

/// The request's header: how much room to leave for address and control messages.
pub(super) fn template() -> libc::msghdr {
    // SAFETY: `msghdr` consists of integers and raw pointers, for which zero is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = SOCKADDR_LEN as libc::socklen_t;
    header.msg_controllen = CONTROL_LEN as _;
    header
}

/// Reads the `len` bytes that the kernel wrote to `slot` from `offset` on; the
/// payload is [`PREFIX_LEN`] bytes further. `None` if they are not whole.
#[inline]
pub(super) fn parse(
    slot: Slot,
    offset: usize,
    len: usize,
    template: &libc::msghdr,
) -> Option<Datagram> {
    let bytes = slot.bytes().get(offset..)?.get(..len)?;
    let message = RecvMsgOut::parse(bytes, template).ok()?;
    let remote = sockaddr::decode(message.name_data());
    let ancillary = cmsg::parse(message.control_data());
    let truncated = message.is_payload_truncated();
    let len = message.payload_data().len();
    Some(Datagram {
        slot,
        len,
        remote,
        segment_size: ancillary.segment_size,
        traffic_class: ancillary.traffic_class,
        ttl: ancillary.ttl,
        truncated,
    })
}
