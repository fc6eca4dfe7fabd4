//! Frames as they cross a TUN queue: behind their virtio-net header.

use crate::drop_reason::DropReason;
use crate::frame::Frame;
use crate::mempool::HEADROOM;
use crate::port::tun::VNET_HEADER_LEN;
use crate::sys::arena::Slot;
use crate::sys::virtio;

/// Where in a slot a TUN queue's bytes go, so that the packet starts at [`HEADROOM`].
pub(crate) const READ_OFFSET: usize = HEADROOM - VNET_HEADER_LEN;

/// Makes a frame of the `len` bytes that were read to [`READ_OFFSET`].
///
/// # Errors
///
/// The drop reason, when it is no whole packet: shorter than its header, of a
/// kind never asked for, or as long as the memory, so that more was cut off.
#[inline]
pub(crate) fn unwrap(slot: Slot, len: usize) -> Result<Frame, DropReason> {
    let bytes = &slot.bytes()[READ_OFFSET..];
    let header = bytes
        .first_chunk()
        .filter(|_| (VNET_HEADER_LEN..bytes.len()).contains(&len));
    let offload = header
        .and_then(virtio::decode)
        .ok_or(DropReason::RxTruncated)?;
    let mut frame = Frame::from_slot(slot, HEADROOM, len - VNET_HEADER_LEN);
    frame.meta.offload = offload;
    Ok(frame)
}

/// Puts the header in front of a packet; false if there is no room for it.
#[inline]
pub(crate) fn wrap(frame: &mut Frame) -> bool {
    if frame.headroom() < VNET_HEADER_LEN {
        return false;
    }
    let offload = frame.meta.offload;
    let header = frame.prepend(VNET_HEADER_LEN);
    if let Some(header) = header.first_chunk_mut() {
        virtio::encode(&offload, header);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Gso, Offload};
    use crate::mempool::Mempool;

    #[test]
    fn a_packet_crosses_with_its_offload() {
        let pool = Mempool::new(1).unwrap();
        let mut frame = pool.copy_of(b"packet").unwrap();
        frame.meta.offload = Offload {
            needs_checksum: true,
            gso: Gso::TcpV6,
            gso_size: 7,
            ..Offload::default()
        };
        let offload = frame.meta.offload;
        assert!(wrap(&mut frame));
        let len = frame.len();
        let frame = unwrap(frame.into_slot(), len).unwrap();
        assert_eq!(frame.data(), b"packet");
        assert_eq!(frame.headroom(), HEADROOM);
        assert_eq!(frame.meta.offload, offload);
    }

    #[test]
    fn what_is_no_whole_packet_is_dropped() {
        let pool = Mempool::new(1).unwrap();
        for len in [0, 1, VNET_HEADER_LEN - 1, usize::MAX] {
            let slot = pool.allocate().unwrap().into_slot();
            assert_eq!(unwrap(slot, len).err(), Some(DropReason::RxTruncated));
        }
        let slot = pool.allocate().unwrap().into_slot();
        let full = slot.bytes().len() - READ_OFFSET;
        assert_eq!(unwrap(slot, full).err(), Some(DropReason::RxTruncated));
    }

    #[test]
    fn without_headroom_nothing_is_written() {
        let pool = Mempool::new(1).unwrap();
        let mut frame = pool.allocate().unwrap();
        frame.prepend(HEADROOM - VNET_HEADER_LEN + 1);
        assert!(!wrap(&mut frame));
        assert_eq!(frame.headroom(), VNET_HEADER_LEN - 1);
    }
}
