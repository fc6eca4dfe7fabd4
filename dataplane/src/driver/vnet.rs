//! Frames as they cross a queue of a TUN or TAP device, or a packet socket: behind their virtio-net
//! header.

use std::fmt;
use std::os::fd::BorrowedFd;

use crate::counters::{Missed, QueueCounters};
use crate::driver::errors;
use crate::drop_reason::DropReason;
use crate::frame::{Frame, Ingress};
use crate::id::{PortId, UnderlayId};
use crate::mempool::HEADROOM;
use crate::sys::arena::Slot;
use crate::sys::{packet, virtio};

/// What a device is to us, which decides the form of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// The TUN device of a port, with IP packets.
    Port(PortId),
    /// The TAP device of a port, with Ethernet frames.
    Ethernet(PortId),
    /// A packet socket on the device of a port, with Ethernet frames.
    Packet(PortId),
    /// The TAP device that is the uplink of an underlay, with Ethernet frames.
    Uplink(UnderlayId),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(id) | Self::Ethernet(id) | Self::Packet(id) => write!(f, "port {id}"),
            Self::Uplink(id) => write!(f, "uplink of underlay {id}"),
        }
    }
}

impl Device {
    /// Bytes of header in front of each packet.
    #[inline]
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Port(_) | Self::Ethernet(_) | Self::Packet(_) => virtio::HEADER_LEN,
            Self::Uplink(_) => virtio::TUNNEL_HEADER_LEN,
        }
    }

    /// Where in a slot the queue's bytes go, so that the packet starts at [`HEADROOM`].
    #[inline]
    pub(crate) const fn read_offset(self) -> usize {
        HEADROOM - self.header_len()
    }

    /// Where its frames come from.
    #[inline]
    pub(crate) const fn ingress(self) -> Ingress {
        match self {
            Self::Port(id) => Ingress::Port(id),
            Self::Ethernet(id) | Self::Packet(id) => Ingress::Ethernet(id),
            Self::Uplink(id) => Ingress::Uplink(id),
        }
    }

    /// Whether an error of a read is about one packet, which is lost, and not about the queue: it is of
    /// a kind of segmentation that the header has no word for (SCTP's, say). TUN and TAP devices cut
    /// such packets before.
    pub(crate) fn loses_packet(self, errno: i32) -> bool {
        matches!(self, Self::Packet(_)) && errno == libc::EINVAL
    }

    /// Whether an error of a read says no more than that nothing comes for now: the device is down.
    pub(crate) fn is_quiet(self, errno: i32) -> bool {
        matches!(self, Self::Packet(_)) && errno == libc::ENETDOWN
    }

    /// Adds what the kernel dropped since the last time because a queue had no room for it. It tells
    /// so of packet sockets alone.
    pub(crate) fn count_missed(self, fd: BorrowedFd<'_>, counters: &QueueCounters) {
        if matches!(self, Self::Packet(_))
            && let Ok(drops) = packet::take_drops(fd)
        {
            let missed = counters.missed.get_or_init(Missed::default);
            missed.ring_full.add(drops.into());
        }
    }

    /// Why the queue did not take a packet.
    pub(crate) fn drop_reason(self, errno: i32) -> DropReason {
        match self {
            Self::Port(_) | Self::Ethernet(_) | Self::Packet(_) => errors::port_drop_reason(errno),
            Self::Uplink(_) => errors::underlay_drop_reason(errno),
        }
    }

    /// Makes a frame of the `len` bytes that were read to [`Self::read_offset`].
    ///
    /// # Errors
    ///
    /// The drop reason, when it is no whole packet: shorter than its header, of a
    /// kind never asked for, or as long as the memory, so that more was cut off.
    #[inline]
    pub(crate) fn unwrap(self, slot: Slot, len: usize) -> Result<Frame, DropReason> {
        let bytes = &slot.bytes()[self.read_offset()..];
        let whole = (self.header_len()..bytes.len()).contains(&len);
        let offload = match self {
            _ if !whole => None,
            Self::Port(_) | Self::Ethernet(_) | Self::Packet(_) => {
                bytes.first_chunk().and_then(virtio::decode)
            }
            Self::Uplink(_) => bytes.first_chunk().and_then(virtio::decode_tunnel),
        };
        let offload = offload.ok_or(DropReason::RxTruncated)?;
        let mut frame = Frame::from_slot(slot, HEADROOM, len - self.header_len());
        frame.meta.offload = offload;
        Ok(frame)
    }

    /// Puts the header in front of a packet; false if there is no room for it.
    #[inline]
    pub(crate) fn wrap(self, frame: &mut Frame) -> bool {
        if frame.headroom() < self.header_len() {
            return false;
        }
        let offload = frame.meta.offload;
        let header = frame.prepend(self.header_len());
        match self {
            Self::Port(_) | Self::Ethernet(_) | Self::Packet(_) => {
                if let Some(header) = header.first_chunk_mut() {
                    virtio::encode(&offload, header);
                }
            }
            Self::Uplink(_) => {
                if let Some(header) = header.first_chunk_mut() {
                    virtio::encode_tunnel(&offload, header);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use ringlay_encap::ip::IpVersion;

    use super::*;
    use crate::frame::{Encapsulation, Gso, Offload};
    use crate::mempool::Mempool;

    const DEVICES: [Device; 4] = [
        Device::Port(PortId(3)),
        Device::Ethernet(PortId(3)),
        Device::Packet(PortId(3)),
        Device::Uplink(UnderlayId(4)),
    ];

    #[test]
    fn a_packet_crosses_with_its_offload() {
        let pool = Mempool::new(1).unwrap();
        for device in DEVICES {
            let mut frame = pool.copy_of(b"packet").unwrap();
            frame.meta.offload = Offload {
                needs_checksum: true,
                gso: Gso::TcpV6,
                gso_size: 7,
                tunnel: matches!(device, Device::Uplink(_)).then_some(Encapsulation {
                    outer: IpVersion::V6,
                    transport: 54,
                    inner: 84,
                    checksum: true,
                }),
                ..Offload::default()
            };
            let offload = frame.meta.offload;
            assert!(device.wrap(&mut frame));
            let len = frame.len();
            let frame = device.unwrap(frame.into_slot(), len).unwrap();
            assert_eq!(frame.data(), b"packet");
            assert_eq!(frame.headroom(), HEADROOM);
            assert_eq!(frame.meta.offload, offload);
        }
    }

    #[test]
    fn what_is_no_whole_packet_is_dropped() {
        let pool = Mempool::new(1).unwrap();
        for device in DEVICES {
            for len in [0, 1, device.header_len() - 1, usize::MAX] {
                let slot = pool.allocate().unwrap().into_slot();
                assert_eq!(
                    device.unwrap(slot, len).err(),
                    Some(DropReason::RxTruncated)
                );
            }
            let slot = pool.allocate().unwrap().into_slot();
            let full = slot.bytes().len() - device.read_offset();
            assert_eq!(
                device.unwrap(slot, full).err(),
                Some(DropReason::RxTruncated)
            );
        }
    }

    #[test]
    fn without_headroom_nothing_is_written() {
        let pool = Mempool::new(1).unwrap();
        for device in DEVICES {
            let mut frame = pool.allocate().unwrap();
            frame.prepend(HEADROOM - device.header_len() + 1);
            assert!(!device.wrap(&mut frame));
            assert_eq!(frame.headroom(), device.header_len() - 1);
        }
    }
}
