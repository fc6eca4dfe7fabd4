//! Chooses how packets reach the underlay, and says why. Decides from facts alone; see
//! [`super::facts`] for where they come from.

use std::fmt;

use crate::config::UnderlayDriver;

/// How packets reach the underlay, and why. It is chosen when the daemon starts, and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The driver in use, never `Auto`.
    pub driver: UnderlayDriver,
    /// Why this one, for people to read.
    pub reason: String,
}

/// What the choice depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The devices by which tunnel packets leave, at least one.
    pub devices: Vec<Device>,
    /// Whether uplinks can be had from the kernel, or what is in the way.
    pub uplinks: Result<(), String>,
    /// What of the host's firewall may stop packets that the host forwards.
    pub firewall: Option<String>,
}

/// A device of the underlay, as far as it matters to super-frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Whether it carries Ethernet frames.
    pub ethernet: bool,
    /// The first thing that it lacks to cut super-frames in tunnels itself, by the kernel's name.
    pub lacks: Option<&'static str>,
    /// How many BPF classifiers see what it receives before a redirection would.
    pub classifiers: u32,
}

/// The kernel's name for what a device must do to be worth an uplink.
pub(super) const TUNNEL_SEGMENTATION: &str = "tx-udp_tnl-csum-segmentation";

