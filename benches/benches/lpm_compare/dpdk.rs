//! DPDK's `dpdk-test-fib` on the same routes and addresses. Needs the program; installs nothing.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringlay_benches::routes::Route;

use crate::contender::Family;

/// A program and the files it is given.
pub(crate) struct Dpdk {
    command: String,
    dir: PathBuf,
    ipv6: bool,
    /// Blocks of 256 entries that the routes need behind the first 24 bits.
    blocks: usize,
}

/// A lookup function of `rte_fib`, and the bytes of an entry.
const IPV4: [(&str, usize); 3] = [("v", 4), ("v", 2), ("s1", 4)];
const IPV6: [(&str, usize); 3] = [("v", 4), ("v", 2), ("s", 4)];

impl Dpdk {
    /// Writes the files, into a new directory that is removed with the value.
    pub(crate) fn new<A: Family>(command: &str, routes: &[Route<A>], addrs: &[A]) -> Self {
        let dir =
            std::env::temp_dir().join(format!("lpm-compare-{}-{}", A::NAME, std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut text = String::new();
        for (prefix, value) in routes {
            writeln!(text, "{prefix} {value}").unwrap();
        }
        fs::write(dir.join("routes"), &text).unwrap();
        text.clear();
        for addr in addrs {
            writeln!(text, "{}", as_read(addr.to_string().parse().unwrap())).unwrap();
        }
        fs::write(dir.join("addresses"), &text).unwrap();
        Self {
            command: command.into(),
            dir,
            ipv6: A::BITS == 128,
            blocks: blocks(routes),
        }
    }

    /// The names of what is measured, and the bytes that lookups may read.
    pub(crate) fn variants(&self) -> Vec<(String, usize)> {
        let variant = |&(function, entry): &(&str, usize)| {
            let kind = if function == "v" { "AVX512" } else { "scalar" };
            let memory = ((1 << 24) + 256 * self.blocks) * entry;
            (format!("rte_fib {kind}, {entry} B"), memory)
        };
        self.functions().iter().map(variant).collect()
    }

    /// Cycles a lookup, for each variant.
    pub(crate) fn measure(&self) -> Vec<f64> {
        let functions = self.functions().iter();
        functions
            .map(|(function, entry)| self.run(function, *entry))
            .collect()
    }

    fn functions(&self) -> &'static [(&'static str, usize)] {
        if self.ipv6 { &IPV6 } else { &IPV4 }
    }

    fn run(&self, function: &str, entry: usize) -> f64 {
        // An entry of two bytes numbers 2^15 blocks.
        let blocks = (self.blocks * 2 + 1024).min((1 << (8 * entry - 1)) - 1);
        if blocks < self.blocks {
            return f64::NAN;
        }
        let mut command = Command::new(&self.command);
        command
            .args(
                "--no-huge --no-pci --no-telemetry --no-shconf --force-max-simd-bitwidth=512"
                    .split(' '),
            )
            .args(["-m", "3000", "-l", "0", "--log-level", "error", "--"])
            .arg("-f")
            .arg(self.dir.join("routes"))
            .arg("-t")
            .arg(self.dir.join("addresses"))
            .args([
                "-v",
                function,
                "-e",
                &entry.to_string(),
                "-g",
                &blocks.to_string(),
            ]);
        if self.ipv6 {
            command.arg("-6");
        }
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.command));
        let text = String::from_utf8_lossy(&output.stdout);
        let lookup = text
            .lines()
            .find_map(|line| line.strip_prefix("AVG FIB lookup "));
        let Some(lookup) = lookup else {
            panic!(
                "{command:?}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        lookup.trim().parse().unwrap()
    }
}

impl Drop for Dpdk {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

fn remove(dir: &Path) {
    // What is left in a temporary directory is no reason to fail.
    let _ = fs::remove_dir_all(dir);
}

/// The program looks up IPv4 addresses from a file with their octets reversed: it does not turn
/// them into host order, which routes are in. So it is given them reversed.
fn as_read(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => IpAddr::V4(addr.to_bits().swap_bytes().into()),
        addr => addr,
    }
}

/// How many blocks of 256 entries routes need: one for each octet behind the third that longer
/// routes share.
fn blocks<A: Family>(routes: &[Route<A>]) -> usize {
    let mut blocks = HashSet::new();
    for (prefix, _) in routes {
        for len in (24..prefix.len()).step_by(8) {
            blocks.insert(ringlay_lpm::Prefix::masking(prefix.addr(), len).unwrap());
        }
    }
    blocks.len()
}
