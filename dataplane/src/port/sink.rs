//! The far end of a measurement: counts the marked packets that a device receives and drops them,
//! before the kernel has spent more on them than its driver does.
//!
//! A mark is eight bytes at a fixed place of a packet: who sent it, and the number of a measurement,
//! so that packets of an earlier one are not counted for this one. The host gets what has no mark.
//! Nothing stays behind when the process ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::classifier::{
    ADD_TO_MEMORY, Assembler, CONTEXT, JUMP_IF_UNLIKE, LOAD_CONSTANT, LOAD_DOUBLE, LOAD_WORD,
    MOVE_CONSTANT, PACKET, RESULT, VALUE, XDP,
};
use crate::sys::bpf::{self, Instruction, ProgramKind, XdpMode};
use crate::sys::cells::Cells;

/// Which packets are counted, by where their mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// The device's interface index.
    pub device: u32,
    /// Where the program runs.
    pub mode: XdpMode,
    /// Offset of the mark from the start of the Ethernet frame, in bytes.
    pub mark_at: i16,
    /// Its first four bytes, in network byte order. The other four are the measurement's number.
    pub magic: u32,
}

/// A program in force on a device.
#[derive(Debug)]
pub struct Sink {
    cells: Cells,
    _link: OwnedFd,
}

/// Places of [`Cells`].
const NUMBER: usize = 0;
const COUNT: usize = 1;
const CELLS: usize = 2;
/// No measurement.
const NONE: u64 = u64::MAX;

impl Sink {
    /// Drops what has a mark. Nothing is counted yet.
    ///
    /// # Errors
    ///
    /// `EBUSY` or `EEXIST` when the device has an XDP program, `EOPNOTSUPP` when its driver runs
    /// none, `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`.
    pub fn attach(config: &SinkConfig) -> io::Result<Self> {
        let cells = Cells::new(CELLS)?;
        cells.store(NUMBER, NONE);
        let instructions = program(cells.as_fd(), config);
        let program = bpf::load(ProgramKind::Xdp, &instructions)?;
        let link = bpf::attach_xdp(program.as_fd(), config.device, config.mode)?;
        Ok(Self { cells, _link: link })
    }

    /// Counts the packets of this measurement from now on, beginning with 0.
    pub fn expect(&self, number: u32) {
        // What comes meanwhile is of another one.
        self.cells.store(NUMBER, NONE);
        self.cells.store(COUNT, 0);
        self.cells.store(NUMBER, on_the_wire(number).into());
    }

    /// Packets counted.
    pub fn packets(&self) -> u64 {
        self.cells.load(COUNT)
    }
}

/// Passes on what has no mark; drops the rest, and counts of it what has the number in the first cell.
fn program(cells: BorrowedFd<'_>, config: &SinkConfig) -> Vec<Instruction> {
    /// `BPF_PSEUDO_MAP_VALUE`, as source register: the address of the map's only value.
    const ADDRESS: u8 = 2;
    /// `XDP_DROP`.
    const DROP: i32 = 1;
    const CELL: i16 = size_of::<u64>() as i16;
    /// Instructions that count.
    const COUNTING: i16 = 2;
    let SinkConfig { mark_at, magic, .. } = *config;
    let mut program = Assembler::of(XDP);
    program.require_len(i32::from(mark_at + 8));
    let magic = on_the_wire(magic).cast_signed();
    program.require(LOAD_WORD, PACKET, mark_at, magic);
    program.push(LOAD_WORD, VALUE, PACKET, mark_at + 4, 0);
    program.push(LOAD_CONSTANT, CONTEXT, ADDRESS, 0, cells.as_raw_fd());
    program.push(0, 0, 0, 0, 0);
    program.push(LOAD_DOUBLE, RESULT, CONTEXT, NUMBER as i16 * CELL, 0);
    program.push(JUMP_IF_UNLIKE, VALUE, RESULT, COUNTING, 0);
    program.push(MOVE_CONSTANT, RESULT, 0, 0, 1);
    program.push(ADD_TO_MEMORY, CONTEXT, RESULT, COUNT as i16 * CELL, 0);
    program.push(MOVE_CONSTANT, RESULT, 0, 0, DROP);
    program.exit();
    program.finish()
}

/// As a load sees it.
fn on_the_wire(value: u32) -> u32 {
    u32::from_ne_bytes(value.to_be_bytes())
}
