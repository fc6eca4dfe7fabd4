//! Leads what a device receives to AF_XDP sockets, past the host's own stack.
//!
//! A program on the device hands every packet to the socket of its queue; without one, the host
//! gets it. It holds as long as the [`XdpProgram`] lives, so nothing stays behind when the
//! process ends, and it replaces no program of others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::sys::bpf::{self, Instruction, ProgramKind, XdpMode};

/// A program in force, and the sockets it leads to.
#[derive(Debug)]
pub struct XdpProgram {
    sockets: OwnedFd,
    _link: OwnedFd,
}

impl XdpProgram {
    /// Runs a program on the device with this index, for so many queues.
    ///
    /// # Errors
    ///
    /// `EBUSY` or `EEXIST` when the device has a program, `EOPNOTSUPP` when its driver runs none
    /// (then [`XdpMode::Generic`] helps), `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`.
    pub fn attach(device: u32, queues: u32, mode: XdpMode) -> io::Result<Self> {
        let sockets = bpf::socket_map(queues)?;
        let program = bpf::load(ProgramKind::Xdp, &program(sockets.as_fd()))?;
        let link = bpf::attach_xdp(program.as_fd(), device, mode)?;
        Ok(Self {
            sockets,
            _link: link,
        })
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

/// `return bpf_redirect_map(sockets, context->rx_queue_index, XDP_PASS)`.
fn program(sockets: BorrowedFd<'_>) -> [Instruction; 6] {
    const LOAD_WORD: u8 = 0x61;
    const LOAD_CONSTANT: u8 = 0x18; // 64 bits, in two instructions
    const MOVE_CONSTANT: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    /// `BPF_PSEUDO_MAP_FD`, as source register.
    const MAP: u8 = 1;
    /// `BPF_FUNC_redirect_map`.
    const REDIRECT_MAP: i32 = 51;
    /// Where `struct xdp_md` has the number of the queue.
    const QUEUE: i16 = 16;
    /// What to do if the queue has no socket: `XDP_PASS`.
    const PASS: i32 = 2;
    let instruction = |opcode, to: u8, from: u8, offset, immediate| Instruction {
        opcode,
        registers: from << 4 | to,
        offset,
        immediate,
    };
    [
        instruction(LOAD_WORD, 2, 1, QUEUE, 0),
        instruction(LOAD_CONSTANT, 1, MAP, 0, sockets.as_raw_fd()),
        instruction(0, 0, 0, 0, 0),
        instruction(MOVE_CONSTANT, 3, 0, 0, PASS),
        instruction(CALL, 0, 0, 0, REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}
