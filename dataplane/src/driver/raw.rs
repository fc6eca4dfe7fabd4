//! Packets as a raw IP socket delivers them.

use ringlay_encap::ip::IpVersion;
use ringlay_encap::ipv4::Ipv4Packet;

use crate::driver::datagram;
use crate::drop_reason::DropReason;
use crate::frame::Frame;
use crate::sys::datagram::Datagram;

/// Makes a frame of what a socket of `version` delivered: over IPv4 the outer header comes
/// along.
///
/// # Errors
///
/// The drop reason, when it is not whole.
#[inline]
pub(crate) fn into_frame(datagram: Datagram, version: IpVersion) -> Result<Frame, DropReason> {
    let mut frame = datagram::into_frame(datagram)?;
    if version == IpVersion::V4 {
        let outer = Ipv4Packet::new_checked(frame.data()).map_err(|_| DropReason::RxTruncated)?;
        let (header_len, total_len) = (outer.header_len(), outer.total_len());
        let (traffic_class, ttl) = (outer.traffic_class(), outer.ttl());
        frame.truncate(total_len);
        frame.trim_front(header_len);
        (frame.meta.traffic_class, frame.meta.ttl) = (traffic_class, ttl);
    }
    Ok(frame)
}
