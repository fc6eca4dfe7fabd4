//! Which driver this host allows, and what else it offers.
//!
//! Facts come from trying, not from version numbers: distributions backport, and
//! containers forbid.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use crate::driver::DriverKind;
use crate::port::uplink;
use crate::sys::tun::{Layer, TunOffloads, TunQueue};
use crate::sys::{netns, uring, xdp};

/// What the configuration says about the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where it works, otherwise epoll: with equal settings io_uring moved as much or
    /// more in every comparison (the tables are in the README).
    #[default]
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll, even where io_uring works.
    Epoll,
}

/// Which driver to use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverReport {
    /// The driver.
    pub kind: DriverKind,
    /// Why this one, for people to read.
    pub reason: String,
}

/// Why the driver that was asked for cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChooseDriverError {
    /// The kernel, or what confines this process, lacks something.
    #[error(
        "the io_uring driver was asked for, but {missing}; use `driver = \"auto\"` or `\"epoll\"`"
    )]
    IoUring {
        /// The missing feature and its error.
        missing: String,
    },
}

/// One thing that this host grants or refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Nothing, or why it is refused.
    pub state: Result<(), String>,
}

/// Chooses a driver by setting up a small ring with everything that the io_uring
/// driver needs.
///
/// # Errors
///
/// When io_uring was asked for and lacks something.
pub fn choose(choice: DriverChoice) -> Result<DriverReport, ChooseDriverError> {
    let report = |kind, reason| Ok(DriverReport { kind, reason });
    if choice == DriverChoice::Epoll {
        return report(DriverKind::Epoll, "as configured".to_owned());
    }
    let missing = io_uring().into_iter().find_map(|feature| {
        let reason = feature.state.err()?;
        Some(format!("{} is not available: {reason}", feature.name))
    });
    match (missing, choice) {
        (None, DriverChoice::Auto) => report(
            DriverKind::IoUring,
            "io_uring has all that is needed, and is then faster than epoll".to_owned(),
        ),
        (None, _) => report(DriverKind::IoUring, "as configured".to_owned()),
        (Some(missing), DriverChoice::Auto) => report(DriverKind::Epoll, missing),
        (Some(missing), _) => Err(ChooseDriverError::IoUring { missing }),
    }
}

/// What the io_uring driver needs, each tried; ends with the first that fails.
pub fn io_uring() -> Vec<Feature> {
    let features = uring::probe::features().into_iter();
    features
        .map(|(name, result)| Feature {
            name,
            state: result.map_err(explain_uring),
        })
        .collect()
}

/// Whether TUN devices can be made (`/dev/net/tun`), and each offload they may have.
///
/// The device is made in a new network namespace where that is allowed, otherwise
/// in this one for a moment.
pub fn tun() -> Vec<Feature> {
    netns::run_in_new(probe_tun).unwrap_or_else(|_| probe_tun())
}

/// Whether an endpoint with this address can have an uplink ([`crate::port::uplink`]), each step
/// tried; ends with the first that fails.
pub fn tunnel_gso(local: IpAddr) -> Vec<Feature> {
    let steps = uplink::probe(local).into_iter();
    steps
        .map(|(name, result)| Feature {
            name,
            state: result.map_err(|error| with_sources(&error)),
        })
        .collect()
}

/// Whether AF_XDP sockets and their memory can be had.
pub fn af_xdp() -> Vec<Feature> {
    let socket = xdp::open();
    let umem = socket.as_ref().ok().map(xdp::register_probe_umem);
    let state = |result: io::Result<()>| result.map_err(|error| error.to_string());
    let mut features = vec![Feature {
        name: "AF_XDP socket",
        state: state(socket.map(drop)),
    }];
    features.extend(umem.map(|umem| Feature {
        name: "AF_XDP UMEM",
        state: state(umem),
    }));
    features
}

