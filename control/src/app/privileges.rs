//! Whether the process may do what the daemon has to. Gives up and takes no privilege.

use std::fs;

use thiserror::Error;

/// A capability that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{name} is missing: it is needed to {purpose}; run as root, or grant it")]
pub struct MissingCapability {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// Numbers of linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// Checks the effective capabilities. `namespaces` tells whether devices live in other network
/// namespaces, `uplinks` whether tunnel endpoints have uplinks.
///
/// # Errors
///
/// If one is missing.
pub(super) fn check(namespaces: bool, uplinks: bool) -> Result<(), MissingCapability> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match effective(&status) {
        // Without /proc nothing is known: what fails later will say so.
        None => Ok(()),
        Some(capabilities) => check_set(capabilities, namespaces, uplinks),
    }
}

fn check_set(capabilities: u64, namespaces: bool, uplinks: bool) -> Result<(), MissingCapability> {
    let has = |number: u32| capabilities & (1 << number) != 0;
    if !has(CAP_NET_ADMIN) {
        let purpose = "create TUN devices and set addresses and routes";
        return Err(MissingCapability {
            name: "CAP_NET_ADMIN",
            purpose,
        });
    }
    if namespaces && !has(CAP_SYS_ADMIN) {
        let purpose = "enter the network namespaces of ports";
        return Err(MissingCapability {
            name: "CAP_SYS_ADMIN",
            purpose,
        });
    }
    if uplinks && !has(CAP_BPF) && !has(CAP_SYS_ADMIN) {
        let purpose = "lead tunnel packets to the uplink";
        return Err(MissingCapability {
            name: "CAP_BPF",
            purpose,
        });
    }
    Ok(())
}

fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_one_is_named() {
        let status = "Name:\tringlay\nCapEff:\t0000000000001000\nCapBnd:\t0\n";
        let net_admin = effective(status).unwrap();
        assert_eq!(net_admin, 1 << CAP_NET_ADMIN);
        assert_eq!(check_set(net_admin, false, false), Ok(()));
        assert_eq!(
            check_set(net_admin, true, false).unwrap_err().name,
            "CAP_SYS_ADMIN"
        );
        assert_eq!(
            check_set(0, false, false).unwrap_err().name,
            "CAP_NET_ADMIN"
        );
        let sys_admin = net_admin | 1 << CAP_SYS_ADMIN;
        assert_eq!(check_set(sys_admin, true, true), Ok(()));
        assert_eq!(
            check_set(net_admin, false, true).unwrap_err().name,
            "CAP_BPF"
        );
        assert_eq!(check_set(net_admin | 1 << CAP_BPF, false, true), Ok(()));
    }
}
