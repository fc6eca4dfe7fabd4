//! The file system that the virtual machine boots into: programs of this host with the libraries that
//! they need, modules of the machine's kernel, and a first process that answers commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::guest::CONFIG;

/// What it has of this host besides the daemon and busybox.
const PROGRAMS: [&str; 2] = ["ip", "ethtool"];

/// In the order in which they are loaded, each after those that it needs.
const MODULES: [&str; 6] = [
    "failover",
    "net_failover",
    "virtio_net",
    "vmxnet3",
    "tun",
    "veth",
];

/// The first process, with the modules for `MODULES`. The device by which commands come is known by its
/// MAC address.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mkdir -p /dev/net
for module in MODULES; do insmod /modules/$module.ko; done
for device in eth0 eth1; do
    if grep -q 02:00:00:00:99:01 /sys/class/net/$device/address; then
        ip link set $device name command0
    else
        ip link set $device name tested0
    fi
done
ip link set tested0 name eth0
ip link set lo up
ip address add 192.168.77.1/24 dev eth0
ip link set eth0 up
ip address add 192.168.99.1/24 dev command0
ip link set command0 up
nc -ll -p 7 -e /bin/cat &
nc -ll -p 23 -e /bin/obey &
while :; do sleep 1000; done
"#;

/// Runs one line of shell, and ends what it prints with its exit status.
const OBEY: &str = r#"#!/bin/sh
read -r line
sh -c "$line" </dev/null 2>&1
echo "exit $?"
"#;

/// Makes it, as the archive that a boot loader hands to the kernel.
pub(crate) fn build(kernel: &Path, directory: &Path, config: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "modules", "proc", "run", "sys"] {
        archive.folder(Path::new(folder));
    }
    let init = INIT.replace("MODULES", &MODULES.join(" "));
    archive.file(Path::new("init"), 0o755, init.as_bytes());
    archive.file(Path::new("bin/obey"), 0o755, OBEY.as_bytes());
    archive.file(Path::new(&CONFIG[1..]), 0o644, config.as_bytes());
    for module in MODULES {
        let name = format!("{module}.ko");
        let bytes = fs::read(kernel.join(&name)).unwrap();
        archive.file(&Path::new("modules").join(name), 0o644, &bytes);
    }
    let ringlay = directory.join("ringlay");
    run(Command::new("strip")
        .arg("-g")
        .arg("-o")
        .arg(&ringlay)
        .arg(env!("CARGO_BIN_EXE_ringlay")));
    archive.program("busybox", &find("busybox"));
    archive.program("ringlay", &ringlay);
    for program in PROGRAMS {
        archive.program(program, &find(program));
    }
    archive.finish()
}

/// An archive in the format that cpio calls `newc` (buffer-format.rst of the kernel's documentation).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    paths: BTreeSet<PathBuf>,
}

impl Archive {
    /// A program as `/bin/NAME`, and the libraries it is linked to where it looks for them.
    fn program(&mut self, name: &str, file: &Path) {
        self.file(
            &Path::new("bin").join(name),
            0o755,
            &fs::read(file).unwrap(),
        );
        for library in libraries(file) {
            let path = library.strip_prefix("/").unwrap();
            if !self.paths.contains(path) {
                self.file(path, 0o755, &fs::read(&library).unwrap());
            }
        }
    }

    fn file(&mut self, path: &Path, mode: u32, bytes: &[u8]) {
        const REGULAR: u32 = 0o100_000;
        path.parent().into_iter().for_each(|it| self.folder(it));
        self.entry(path, REGULAR | mode, bytes);
    }

    /// A folder and those around it, unless they are there.
    fn folder(&mut self, path: &Path) {
        const FOLDER: u32 = 0o040_755;
        let missing = |it: &&Path| !it.as_os_str().is_empty() && !self.paths.contains(*it);
        let missing: Vec<_> = path.ancestors().filter(missing).collect();
        for folder in missing.into_iter().rev() {
            self.entry(folder, FOLDER, &[]);
        }
    }

    fn entry(&mut self, path: &Path, mode: u32, bytes: &[u8]) {
        self.paths.insert(path.into());
        self.entries += 1;
        let name = path.to_str().unwrap();
        let length = u32::try_from(bytes.len()).unwrap();
        let name_length = name.len() as u32 + 1;
        // The number, mode, owner, group, links, time, length, devices of it, and of what it is.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            0,
            0,
            name_length,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }
}

/// The libraries that the dynamic linker finds for a program, itself among them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace();
    // None in what is linked statically.
    words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

/// Where a program of this host is.
fn find(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap() + ":/usr/sbin:/sbin";
    let mut found = path
        .split(':')
        .map(|folder| Path::new(folder).join(program));
    found
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed"))
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
