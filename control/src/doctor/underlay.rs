//! Tunnel GSO: whether super-frames may leave this host whole, and by which links they would.

use std::net::{IpAddr, Ipv4Addr};

use ringlay_dataplane::driver::probe;

use super::finding::{Finding, Section, State, Use};
use crate::app::{Chosen, Device, Facts, firewall, uplinks};
use crate::config::UnderlayDriver;
use crate::netlink::{self, Link};

/// Findings, and what `underlay.driver = "auto"` makes of them.
#[derive(Debug)]
pub(super) struct Underlay {
    pub(super) section: Section,
    pub(super) used: Use,
}

/// Tries the kernel, and looks at the firewall and each link.
pub(super) fn examine() -> Underlay {
    let steps = probe::tunnel_gso(ADDRESS);
    let mut findings: Vec<_> = steps.iter().map(step_finding).collect();
    let firewall = firewall::forward_obstacle(ADDRESS);
    findings.push(firewall_finding(&firewall));
    let facts = Facts {
        devices: Vec::new(),
        uplinks: uplinks(steps),
        firewall: firewall.unwrap_or_default(),
    };
    let links = match netlink::links() {
        Ok(links) => links,
        Err(error) => {
            findings.push(Finding::new("links", State::Unknown, error.to_string()));
            Vec::new()
        }
    };
    let choices: Vec<_> = links
        .iter()
        .filter(|link| link.name != "lo")
        .map(|link| (link.name.clone(), choose(&facts, link)))
        .collect();
    findings.extend(
        choices
            .iter()
            .map(|(name, chosen)| link_finding(name, chosen)),
    );
    Underlay {
        used: used(&choices, &facts),
        section: Section {
            title: "Underlay, by link (`underlay.driver = \"auto\"`)",
            findings,
        },
    }
}

fn choose(facts: &Facts, link: &Link) -> Chosen {
    let facts = Facts {
        devices: vec![Device::examine(link)],
        ..facts.clone()
    };
    Chosen::new(UnderlayDriver::Auto, &facts)
}

fn step_finding(step: &probe::Feature) -> Finding {
    match &step.state {
        Ok(()) => Finding::new(step.name, State::Ok, ""),
        Err(reason) => Finding::new(step.name, State::Missing, reason),
    }
}

fn firewall_finding(obstacle: &std::io::Result<Option<String>>) -> Finding {
    const NAME: &str = "firewall";
    match obstacle {
        Ok(None) => Finding::new(NAME, State::Ok, "has no rules for forwarded packets"),
        Ok(Some(obstacle)) => Finding::new(
            NAME,
            State::Caution,
            format!(
                "{obstacle}: before you set `driver = \"tunnel-gso\"`, let it pass what the host \
                 forwards from rluplink* devices"
            ),
        ),
        Err(error) => Finding::new(NAME, State::Unknown, error.to_string()),
    }
}

fn link_finding(name: &str, chosen: &Chosen) -> Finding {
    let detail = format!("{}: {}", chosen.driver, chosen.reason);
    Finding::new(name, State::Ok, detail)
}

/// What would be used, as far as that does not depend on the link.
fn used(choices: &[(String, Chosen)], facts: &Facts) -> Use {
    let whole = choices.iter().filter(|(_, chosen)| chosen.has_uplinks());
    let whole: Vec<_> = whole.map(|(name, _)| name.as_str()).collect();
    let (choice, reason) = if let Err(reason) = &facts.uplinks {
        ("udp".to_owned(), reason.clone())
    } else if whole.is_empty() {
        let reason = "no link is fit for tunnel-gso: see above".to_owned();
        ("udp".to_owned(), reason)
    } else {
        let choice = format!("tunnel-gso over {}, udp over others", whole.join(" "));
        (
            choice,
            "by what the link can do when a node starts".to_owned(),
        )
    };
    Use {
        purpose: "underlay",
        choice,
        reason,
    }
}

/// Of a tunnel endpoint, which has not to be there.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uplinks: Result<(), String>) -> Facts {
        Facts {
            devices: Vec::new(),
            uplinks,
            firewall: None,
        }
    }

    fn choice(name: &str, lacks: Option<&'static str>) -> (String, Chosen) {
        let device = Device {
            name: name.to_owned(),
            ethernet: true,
            lacks,
            classifiers: 0,
        };
        let facts = Facts {
            devices: vec![device],
            ..facts(Ok(()))
        };
        (name.to_owned(), Chosen::new(UnderlayDriver::Auto, &facts))
    }

    #[test]
    fn what_is_used_names_the_links() {
        let choices = [choice("eth0", None), choice("eth1", Some("x"))];
        let mixed = used(&choices, &facts(Ok(())));
        assert_eq!(mixed.choice, "tunnel-gso over eth0, udp over others");
        assert_eq!(used(&choices[1..], &facts(Ok(()))).choice, "udp");
        let old = used(&[], &facts(Err("an old kernel".to_owned())));
        assert_eq!(
            (old.choice.as_str(), old.reason.as_str()),
            ("udp", "an old kernel")
        );
    }

    #[test]
    fn a_firewall_is_a_caution() {
        let state = |obstacle| firewall_finding(&obstacle).state;
        assert_eq!(state(Ok(None)), State::Ok);
        assert_eq!(state(Ok(Some("a chain".to_owned()))), State::Caution);
        assert_eq!(
            state(Err(std::io::ErrorKind::PermissionDenied.into())),
            State::Unknown
        );
    }
}
