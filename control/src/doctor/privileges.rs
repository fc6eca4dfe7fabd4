//! Who this process is and what it may do: kernel, confinement, capabilities.

use std::fs;
use std::path::Path;
use std::thread;

use super::finding::{Finding, Section, State};
use crate::lab::machine::kernel_release;

/// Kernel, processors, and whether this is a container.
pub(super) fn host() -> Section {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let findings = vec![
        Finding::new("kernel", State::Ok, kernel_release()),
        Finding::new("CPUs", State::Ok, cpus.to_string()),
        Finding::new("container", State::Ok, container()),
        user_namespace(&uid_map),
        seccomp(&status),
    ];
    Section {
        title: "Host",
        findings,
    }
}

/// The capabilities that Ringlay asks for, and what for.
pub(super) fn capabilities() -> Section {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Section {
        title: "Capabilities",
        findings: capability_findings(&status),
    }
}

fn capability_findings(status: &str) -> Vec<Finding> {
    let Some(effective) = status_field(status, "CapEff") else {
        let unknown = |(_, name, _): &(u32, &str, &str)| {
            Finding::new(*name, State::Unknown, "/proc/self/status does not tell")
        };
        return CAPABILITIES.iter().map(unknown).collect();
    };
    let effective = u64::from_str_radix(effective, 16).unwrap_or_default();
    CAPABILITIES
        .iter()
        .map(|(bit, name, purpose)| {
            let held = effective >> bit & 1 == 1;
            Finding::new(
                *name,
                if held { State::Ok } else { State::Missing },
                *purpose,
            )
        })
        .collect()
}

fn seccomp(status: &str) -> Finding {
    match status_field(status, "Seccomp") {
        Some("0") => Finding::new("seccomp", State::Ok, "no filter"),
        Some("2") => Finding::new(
            "seccomp",
            State::Caution,
            "a filter is in force; container runtimes' default one forbids io_uring",
        ),
        Some("1") => Finding::new("seccomp", State::Caution, "strict mode"),
        _ => Finding::new("seccomp", State::Unknown, "/proc/self/status does not tell"),
    }
}

/// The initial user namespace maps every id to itself.
fn user_namespace(uid_map: &str) -> Finding {
    let fields: Vec<_> = uid_map.split_ascii_whitespace().collect();
    if fields == ["0", "0", "4294967295"] {
        Finding::new("user namespace", State::Ok, "the initial one")
    } else if fields.is_empty() {
        Finding::new(
            "user namespace",
            State::Unknown,
            "/proc/self/uid_map does not tell",
        )
    } else {
        let detail = "not the initial one: capabilities hold for devices of its own only";
        Finding::new("user namespace", State::Caution, detail)
    }
}

fn container() -> String {
    let files = [("/.dockerenv", "Docker"), ("/run/.containerenv", "Podman")];
    if let Some((_, runtime)) = files.iter().find(|(path, _)| Path::new(path).exists()) {
        return format!("it looks like {runtime}");
    }
    let groups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    container_of_group(&groups).map_or_else(
        || "no sign of one".into(),
        |name| format!("it looks like {name}"),
    )
}

fn container_of_group(groups: &str) -> Option<&'static str> {
    let signs = [
        ("kubepods", "Kubernetes"),
        ("docker", "Docker"),
        ("containerd", "containerd"),
        ("libpod", "Podman"),
        ("lxc", "LXC"),
    ];
    signs
        .into_iter()
        .find(|(sign, _)| groups.contains(sign))
        .map(|(_, name)| name)
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim())
}

/// Bit, name (include/uapi/linux/capability.h) and purpose.
const CAPABILITIES: [(u32, &str, &str); 6] = [
    (
        12,
        "CAP_NET_ADMIN",
        "makes TUN devices, addresses and routes",
    ),
    (10, "CAP_NET_BIND_SERVICE", "binds ports below 1024"),
    (13, "CAP_NET_RAW", "opens AF_XDP, packet and raw IP sockets"),
    (
        21,
        "CAP_SYS_ADMIN",
        "enters other network namespaces (`netns` of a port)",
    ),
    (
        14,
        "CAP_IPC_LOCK",
        "locks packet memory beyond RLIMIT_MEMLOCK",
    ),
    (
        39,
        "CAP_BPF",
        "leads packets to uplinks (`underlay.driver = \"tunnel-gso\"`)",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n\
                          Seccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        let held: Vec<_> = capability_findings(STATUS)
            .into_iter()
            .filter(|finding| finding.state == State::Ok)
            .map(|finding| finding.name)
            .collect();
        assert_eq!(held, ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
        assert!(
            capability_findings("")
                .iter()
                .all(|finding| finding.state == State::Unknown)
        );
    }

    #[test]
    fn seccomp_filters_are_noticed() {
        assert_eq!(seccomp(STATUS).state, State::Caution);
        assert_eq!(seccomp("Seccomp:\t0\n").state, State::Ok);
        assert_eq!(seccomp("").state, State::Unknown);
    }

    #[test]
    fn user_namespaces_are_noticed() {
        assert_eq!(
            user_namespace("         0          0 4294967295\n").state,
            State::Ok
        );
        assert_eq!(
            user_namespace("         0       1000          1\n").state,
            State::Caution
        );
        assert_eq!(user_namespace("").state, State::Unknown);
    }

    #[test]
    fn containers_are_told_by_their_control_group() {
        assert_eq!(
            container_of_group("0::/kubepods/besteffort/pod1"),
            Some("Kubernetes")
        );
        assert_eq!(container_of_group("0::/init.scope"), None);
    }
}
