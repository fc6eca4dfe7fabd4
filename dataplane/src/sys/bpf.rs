//! `bpf(2)`: loading programs, and hanging them on what a device receives: classifiers (TCX,
//! Linux 6.6), and XDP programs with the map of sockets that they redirect to (links, Linux 5.9).
//!
//! Which instructions make a program is the caller's business; the kernel's verifier is the
//! judge of them. Layouts: `linux/bpf.h`.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub opcode: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub registers: u8,
    /// Offset of a memory access or jump.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` needs.
#[derive(Clone, Copy)]
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` needs.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_MAP_UPDATE_ELEM` needs.
#[repr(C)]
struct MapUpdate {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` needs.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target_index: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_UPDATE` needs.
#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// The part of `union bpf_attr` that `BPF_PROG_QUERY` of a device needs.
#[repr(C)]
struct ProgramQuery {
    target_index: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    count: u32,
    padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_XDP: u32 = 37;
/// Flags of `linux/if_link.h`.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Attempts to load a program: as many as libbpf makes.
const LOAD_ATTEMPTS: u32 = 5;

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// `BPF_PROG_TYPE_SCHED_CLS`: packets as the kernel's stack has them.
    Classifier,
    /// `BPF_PROG_TYPE_XDP`: packets as the device's driver has them.
    Xdp,
}

impl ProgramKind {
    fn number(self) -> u32 {
        match self {
            Self::Classifier => 3,
            Self::Xdp => 6,
        }
    }
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the device's driver.
    Native,
    /// Where the kernel's stack begins: for any device, and slower.
    Generic,
}

/// Loads a program.
///
/// # Errors
///
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`, `EINVAL` or `EACCES` when the verifier
/// refuses it, `ENOSYS` without `bpf(2)`.
pub fn load(kind: ProgramKind, program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"MIT";
    let attributes = ProgramLoad {
        program_type: kind.number(),
        count: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let mut attempts = 0;
    loop {
        attempts += 1;
        // SAFETY: `attributes` is what BPF_PROG_LOAD reads, with zeroes for what is left out; it
        // points to `count` instructions and to a zero-terminated string that outlive the call.
        match unsafe { open(BPF_PROG_LOAD, attributes) } {
            // The verifier stops for whatever else the thread has to do.
            Err(error)
                if error.raw_os_error() == Some(libc::EAGAIN) && attempts < LOAD_ATTEMPTS => {}
            loaded => return loaded,
        }
    }
}

/// Runs `program` on all that the device with this index receives, until the returned
/// descriptor is closed.
///
/// # Errors
///
/// `EINVAL` before Linux 6.6, `ENODEV` when there is no such device.
pub fn attach_ingress(program: BorrowedFd<'_>, device: u32) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        target_index: device,
        attach_type: BPF_TCX_INGRESS,
        flags: 0,
    };
    // SAFETY: `attributes` is what BPF_LINK_CREATE reads, with zeroes for what is left out; it
    // contains no pointers.
    unsafe { open(BPF_LINK_CREATE, attributes) }
}

/// Runs an XDP program on all that the device with this index receives, until the returned
/// descriptor is closed.
///
/// # Errors
///
/// `EBUSY` or `EEXIST` when the device has a program, `EOPNOTSUPP` when its driver runs none,
/// `EINVAL` before Linux 5.9, `ENODEV` when there is no such device.
pub fn attach_xdp(program: BorrowedFd<'_>, device: u32, mode: XdpMode) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        target_index: device,
        attach_type: BPF_XDP,
        flags: match mode {
            XdpMode::Native => XDP_FLAGS_DRV_MODE,
            XdpMode::Generic => XDP_FLAGS_SKB_MODE,
        },
    };
    // SAFETY: `attributes` is what BPF_LINK_CREATE reads, with zeroes for what is left out; it
    // contains no pointers.
    unsafe { open(BPF_LINK_CREATE, attributes) }
}

/// Puts `program` in the place of the one that a descriptor of [`attach_xdp`] keeps running: each
/// packet meets one of them.
///
/// # Errors
///
/// `ENOLINK` when the device is gone.
pub fn replace_xdp(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = LinkUpdate {
        link: link.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        flags: 0,
        old_program: 0,
    };
    // SAFETY: `attributes` is what BPF_LINK_UPDATE reads, with zeroes for what is left out; it
    // contains no pointers.
    unsafe { call(BPF_LINK_UPDATE, &mut attributes) }.map(drop)
}

/// A map from numbers below `entries` to AF_XDP sockets (`BPF_MAP_TYPE_XSKMAP`), empty.
///
/// # Errors
///
/// `EPERM` without `CAP_BPF` or `CAP_NET_ADMIN`, `EINVAL` without AF_XDP.
pub fn socket_map(entries: u32) -> io::Result<OwnedFd> {
    let attributes = MapCreate {
        map_type: BPF_MAP_TYPE_XSKMAP,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<u32>() as u32,
        entries,
        flags: 0,
    };
    // SAFETY: `attributes` is what BPF_MAP_CREATE reads, with zeroes for what is left out; it
    // contains no pointers.
    unsafe { open(BPF_MAP_CREATE, attributes) }
}

/// A map with one value of so many bytes (`BPF_MAP_TYPE_ARRAY`), zeroes, that can be mapped into
/// memory.
///
/// # Errors
///
/// `EPERM` without `CAP_BPF`, `EINVAL` before Linux 5.5 and for no bytes.
pub fn mapped_array(bytes: u32) -> io::Result<OwnedFd> {
    let attributes = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: size_of::<u32>() as u32,
        value_size: bytes,
        entries: 1,
        flags: BPF_F_MMAPABLE,
    };
    // SAFETY: as for `socket_map`.
    unsafe { open(BPF_MAP_CREATE, attributes) }
}

/// Puts a bound AF_XDP socket into a map. It leaves the map when it is closed.
///
/// # Errors
///
/// `E2BIG` for a number that the map has no place for, `EOPNOTSUPP` for a socket without rings.
pub fn insert_socket(map: BorrowedFd<'_>, key: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    let value = socket.as_raw_fd().cast_unsigned();
    let mut attributes = MapUpdate {
        map: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: (&raw const key) as u64,
        value: (&raw const value) as u64,
        flags: 0,
    };
    // SAFETY: `attributes` is what BPF_MAP_UPDATE_ELEM reads; it points to a key and a value of
    // the sizes that `socket_map` gave the map, which outlive the call.
    unsafe { call(BPF_MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
}

/// How many programs run on what the device with this index receives (TCX).
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`, `EINVAL` before Linux 6.6, `ENODEV` when there is no such
/// device.
pub fn ingress_programs(device: u32) -> io::Result<u32> {
    let mut attributes = ProgramQuery {
        target_index: device,
        attach_type: BPF_TCX_INGRESS,
        query_flags: 0,
        attach_flags: 0,
        program_ids: 0,
        count: 0,
        padding: 0,
        program_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `attributes` is what BPF_PROG_QUERY reads and writes; null pointers with a count of
    // zero ask for the number alone.
    match unsafe { call(BPF_PROG_QUERY, &mut attributes) } {
        Ok(_) => Ok(attributes.count),
        // Where there never was one.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Runs a command that returns a new descriptor.
///
/// # Safety
///
/// As for [`call`].
unsafe fn open<T>(command: libc::c_int, mut attributes: T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for it.
    let fd = unsafe { call(command, &mut attributes) }?;
    // SAFETY: the commands that come here return a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs a command.
///
/// # Safety
///
/// `attributes` must be the beginning of a `union bpf_attr` as the command wants it, and the
/// pointers in it must be valid.
unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    let size = size_of::<T>() as c_long;
    // SAFETY: the kernel reads, and for some commands writes, at most `size` bytes of
    // `attributes`; the caller vouches for their meaning.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as libc::c_int)
}
