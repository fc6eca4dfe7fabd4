//! Just enough of the pcap file format: little-endian, microseconds, Ethernet.

/// The frames of a pcap file, none of them cut short.
pub(crate) fn read(pcap: &[u8]) -> Vec<&[u8]> {
    let word = |at: usize| u32::from_le_bytes(pcap[at..at + 4].try_into().unwrap());
    assert_eq!(word(0), 0xa1b2_c3d4, "little-endian pcap with microseconds");
    assert_eq!(word(20), 1, "Ethernet");
    let mut frames = Vec::new();
    let mut at = 24;
    while at < pcap.len() {
        let [captured, original] = [word(at + 8), word(at + 12)];
        assert_eq!(captured, original);
        at += 16;
        frames.push(&pcap[at..at + captured as usize]);
        at += captured as usize;
    }
    frames
}

/// A pcap file of these frames.
pub(crate) fn write(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1u32] {
        file.extend(word.to_le_bytes());
    }
    for (time, frame) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        for word in [time as u32, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

#[test]
fn reads_what_it_writes() {
    let frames = [vec![1, 2, 3], vec![], vec![4; 60]];
    assert_eq!(read(&write(&frames)), frames);
}
