//! Reads capture files (libpcap's format, `man 5 pcap-savefile`), as this machine writes them.

use std::fs;
use std::path::Path;

const FILE_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;
/// Microseconds, in our own byte order.
const MAGIC: u32 = 0xa1b2_c3d4;

/// The packets in `file`, from their link layer on.
pub(crate) fn read(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).unwrap();
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(
        word(0),
        MAGIC,
        "{} is no capture of this machine",
        file.display()
    );
    let mut packets = Vec::new();
    let mut at = FILE_HEADER_BYTES;
    while at < bytes.len() {
        let captured = word(at + 8) as usize;
        at += RECORD_HEADER_BYTES;
        packets.push(bytes[at..at + captured].to_vec());
        at += captured;
    }
    packets
}
