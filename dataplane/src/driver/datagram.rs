//! Frames as they cross an underlay socket.

use crate::drop_reason::DropReason;
use crate::frame::Frame;
use crate::mempool::HEADROOM;
use crate::sys::datagram::Datagram;

/// Makes a frame of a datagram whose payload is at [`HEADROOM`].
///
/// # Errors
///
/// The drop reason, when a part of it is lost.
#[inline]
pub(crate) fn into_frame(datagram: Datagram) -> Result<Frame, DropReason> {
    if datagram.truncated {
        return Err(DropReason::RxTruncated);
    }
    let mut frame = Frame::from_slot(datagram.slot, HEADROOM, datagram.len);
    frame.meta.segment_size = datagram.segment_size;
    frame.meta.traffic_class = datagram.traffic_class;
    frame.meta.ttl = datagram.ttl;
    if let Some(remote) = datagram.remote {
        frame.meta.remote = remote;
    }
    Ok(frame)
}
