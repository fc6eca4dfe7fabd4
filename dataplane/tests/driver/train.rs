//! Datagrams of the host: a train that it hands over in one system call, and that a queue is to carry
//! as one super-frame both ways.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use ringlay_dataplane::frame::{Frame, Gso};
use ringlay_dataplane::sys::mmsg::SendArray;

use crate::rig::{Rig, pattern};

/// Bytes of a datagram of the train; the last one is shorter.
const SEGMENT: usize = 1_400;

const PORT: u16 = 9;

/// A socket of the host at one address, for datagrams to another.
pub(crate) fn connected(from: Ipv4Addr, to: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    let patience = Duration::from_secs(10);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.connect((to, PORT)).unwrap();
    socket
}

/// A train that was sent: what its datagrams carry.
pub(crate) struct Train(Vec<u8>);

impl Train {
    /// Sends one from a [connected] socket.
    pub(crate) fn send(rig: &Rig, socket: &UdpSocket, to: Ipv4Addr) -> Self {
        let data = pattern(3, 43 * SEGMENT + 100);
        let mut train = rig.frame(&data, (to, PORT).into());
        train.meta.segment_size = SEGMENT as u16;
        SendArray::new(1).send(socket.as_fd(), &[train]).unwrap();
        Self(data)
    }

    /// Fails unless the train is whole in one packet with so many bytes of headers, and the packet
    /// says how to cut it.
    pub(crate) fn assert_whole(&self, packet: &Frame, headers: usize) {
        assert_eq!(packet.data()[headers..], self.0);
        let offload = packet.meta.offload;
        let cut = (offload.gso, usize::from(offload.gso_size));
        assert_eq!(cut, (Gso::UdpL4, SEGMENT));
        assert!(offload.needs_checksum);
        let checksum = (usize::from(offload.csum_start), offload.csum_offset);
        assert_eq!(checksum, (headers - 8, 6), "that of the UDP header");
    }

    /// Fails unless its datagrams come back to the socket, one by one.
    pub(crate) fn assert_cut(&self, socket: &UdpSocket) {
        let mut buffer = [0; 2_000];
        for segment in self.0.chunks(SEGMENT) {
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], segment);
        }
    }
}
