//! `recvmmsg(2)` and `sendmmsg(2)` over arrays that are made once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::frame::{Frame, Meta};
use crate::sys::arena::Slot;
use crate::sys::cmsg::{self, CONTROL_LEN, ControlBytes};
use crate::sys::datagram::Datagram;
use crate::sys::sockaddr::{self, SOCKADDR_LEN, SockaddrBytes};

/// Memory and headers for up to `capacity` datagrams a call.
#[derive(Debug)]
pub struct ReceiveArray {
    headers: Headers,
    /// Where each datagram goes; entries in front of the others are used first.
    slots: Vec<Option<Slot>>,
    payload_offset: usize,
}

impl ReceiveArray {
    /// An array without memory. Payloads will start `payload_offset` bytes into
    /// their slots.
    pub fn new(capacity: usize, payload_offset: usize) -> Self {
        let slots = (0..capacity).map(|_| None).collect();
        Self {
            headers: Headers::new(capacity),
            slots,
            payload_offset,
        }
    }

    /// Provides memory for `count` datagrams, or as many as `allocate` has memory
    /// for, and returns how many.
    pub fn fill(&mut self, count: usize, mut allocate: impl FnMut() -> Option<Slot>) -> usize {
        for (index, slot) in self.slots.iter_mut().take(count).enumerate() {
            if slot.is_none() {
                *slot = allocate();
            }
            if slot.is_none() {
                return index;
            }
        }
        count.min(self.slots.len())
    }

    /// Gives up the memory that holds no datagram.
    pub fn release(&mut self) {
        self.slots.fill_with(|| None);
    }

    /// Receives up to `count` datagrams without blocking and returns how many;
    /// [`Self::take`] gives access to them. Never more than there is memory for,
    /// zero if there is none.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there, or the error of the first datagram.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let mut prepared = 0;
        for slot in self.slots.iter_mut().take(count) {
            let Some(slot) = slot else { break };
            let payload = &mut slot.bytes_mut()[self.payload_offset..];
            self.headers.prepare_receive(prepared, payload);
            prepared += 1;
        }
        if prepared == 0 {
            return Ok(0);
        }
        // SAFETY: the first `prepared` headers point to storage of `self.headers`
        // and to slots that `self.slots` owns, all of which outlive the call and
        // which nobody else refers to.
        let rc = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.messages.as_mut_ptr(),
                prepared as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(rc).map_err(|_| io::Error::last_os_error())
    }

    /// Takes out the datagram that the last [`Self::receive`] put at `index`;
    /// `None` if it was taken before.
    #[inline]
    pub fn take(&mut self, index: usize) -> Option<Datagram> {
        let slot = self.slots[index].take()?;
        let message = &self.headers.messages[index];
        let header = &message.msg_hdr;
        let name = &self.headers.names[index][..SOCKADDR_LEN.min(header.msg_namelen as usize)];
        let control = &self.headers.controls[index][..CONTROL_LEN.min(header.msg_controllen as _)];
        let ancillary = cmsg::parse(control);
        let capacity = slot.bytes().len() - self.payload_offset;
        Some(Datagram {
            len: capacity.min(message.msg_len as usize),
            remote: sockaddr::decode(name),
            segment_size: ancillary.segment_size,
            traffic_class: ancillary.traffic_class,
            ttl: ancillary.ttl,
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            slot,
        })
    }
}

/// Headers for up to `capacity` datagrams a call.
#[derive(Debug)]
pub struct SendArray {
    headers: Headers,
}

impl SendArray {
    /// An array for `capacity` datagrams.
    pub fn new(capacity: usize) -> Self {
        Self {
            headers: Headers::new(capacity),
        }
    }

    /// Sends the packets of frames to their `meta.remote`, each by itself, in order, without
    /// blocking: those after the first `skip`, as many as the array holds. Returns how many were
    /// sent: at least one.
    ///
    /// # Errors
    ///
    /// Why the first of them was not sent; none was then.
    pub fn send_each(
        &mut self,
        socket: BorrowedFd<'_>,
        frames: &[Frame],
        skip: usize,
    ) -> io::Result<usize> {
        let packets = frames
            .iter()
            .flat_map(|frame| packets(frame).map(move |packet| (frame, packet)));
        let mut count = 0;
        for (frame, packet) in packets.skip(skip).take(self.headers.messages.len()) {
            self.headers.prepare_packet(count, &frame.meta, packet);
            count += 1;
        }
        self.send_prepared(socket, count)
    }

    /// Sends frames to their `meta.remote`, as many as the array holds, in order,
    /// without blocking, and returns how many were sent: at least one.
    ///
    /// A frame with a `segment_size` is sent as a train of datagrams of that size.
    ///
    /// # Errors
    ///
    /// Why the first of them was not sent; none was then.
    pub fn send(&mut self, socket: BorrowedFd<'_>, frames: &[Frame]) -> io::Result<usize> {
        let count = frames.len().min(self.headers.messages.len());
        for (index, frame) in frames.iter().take(count).enumerate() {
            self.headers.prepare_send(index, frame);
        }
        self.send_prepared(socket, count)
    }

    /// Sends the first `count` messages, which must have been prepared by the caller from
    /// frames that it borrows.
    fn send_prepared(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        // SAFETY: the first `count` headers point to storage of `self.headers` and
        // to data of frames that the caller, a method of this type, borrows during the call;
        // the kernel only reads what the headers point to.
        let rc = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(rc).map_err(|_| io::Error::last_os_error())
    }
}

