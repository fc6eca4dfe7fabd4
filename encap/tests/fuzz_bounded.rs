//! A short fuzz run on every test: seeds of the corpus and captured frames, mutated by a seeded
//! generator, against the oracle of the fuzz targets.
//!
//! It is no substitute for the coverage-guided targets in `fuzz/`, but needs nothing installed.

use std::{fs, path::Path, thread};

#[path = "../fuzz/fuzz_targets/oracle.rs"]
mod oracle;

/// Iterations of each run.
const ITERATIONS: u32 = 400_000;
/// Where headers begin in the captured frames: parsers shall see inner layers as well.
const LAYERS: [usize; 12] = [0, 14, 34, 42, 50, 54, 62, 64, 70, 84, 104, 124];
/// Values at the edges of length, version and type fields.
const EDGES: [u8; 16] = [
    0, 1, 2, 4, 5, 6, 8, 0x0f, 0x11, 0x2c, 0x3a, 0x45, 0x60, 0x7f, 0x80, 0xff,
];
const INPUT_MAX: usize = 2000;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len());
    match random.below(9) {
        0 => input.truncate(at),
        1 => {
            input.drain(..at.min(64));
        }
        2 => {
            let other = random.pick(seeds);
            let from = random.below(other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
        3 => {
            let end = (at + random.below(16)).min(input.len());
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
        4 => input.extend((0..random.below(40)).map(|i| i as u8)),
        5 if at + 2 <= input.len() => {
            // A length field that is nearly right.
            let length = (input.len() - at).wrapping_sub(random.below(5)) as u16;
            input[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        6 if !input.is_empty() => input[at] = *random.pick(&EDGES),
        7 if !input.is_empty() => input[at] = random.next() as u8,
        _ if !input.is_empty() => input[at] ^= 1 << random.below(8),
        _ => input.push(random.next() as u8),
    }
    input.truncate(INPUT_MAX);
}

/// Shows the input if the oracle panics with it.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("input: {:02x?}", self.0);
        }
    }
}

/// The files of one corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(directory).expect("the corpus is committed");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let seeds: Vec<_> = paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect();
    assert!(seeds.len() >= 5, "the corpus of {target} is gone");
    seeds
}

fn run(target: &str, seed: u64, mut oracle: impl FnMut(&[u8])) {
    let seeds = corpus(target);
    let mut random = Random(seed);
    for input in &seeds {
        let _shown = Shown(input);
        oracle(input);
    }
    for _ in 0..ITERATIONS {
        let mut input = random.pick(&seeds).clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds, &mut random);
        }
        let _shown = Shown(&input);
        oracle(&input);
    }
}

#[test]
fn any_bytes_print() {
    let mut line = String::new();
    run("pretty", 0x0123_4567_89ab_cdef, |bytes| {
        oracle::pretty(bytes, &mut line);
    });
}

#[test]
fn any_bytes_parse_or_not() {
    let mut layer = 0;
    run("pretty", 0xfedc_ba98_7654_3210, |bytes| {
        layer = (layer + 1) % LAYERS.len();
        oracle::reprs(bytes.get(LAYERS[layer]..).unwrap_or(bytes));
    });
}

#[test]
fn any_packet_gets_a_valid_icmp_error_or_none() {
    run("icmp_error", 0x1357_9bdf_0246_8ace, oracle::icmp_error);
}

#[test]
fn any_bytes_decapsulate_or_not() {
    run("decap", 0x0bad_cafe_1234_5678, oracle::decap);
}

#[test]
fn any_template_makes_valid_headers() {
    run("template", 0xdead_beef_cafe_f00d, oracle::template);
}

/// The mutations must reach behind the first check of each parser, or they would prove nothing.
#[test]
fn mutations_reach_deep() {
    let mut reached = [false; 13];
    let mut line = String::new();
    let marks = [
        "[|eth",
        "[|arp",
        "[|ip6",
        "[|udp",
        "[|tcp",
        "[|vxlan",
        "[|gre",
        "[|geneve",
        "bad option",
        "[|nd ",
        "frag ",
        "about | ",
        "bad ip cksum",
    ];
    run("pretty", 0x2468_ace0_1357_9bdf, |bytes| {
        if reached.iter().all(|reached| *reached) {
            return;
        }
        oracle::pretty(bytes, &mut line);
        use std::fmt::Write as _;
        write!(line, "{}", ringlay_encap::Pretty::ethernet(bytes))
            .expect("a String takes everything");
        for (mark, reached) in marks.iter().zip(&mut reached) {
            *reached |= line.contains(mark);
        }
    });
    assert!(
        reached.iter().all(|reached| *reached),
        "{marks:?}: {reached:?}"
    );
}
