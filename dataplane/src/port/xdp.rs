//! Leads what a device receives to AF_XDP sockets, past the host's own stack.
//!
//! A program on the device hands packets to the socket of their queue: all of them, or those for
//! tunnel endpoints or a station. What has no socket, and whatever the program does not recognise,
//! the host gets. It holds as long as the [`XdpProgram`] lives, so nothing stays behind when the
//! process ends, and it replaces no program of others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::classifier::{
    Assembler, CALL, CONTEXT, END, LOAD_CONSTANT, LOAD_WORD, MOVE_CONSTANT, PACKET, RESULT, XDP,
};
use super::station::{self, Station};
use super::tunnels::{self, Tunnels};
use crate::sys::bpf::{self, Instruction, ProgramKind, XdpMode};
use crate::sys::packet;
use crate::sys::xdp::RECEIVE_MAX;

/// Which packets are led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All.
    All,
    /// Whole, untagged packets without IP options for these tunnel endpoints, as far as they fit a
    /// socket's memory. The host's sockets get the others, fragments put together.
    Tunnels(Tunnels),
    /// What is for this station, as far as it fits a socket's memory. The device listens to its MAC
    /// address as to its own.
    Station(Station),
}

/// A program in force, and the sockets it leads to.
#[derive(Debug)]
pub struct XdpProgram {
    sockets: OwnedFd,
    link: OwnedFd,
    /// Makes the device listen to another MAC address.
    _member: Option<OwnedFd>,
}

impl XdpProgram {
    /// Runs a program on the device with this index, for so many queues.
    ///
    /// # Errors
    ///
    /// `EBUSY` or `EEXIST` when the device has a program, `EOPNOTSUPP` when its driver runs none
    /// (then [`XdpMode::Generic`] helps), `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`.
    pub fn attach(
        device: u32,
        queues: u32,
        mode: XdpMode,
        selection: &Selection,
    ) -> io::Result<Self> {
        let sockets = bpf::socket_map(queues)?;
        let program = bpf::load(ProgramKind::Xdp, &program(sockets.as_fd(), selection))?;
        let link = bpf::attach_xdp(program.as_fd(), device, mode)?;
        let member = match selection {
            Selection::Station(station) => Some(packet::listen_to(device, station.mac.0)?),
            Selection::All | Selection::Tunnels(_) => None,
        };
        Ok(Self {
            sockets,
            link,
            _member: member,
        })
    }

    /// Leads these packets from now on, and those of before no more. Not for stations, which come
    /// with a MAC address.
    ///
    /// # Errors
    ///
    /// What the kernel says; then all is as before.
    pub fn select(&self, selection: &Selection) -> io::Result<()> {
        let program = program(self.sockets.as_fd(), selection);
        let program = bpf::load(ProgramKind::Xdp, &program)?;
        bpf::replace_xdp(self.link.as_fd(), program.as_fd())
    }

    /// Leads what comes by a queue to the bound AF_XDP socket of that queue, until it is closed.
    ///
    /// # Errors
    ///
    /// `E2BIG` when there is no such queue.
    pub fn lead(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        bpf::insert_socket(self.sockets.as_fd(), queue, socket)
    }
}

/// `return bpf_redirect_map(sockets, context->rx_queue_index, XDP_PASS)` for what is selected.
fn program(sockets: BorrowedFd<'_>, selection: &Selection) -> Vec<Instruction> {
    /// `BPF_PSEUDO_MAP_FD`, as source register.
    const MAP: u8 = 1;
    /// `BPF_FUNC_redirect_map`.
    const REDIRECT_MAP: i32 = 51;
    /// `XDP_PASS`, also if the queue has no socket.
    const PASS: i32 = 2;
    /// Where `struct xdp_md` has the number of the queue.
    const QUEUE: i16 = 16;
    let mut program = Assembler::of(XDP);
    match selection {
        Selection::All => {}
        Selection::Tunnels(tunnels) if tunnels.is_empty() => {
            program.push(MOVE_CONSTANT, RESULT, 0, 0, PASS);
            program.exit();
            return program.finish();
        }
        Selection::Tunnels(tunnels) => {
            program.require_at_most(RECEIVE_MAX as i32);
            let ours = tunnels::recognise(&mut program, tunnels);
            ours.into_iter().for_each(|jump| program.land(jump));
        }
        Selection::Station(station) => {
            program.require_at_most(RECEIVE_MAX as i32);
            let ours = station::recognise(&mut program, station);
            ours.into_iter().for_each(|jump| program.land(jump));
        }
    }
    program.push(LOAD_WORD, PACKET, CONTEXT, QUEUE, 0);
    program.push(LOAD_CONSTANT, CONTEXT, MAP, 0, sockets.as_raw_fd());
    program.push(0, 0, 0, 0, 0);
    program.push(MOVE_CONSTANT, END, 0, 0, PASS);
    program.push(CALL, 0, 0, 0, REDIRECT_MAP);
    program.exit();
    program.finish()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use ringlay_encap::{Encapsulation, MacAddr, UdpChecksum};

    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn the_kernel_takes_the_program_for_each_selection() {
        let sockets = bpf::socket_map(1).expect("these tests need root");
        let endpoints = ["192.168.77.1", "fd77::1"].map(|local| local.parse().unwrap());
        let endpoints = endpoints.into_iter().flat_map(|local: IpAddr| {
            let endpoint = move |encapsulation: Encapsulation| Endpoint {
                local: SocketAddr::new(local, encapsulation.udp_port().unwrap_or(0)),
                encapsulation,
                checksum: UdpChecksum::On,
            };
            const ALL: &[Encapsulation] = &Encapsulation::ALL;
            let some = (0..=ALL.len()).flat_map(|end| [&ALL[..end], &ALL[end..]]);
            some.map(move |some| {
                let endpoints = some.iter().copied().map(endpoint);
                Selection::Tunnels(Tunnels::new(local, endpoints))
            })
        });
        let stations = [(0, false), (9, false), (9, true)].map(|(count, proxy)| {
            let v4 = (0..count).map(|n| IpAddr::from([10, 0, 0, n]));
            let v6 = (0..count).map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n.into()]));
            Selection::Station(Station {
                mac: MacAddr([0x02, 0, 0, 0, 0xff, 0xfe]),
                addresses: v4.chain(v6).collect(),
                proxy,
            })
        });
        let others = stations.into_iter().chain([Selection::All]);
        for selection in endpoints.chain(others) {
            let program = program(sockets.as_fd(), &selection);
            bpf::load(ProgramKind::Xdp, &program).unwrap();
        }
    }
}
