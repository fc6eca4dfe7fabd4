//! What the errors of queues mean to a driver.

use crate::drop_reason::DropReason;

/// Why a TUN queue did not take a packet.
pub(crate) fn port_drop_reason(errno: i32) -> DropReason {
    if is_full(errno) {
        DropReason::PortTxFull
    } else {
        DropReason::PortTxError
    }
}

/// Why a socket did not take a datagram.
pub(crate) fn underlay_drop_reason(errno: i32) -> DropReason {
    if is_full(errno) {
        DropReason::UnderlayTxFull
    } else {
        DropReason::UnderlayTxError
    }
}

/// Whether the error means that there is no room now, for any frame.
pub(crate) fn is_full(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)
}

/// Whether a queue that reports this when read will never deliver again: its
/// device or descriptor is gone.
pub(crate) fn is_gone(errno: i32) -> bool {
    matches!(
        errno,
        libc::EBADFD | libc::EBADF | libc::ENODEV | libc::ENXIO
    )
}

/// Errors in a row after which a queue counts as gone, whatever they are: a
/// driver must not spin on them.
pub(crate) const MAX_FAILURES: u32 = 32;
