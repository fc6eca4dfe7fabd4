//! Sending by sockets for which the kernel cuts nothing: raw IP sockets (it has UDP_SEGMENT for UDP
//! alone), and UDP sockets that send no checksums. Both drivers send with `sendmmsg(2)`: a train of
//! packets is as many messages, for which one system call costs less than as many io_uring requests.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::batch::BATCH_SIZE;
use crate::counters::QueueCounters;
use crate::driver::errors;
use crate::driver::ledger::Ledger;
use crate::frame::Frame;
use crate::sys::mmsg::{self, SendArray};

/// A socket, perhaps others for particular frames, and the frames to leave by them, in order.
#[derive(Debug)]
pub(crate) struct PacketSender {
    socket: OwnedFd,
    fragmenting: Option<OwnedFd>,
    limited: Option<OwnedFd>,
    pending: Vec<Frame>,
}

impl PacketSender {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            fragmenting: None,
            limited: None,
            pending: Vec::with_capacity(BATCH_SIZE),
        }
    }

    /// The same, with others for oversized frames, and for those with an encapsulation limit, as far
    /// as there are any.
    pub(crate) fn with_others(
        self,
        fragmenting: Option<OwnedFd>,
        limited: Option<OwnedFd>,
    ) -> Self {
        Self {
            fragmenting,
            limited,
            ..self
        }
    }

    /// The socket for such frames.
    #[inline]
    fn socket_for(&self, kind: (bool, bool)) -> BorrowedFd<'_> {
        let other = match kind {
            (true, _) => &self.fragmenting,
            (false, true) => &self.limited,
            (false, false) => &None,
        };
        other.as_ref().unwrap_or(&self.socket).as_fd()
    }

    /// Queues a frame; true if [`Self::flush`] must come before the next one.
    #[inline]
    fn push(&mut self, mut frame: Frame) -> bool {
        if let SocketAddr::V6(remote) = &mut frame.meta.remote {
            // The only thing in outer headers that tells flows apart on their way (RFC 6438).
            const LABEL: u32 = 0x000f_ffff;
            remote.set_flowinfo((frame.meta.flow_hash & LABEL).to_be());
        }
        self.pending.push(frame);
        self.pending.len() == BATCH_SIZE
    }

    /// Queues a frame, and sends what is queued if that fills a system call.
    #[inline]
    pub(crate) fn send(
        &mut self,
        frame: Frame,
        sends: &mut SendArray,
        ledger: &Ledger,
        counters: &QueueCounters,
    ) {
        if self.push(frame) {
            self.flush(sends, ledger, counters);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends what is queued.
    pub(crate) fn flush(
        &mut self,
        sends: &mut SendArray,
        ledger: &Ledger,
        counters: &QueueCounters,
    ) {
        let kind = |it: &Frame| (it.meta.oversized, it.meta.encap_limit.is_some());
        for frames in self.pending.chunk_by(|a, b| kind(a) == kind(b)) {
            let socket = self.socket_for(kind(&frames[0]));
            send_all(socket, frames, sends, ledger, counters);
        }
        self.pending.clear();
    }
}

/// Sends all of these frames, or drops those that the kernel refuses.
fn send_all(
    socket: BorrowedFd<'_>,
    frames: &[Frame],
    sends: &mut SendArray,
    ledger: &Ledger,
    counters: &QueueCounters,
) {
    let mut rest = Rest { frames, packets: 0 };
    while !rest.frames.is_empty() {
        ledger.system_calls(1);
        let sent = sends.send_each(socket, rest.frames, rest.packets);
        let error = match sent {
            Ok(sent) => {
                rest.take(sent, |len| ledger.sent_packet(counters, len));
                continue;
            }
            Err(error) => error.raw_os_error().unwrap_or(0),
        };
        // A full socket is full for all of them; any other error is about one.
        let refused = match error {
            libc::EINTR => 0,
            error if errors::is_full(error) => usize::MAX,
            _ => 1,
        };
        let reason = errors::underlay_drop_reason(error);
        rest.take(refused, |_| ledger.dropped_packet(reason));
    }
}

/// Packets that are still to be sent.
struct Rest<'a> {
    frames: &'a [Frame],
    /// How many of the first frame are done.
    packets: usize,
}

impl Rest<'_> {
    /// Takes up to `count` packets off, giving the length of each to `account`.
    fn take(&mut self, mut count: usize, account: impl Fn(usize)) {
        while let Some((frame, others)) = self.frames.split_first().filter(|_| count > 0) {
            let packets = mmsg::packets(frame).skip(self.packets).take(count);
            let taken = packets.map(|packet| account(packet.len())).count();
            count -= taken;
            self.packets += taken;
            if self.packets == frame.datagrams() {
                (self.frames, self.packets) = (others, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::mempool::Mempool;

    #[test]
    fn packets_are_taken_one_by_one_across_trains() {
        let pool = Mempool::new(3).unwrap();
        let frames = [(3500, 1000), (0, 0), (700, 0)].map(|(len, size)| {
            let mut frame = pool.copy_of(&vec![0; len]).unwrap();
            frame.meta.segment_size = size;
            frame
        });
        for step in 1..8 {
            let lens = Cell::new(Vec::new());
            let mut rest = Rest {
                frames: &frames,
                packets: 0,
            };
            let mut rounds = 0;
            while !rest.frames.is_empty() {
                rest.take(step, |len| {
                    let mut all = lens.take();
                    all.push(len);
                    lens.set(all);
                });
                rounds += 1;
            }
            assert_eq!(lens.take(), [1000, 1000, 1000, 500, 0, 700]);
            assert_eq!(rounds, 6_usize.div_ceil(step));
        }
    }
}