/// The packets of a frame: one, or those of a train.
#[inline]
pub fn packets(frame: &Frame) -> impl Iterator<Item = &[u8]> {
    let (data, size) = (frame.data(), usize::from(frame.meta.segment_size));
    let count = frame.datagrams();
    (0..count).map(move |index| match count {
        1 => data,
        _ => &data[index * size..data.len().min((index + 1) * size)],
    })
}

/// Message headers and what they point to. The boxed slices never move.
struct Headers {
    messages: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[SockaddrBytes]>,
    controls: Box<[ControlBytes]>,
}

impl Headers {
    fn new(capacity: usize) -> Self {
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            messages: (0..capacity).map(|_| empty_message()).collect(),
            vectors: vec![vector; capacity].into(),
            names: vec![[0; SOCKADDR_LEN]; capacity].into(),
            controls: vec![[0; CONTROL_LEN]; capacity].into(),
        }
    }

    #[inline]
    fn prepare_receive(&mut self, index: usize, payload: &mut [u8]) {
        self.vectors[index] = libc::iovec {
            iov_base: payload.as_mut_ptr().cast(),
            iov_len: payload.len(),
        };
        self.point(index, SOCKADDR_LEN, CONTROL_LEN);
    }

    #[inline]
    fn prepare_send(&mut self, index: usize, frame: &Frame) {
        let control_len = cmsg::encode(frame, &mut self.controls[index]);
        self.prepare(index, &frame.meta, frame.data(), control_len);
    }

    #[inline]
    fn prepare_packet(&mut self, index: usize, meta: &Meta, packet: &[u8]) {
        let control_len = cmsg::encode_packet(meta, &mut self.controls[index]);
        self.prepare(index, meta, packet, control_len);
    }

    #[inline]
    fn prepare(&mut self, index: usize, meta: &Meta, data: &[u8], control_len: usize) {
        // `sendmmsg` does not write through the vector, although its type says so.
        self.vectors[index] = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        let name_len = sockaddr::encode(&meta.remote, &mut self.names[index]);
        self.point(index, name_len, control_len);
    }

    /// Points message `index` at its vector, name and control storage.
    #[inline]
    fn point(&mut self, index: usize, name_len: usize, control_len: usize) {
        let header = &mut self.messages[index].msg_hdr;
        header.msg_name = self.names[index].as_mut_ptr().cast();
        header.msg_namelen = name_len as libc::socklen_t;
        header.msg_iov = &raw mut self.vectors[index];
        header.msg_iovlen = 1;
        header.msg_control = match control_len {
            0 => std::ptr::null_mut(),
            _ => self.controls[index].as_mut_ptr().cast(),
        };
        header.msg_controllen = control_len as _;
        header.msg_flags = 0;
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Headers")
            .field("capacity", &self.messages.len())
            .finish_non_exhaustive()
    }
}

fn empty_message() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` consists of integers and raw pointers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::mempool::{HEADROOM, Mempool};

    fn frame(pool: &Mempool, data: &[u8], to: &UdpSocket) -> Frame {
        let mut frame = pool.copy_of(data).unwrap();
        frame.meta.remote = to.local_addr().unwrap();
        frame
    }

    #[test]
    fn datagrams_arrive_in_order_with_their_sender() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let pool = Mempool::new(16).unwrap();
            let (a, b) = (
                UdpSocket::bind(address).unwrap(),
                UdpSocket::bind(address).unwrap(),
            );
            let sent: Vec<_> = [&b"first"[..], b"", &[7; 60_000]]
                .map(|data| frame(&pool, data, &b))
                .into_iter()
                .collect();
            assert_eq!(SendArray::new(8).send(a.as_fd(), &sent).unwrap(), 3);
            let mut array = ReceiveArray::new(8, HEADROOM);
            let mut allocate = || pool.allocate().map(Frame::into_slot);
            assert_eq!(array.fill(8, &mut allocate), 8);
            assert_eq!(array.receive(b.as_fd(), 8).unwrap(), 3);
            for (index, frame) in sent.iter().enumerate() {
                let got = array.take(index).unwrap();
                assert_eq!(
                    &got.slot.bytes()[HEADROOM..HEADROOM + got.len],
                    frame.data()
                );
                assert_eq!(got.remote, Some(a.local_addr().unwrap()));
                assert!(!got.truncated && got.segment_size == 0);
                assert!(array.take(index).is_none());
            }
            assert_eq!(
                array.receive(b.as_fd(), 8).unwrap(),
                0,
                "there is no memory"
            );
            assert_eq!(array.fill(8, &mut allocate), 8);
            let error = array.receive(b.as_fd(), 8).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_train_leaves_and_arrives_whole() {
        let pool = Mempool::new(4).unwrap();
        let (a, b) = (
            UdpSocket::bind("[::1]:0").unwrap(),
            UdpSocket::bind("[::1]:0").unwrap(),
        );
        crate::sys::sockopt::set_udp_gro(b.as_fd(), true).unwrap();
        let mut train = frame(&pool, &[3; 7_100], &b);
        train.meta.segment_size = 1_000;
        assert_eq!(
            SendArray::new(1)
                .send(a.as_fd(), std::slice::from_ref(&train))
                .unwrap(),
            1
        );
        let mut array = ReceiveArray::new(1, HEADROOM);
        array.fill(1, || pool.allocate().map(Frame::into_slot));
        assert_eq!(array.receive(b.as_fd(), 1).unwrap(), 1);
        let got = array.take(0).unwrap();
        assert_eq!((got.len, got.segment_size), (7_100, 1_000));
    }
}