/// Why an uplink is not the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objection<'a> {
    NoEthernet(&'a Device),
    /// It would work, but the kernel would cut, slower than we do.
    NoSegmentation(&'a Device, &'static str),
    NoUplinks(&'a str),
    Firewall(&'a str),
}

impl Chosen {
    /// What a node says of its choice: [`Self::new`], and, left to us, also why no wire; `wires` says
    /// whether AF_XDP sockets can be had, or what is in the way.
    pub fn explained(setting: UnderlayDriver, facts: &Facts, wires: &Result<(), String>) -> Self {
        let chosen = Self::new(setting, facts);
        match setting {
            UnderlayDriver::Auto => chosen.beside_wires(wires),
            _ => chosen,
        }
    }

    /// Follows the configuration; left to us, super-frames go whole if nothing is against it.
    pub fn new(setting: UnderlayDriver, facts: &Facts) -> Self {
        let objection = facts.objection();
        match (setting, objection) {
            (UnderlayDriver::Udp | UnderlayDriver::AfXdp, _)
            | (UnderlayDriver::TunnelGso, None) => Self::as_configured(setting),
            (UnderlayDriver::Auto, Some(objection)) => Self::udp(objection),
            (UnderlayDriver::Auto, None) => Self::tunnel_gso(facts.praise()),
            (UnderlayDriver::TunnelGso, Some(objection)) => {
                Self::tunnel_gso(format!("as configured, although {objection}"))
            }
        }
    }

    /// The same, with why it is no wire: no fact about a host tells whether it forwards small packets,
    /// which wires are for, or bulk, for which they have no super-frames.
    fn beside_wires(self, wires: &Result<(), String>) -> Self {
        let why_not = match wires {
            Ok(()) => "af_xdp, which has no super-frames, is taken by name alone",
            Err(missing) => &format!("af_xdp cannot be had: {missing}"),
        };
        let reason = format!("{}; {why_not}", self.reason);
        Self { reason, ..self }
    }

    /// What the configuration names.
    pub(super) fn as_configured(driver: UnderlayDriver) -> Self {
        Self {
            driver,
            reason: "as configured".to_owned(),
        }
    }

    /// What is left when an uplink was chosen and cannot be had after all.
    pub fn after(failure: impl fmt::Display) -> Self {
        Self::udp(format!("tunnel-gso was chosen, but failed: {failure}"))
    }

    /// Whether tunnel endpoints have uplinks.
    pub fn has_uplinks(&self) -> bool {
        self.driver == UnderlayDriver::TunnelGso
    }

    /// Whether a tunnel endpoint has a wire.
    pub fn has_wire(&self) -> bool {
        self.driver == UnderlayDriver::AfXdp
    }

    fn udp(reason: impl fmt::Display) -> Self {
        Self {
            driver: UnderlayDriver::Udp,
            reason: reason.to_string(),
        }
    }

    fn tunnel_gso(reason: impl fmt::Display) -> Self {
        Self {
            driver: UnderlayDriver::TunnelGso,
            reason: reason.to_string(),
        }
    }
}

impl Facts {
    fn objection(&self) -> Option<Objection<'_>> {
        if let Some(device) = self.devices.iter().find(|device| !device.ethernet) {
            return Some(Objection::NoEthernet(device));
        }
        let mut lacking = self.devices.iter().filter_map(|it| Some((it, it.lacks?)));
        if let Some((device, what)) = lacking.next() {
            return Some(Objection::NoSegmentation(device, what));
        }
        match (&self.uplinks, &self.firewall) {
            (Err(reason), _) => Some(Objection::NoUplinks(reason)),
            (Ok(()), Some(obstacle)) => Some(Objection::Firewall(obstacle)),
            (Ok(()), None) => None,
        }
    }

    /// What speaks for an uplink, if nothing is against it.
    fn praise(&self) -> String {
        let names: Vec<_> = self.devices.iter().map(|it| it.name.as_str()).collect();
        let segment = if names.len() == 1 {
            "segments"
        } else {
            "segment"
        };
        let mut text = format!(
            "{} {segment} UDP tunnels ({TUNNEL_SEGMENTATION})",
            names.join(" and ")
        );
        for Device {
            name, classifiers, ..
        } in self.devices.iter().filter(|it| it.classifiers > 0)
        {
            text.push_str(&format!(
                "; other BPF classifiers on {name} ({classifiers}) come before the redirection"
            ));
        }
        text
    }
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEthernet(device) => write!(f, "{} is no Ethernet device", device.name),
            Self::NoSegmentation(device, what) => write!(
                f,
                "{} does not segment UDP tunnels ({what} is off), so the kernel would cut instead",
                device.name
            ),
            Self::NoUplinks(reason) => f.write_str(reason),
            Self::Firewall(obstacle) => write!(
                f,
                "{obstacle}, and packets of tunnel-gso are forwarded ones: they might not get through"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        Device {
            name: name.to_owned(),
            ethernet: true,
            lacks: None,
            classifiers: 0,
        }
    }

    /// Nothing is against an uplink.
    fn ideal() -> Facts {
        Facts {
            devices: vec![device("eth0")],
            uplinks: Ok(()),
            firewall: None,
        }
    }

    /// All is against it.
    fn worst() -> Facts {
        let lame = Device {
            ethernet: false,
            lacks: Some(TUNNEL_SEGMENTATION),
            classifiers: 1,
            ..device("wg0")
        };
        Facts {
            devices: vec![lame],
            uplinks: Err("the kernel is old".to_owned()),
            firewall: Some("chain c has rules".to_owned()),
        }
    }

    fn auto(facts: &Facts) -> String {
        let Chosen { driver, reason } = Chosen::new(UnderlayDriver::Auto, facts);
        format!("{driver}: {reason}")
    }

    #[test]
    fn a_device_that_segments_tunnels_gets_super_frames() {
        assert_eq!(
            auto(&ideal()),
            "tunnel-gso: eth0 segments UDP tunnels (tx-udp_tnl-csum-segmentation)"
        );
        let two = Facts {
            devices: vec![device("eth0"), device("eth1")],
            ..ideal()
        };
        assert_eq!(
            auto(&two),
            "tunnel-gso: eth0 and eth1 segment UDP tunnels (tx-udp_tnl-csum-segmentation)"
        );
    }

    #[test]
    fn one_device_that_does_not_is_enough_for_udp() {
        let lame = Device {
            lacks: Some("tx-tcp-segmentation"),
            ..device("eth1")
        };
        let facts = Facts {
            devices: vec![device("eth0"), lame],
            ..ideal()
        };
        assert_eq!(
            auto(&facts),
            "udp: eth1 does not segment UDP tunnels (tx-tcp-segmentation is off), so the \
             kernel would cut instead"
        );
        let tunnel = Device {
            ethernet: false,
            ..device("wg0")
        };
        let facts = Facts {
            devices: vec![tunnel],
            ..ideal()
        };
        assert_eq!(auto(&facts), "udp: wg0 is no Ethernet device");
    }

    #[test]
    fn what_the_kernel_refuses_is_the_reason_for_udp() {
        let facts = Facts {
            uplinks: Err("the kernel is old".to_owned()),
            ..ideal()
        };
        assert_eq!(auto(&facts), "udp: the kernel is old");
    }

    #[test]
    fn a_firewall_that_judges_forwarded_packets_is_avoided() {
        let facts = Facts {
            firewall: Some("nftables chain ip filter FORWARD has policy drop".to_owned()),
            ..ideal()
        };
        assert_eq!(
            auto(&facts),
            "udp: nftables chain ip filter FORWARD has policy drop, and packets of tunnel-gso are \
             forwarded ones: they might not get through"
        );
    }

    #[test]
    fn classifiers_that_come_first_are_told() {
        let busy = Device {
            classifiers: 2,
            ..device("eth0")
        };
        let facts = Facts {
            devices: vec![busy],
            ..ideal()
        };
        assert!(
            auto(&facts)
                .ends_with("; other BPF classifiers on eth0 (2) come before the redirection")
        );
        assert!(auto(&facts).starts_with("tunnel-gso: eth0 segments"));
    }

    #[test]
    fn the_first_objection_is_told() {
        assert_eq!(auto(&worst()), "udp: wg0 is no Ethernet device");
    }

    #[test]
    fn what_the_configuration_names_is_used_whatever_the_facts() {
        for facts in [ideal(), worst()] {
            let udp = Chosen::new(UnderlayDriver::Udp, &facts);
            assert_eq!(
                (udp.driver, udp.reason.as_str()),
                (UnderlayDriver::Udp, "as configured")
            );
            assert!(!udp.has_uplinks());
            assert!(Chosen::new(UnderlayDriver::TunnelGso, &facts).has_uplinks());
        }
        let named = |facts: &Facts| Chosen::new(UnderlayDriver::TunnelGso, facts).reason;
        assert_eq!(named(&ideal()), "as configured");
        assert_eq!(
            named(&worst()),
            "as configured, although wg0 is no Ethernet device"
        );
    }

    #[test]
    fn a_failure_is_told_by_what_is_left() {
        let left = Chosen::after("no room");
        assert_eq!(left.driver, UnderlayDriver::Udp);
        assert_eq!(left.reason, "tunnel-gso was chosen, but failed: no room");
    }

    #[test]
    fn a_wire_is_had_by_name_alone() {
        let named = Chosen::new(UnderlayDriver::AfXdp, &worst());
        assert!(named.has_wire() && !named.has_uplinks());
        assert_eq!(named.reason, "as configured");
        for facts in [ideal(), worst()] {
            assert!(!Chosen::new(UnderlayDriver::Auto, &facts).has_wire());
        }
        let told = |setting, wires| Chosen::explained(setting, &worst(), &wires).reason;
        let why_not = "; af_xdp, which has no super-frames, is taken by name alone";
        assert!(told(UnderlayDriver::Auto, Ok(())).ends_with(why_not));
        let older = || Err("it is older still".to_owned());
        assert_eq!(
            told(UnderlayDriver::Auto, older()),
            "wg0 is no Ethernet device; af_xdp cannot be had: it is older still"
        );
        assert_eq!(told(UnderlayDriver::Udp, older()), "as configured");
    }
}