fn probe_tun() -> Vec<Feature> {
    let queue = TunQueue::open().and_then(|queue| {
        queue.attach("rlprobe%d", Layer::Ip, true)?;
        Ok(queue)
    });
    let state = |result: io::Result<()>| result.map_err(|error| error.to_string());
    let Ok(queue) = &queue else {
        return vec![Feature {
            name: "device",
            state: state(queue.map(drop)),
        }];
    };
    let offloads = TunOffloads::KINDS.into_iter().map(|(kind, name)| {
        // What each is granted with only (drivers/net/tun.c, set_offload): all with checksums,
        // the two USO kinds together, and the tunnel kinds with a plain kind to cut into.
        let wanted = match kind {
            TunOffloads::CSUM => kind,
            TunOffloads::USO4 | TunOffloads::USO6 => {
                TunOffloads::CSUM | TunOffloads::USO4 | TunOffloads::USO6
            }
            TunOffloads::UDP_TUNNEL_GSO => kind | TunOffloads::TSO4 | TunOffloads::CSUM,
            TunOffloads::UDP_TUNNEL_GSO_CSUM => {
                kind | TunOffloads::UDP_TUNNEL_GSO | TunOffloads::TSO4 | TunOffloads::CSUM
            }
            _ => kind | TunOffloads::CSUM,
        };
        Feature {
            name,
            state: state(queue.set_offloads(wanted)),
        }
    });
    std::iter::once(Feature {
        name: "device",
        state: Ok(()),
    })
    .chain(offloads)
    .collect()
}

/// The error, with what people can do about it.
fn explain_uring(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => format!("{error}: the kernel has no io_uring"),
        Some(libc::EPERM | libc::EACCES) => match sysctl().as_deref() {
            Some(setting @ ("1" | "2")) => {
                format!("{error}: the sysctl kernel.io_uring_disabled is {setting}")
            }
            _ => format!("{error}: a seccomp profile or security module forbids io_uring"),
        },
        _ => error.to_string(),
    }
}

/// What an error says, and what its sources say.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

fn sysctl() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_offers_tun_devices_with_checksum_and_tcp_offloads() {
        let features = tun();
        for name in ["device", "CSUM", "TSO4", "TSO6"] {
            let feature = features
                .iter()
                .find(|feature| feature.name == name)
                .unwrap();
            assert_eq!(feature.state, Ok(()), "{name}");
        }
        assert_eq!(features.len(), 1 + TunOffloads::KINDS.len());
    }

    /// Of the kernel that these tests are for; the steps are those of an uplink in earnest.
    #[test]
    fn this_host_offers_tunnel_gso_for_both_ip_versions() {
        for local in ["192.168.77.1", "fd77::1"] {
            let features = tunnel_gso(local.parse().unwrap());
            assert_eq!(features.len(), 3);
            for feature in features {
                assert_eq!(feature.state, Ok(()), "{}", feature.name);
            }
        }
    }

    #[test]
    fn the_choice_is_explained() {
        let epoll = choose(DriverChoice::Epoll).unwrap();
        assert_eq!(
            (epoll.kind, epoll.reason.as_str()),
            (DriverKind::Epoll, "as configured")
        );
        let missing = io_uring()
            .into_iter()
            .find(|feature| feature.state.is_err());
        let auto = choose(DriverChoice::Auto).unwrap();
        match missing {
            None => assert_eq!(auto.kind, DriverKind::IoUring),
            Some(feature) => {
                assert_eq!(auto.kind, DriverKind::Epoll);
                assert!(auto.reason.contains(feature.name), "{}", auto.reason);
                let error = choose(DriverChoice::IoUring).unwrap_err().to_string();
                assert!(error.contains(feature.name), "{error}");
            }
        }
    }

    #[test]
    fn forbidden_io_uring_names_who_forbids_it() {
        let text = explain_uring(io::Error::from_raw_os_error(libc::EPERM));
        assert!(
            text.contains("seccomp") || text.contains("io_uring_disabled"),
            "{text}"
        );
        assert!(
            explain_uring(io::Error::from_raw_os_error(libc::ENOSYS)).contains("kernel has no")
        );
    }
}
