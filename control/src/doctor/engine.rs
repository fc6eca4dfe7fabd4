//! What the dataplane itself stands on: TUN, io_uring, AF_XDP; and what it will make of them.

use std::thread;

use ringlay_dataplane::driver::probe::{self, DriverChoice, Feature};

use super::finding::{Finding, Section, State, Use};

/// Findings about the dataplane's foundations.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) tun: Section,
    pub(super) io_uring: Section,
    pub(super) af_xdp: Section,
    pub(super) uses: Vec<Use>,
}

/// Tries everything.
pub(super) fn examine() -> Engine {
    let tun = probe::tun();
    let offloads: Vec<_> = granted(&tun).filter(|name| *name != DEVICE).collect();
    let mut uses = vec![driver(), workers()];
    if !tun.is_empty() && tun[0].state.is_ok() {
        uses.push(Use {
            purpose: "ports",
            choice: "multi-queue TUN devices, a queue for each worker".into(),
            reason: format!("offloads granted: {}", listed(&offloads)),
        });
    }
    Engine {
        tun: Section {
            title: "TUN devices and their offloads",
            findings: tun_findings(&tun),
        },
        io_uring: Section {
            title: "io_uring",
            findings: probe::io_uring().into_iter().map(optional).collect(),
        },
        af_xdp: Section {
            title: "AF_XDP (`underlay.driver = \"af_xdp\"`)",
            findings: probe::af_xdp().into_iter().map(optional).collect(),
        },
        uses,
    }
}

fn driver() -> Use {
    let (choice, reason) = match probe::choose(DriverChoice::Auto) {
        Ok(report) => (report.kind.to_string(), report.reason),
        Err(error) => ("none".into(), error.to_string()),
    };
    Use {
        purpose: "driver",
        choice,
        reason,
    }
}

fn workers() -> Use {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    Use {
        purpose: "workers",
        choice: cpus.to_string(),
        reason: "one for each CPU this process may use".into(),
    }
}

/// Without the device there is nothing to run; without an offload there is.
fn tun_findings(features: &[Feature]) -> Vec<Finding> {
    let finding = |feature: &Feature| {
        if feature.name != DEVICE {
            return optional(feature.clone());
        }
        match &feature.state {
            Ok(()) => Finding::new(DEVICE, State::Ok, "/dev/net/tun makes them"),
            Err(reason) => Finding::new(
                "TUN device",
                State::Blocking,
                format!(
                    "{reason}: needs /dev/net/tun (`modprobe tun`; a container: `--device \
                     /dev/net/tun`) and CAP_NET_ADMIN (root; a container: `--cap-add NET_ADMIN`)"
                ),
            ),
        }
    };
    features.iter().map(finding).collect()
}

fn optional(feature: Feature) -> Finding {
    match feature.state {
        Ok(()) => Finding::new(feature.name, State::Ok, ""),
        Err(reason) => Finding::new(feature.name, State::Missing, reason),
    }
}

fn granted(features: &[Feature]) -> impl Iterator<Item = &'static str> {
    features
        .iter()
        .filter(|feature| feature.state.is_ok())
        .map(|feature| feature.name)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(" ")
    }
}

/// What [`probe::tun`] calls the device itself.
const DEVICE: &str = "device";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_offload_does_not_block_but_a_missing_device_does() {
        let refused = || Err("Operation not permitted".to_owned());
        let without_offload = [
            Feature {
                name: DEVICE,
                state: Ok(()),
            },
            Feature {
                name: "USO4",
                state: refused(),
            },
        ];
        let states = |features: &[Feature]| -> Vec<State> {
            tun_findings(features)
                .into_iter()
                .map(|finding| finding.state)
                .collect()
        };
        assert_eq!(states(&without_offload), [State::Ok, State::Missing]);
        assert_eq!(
            states(&[Feature {
                name: DEVICE,
                state: refused()
            }]),
            [State::Blocking]
        );
    }
}
