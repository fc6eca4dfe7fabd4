//! How the packets of a network cross the underlay, from the keys that say it.
//!
//! The configuration file and the API have the same keys, and the same defaults: here they are.
//! Whether two networks can do with one endpoint is for [`crate::rib`] to say.

use std::fmt;

use ringlay_encap::{Encapsulation, GreKey, Preset, TunnelKey, Vni};

/// An encapsulation with all that is peculiar to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encap {
    /// VXLAN.
    Vxlan {
        /// Its network identifier.
        vni: Vni,
        /// UDP destination port.
        port: u16,
    },
    /// Geneve.
    Geneve {
        /// Its network identifier.
        vni: Vni,
        /// UDP destination port.
        port: u16,
        /// What is inside.
        inner: Inner,
    },
    /// GRE.
    Gre {
        /// What tells it from other networks of two nodes.
        key: Option<GreKey>,
        /// What is inside.
        inner: Inner,
    },
    /// IP in IP.
    Ipip,
    /// None: packets go to far ends on the same link as they are.
    Plain,
}

/// What is inside the tunnels of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// IP packets, directly.
    Ip,
    /// IP packets, each in an Ethernet frame, as peers want it that bridge.
    Ethernet,
}

impl Encap {
    /// The encapsulation by name.
    pub fn encapsulation(self) -> Encapsulation {
        self.tunnel_key().encapsulation()
    }

    /// What its packets come with.
    pub fn tunnel_key(self) -> TunnelKey {
        match self {
            Self::Vxlan { vni, .. } => TunnelKey::Vxlan(vni),
            Self::Geneve { vni, .. } => TunnelKey::Geneve(vni),
            Self::Gre { key, .. } => TunnelKey::Gre(key),
            Self::Ipip => TunnelKey::Ipip,
            Self::Plain => TunnelKey::Plain,
        }
    }

    /// The network identifier, if it has one.
    pub fn vni(self) -> Option<Vni> {
        match self {
            Self::Vxlan { vni, .. } | Self::Geneve { vni, .. } => Some(vni),
            Self::Gre { .. } | Self::Ipip | Self::Plain => None,
        }
    }

    /// The GRE key, if it has one.
    pub fn key(self) -> Option<GreKey> {
        match self {
            Self::Gre { key, .. } => key,
            _ => None,
        }
    }

    /// The UDP destination port, if it goes over UDP.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Vxlan { port, .. } | Self::Geneve { port, .. } => Some(port),
            Self::Gre { .. } | Self::Ipip | Self::Plain => None,
        }
    }

    /// What is inside.
    pub fn inner(self) -> Inner {
        match self {
            Self::Vxlan { .. } => Inner::Ethernet,
            Self::Geneve { inner, .. } | Self::Gre { inner, .. } => inner,
            Self::Ipip | Self::Plain => Inner::Ip,
        }
    }
}

impl Inner {
    /// The word, as in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ethernet => "ethernet",
        }
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The keys that together say how packets are encapsulated; those left out have defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncapKeys<'a> {
    /// Name of a system whose conventions are the defaults.
    pub preset: Option<&'a str>,
    /// Name of the encapsulation.
    pub encap: Option<&'a str>,
    /// Network identifier.
    pub vni: Option<i64>,
    /// GRE key.
    pub key: Option<i64>,
    /// UDP destination port.
    pub port: Option<u16>,
    /// Word for what is inside.
    pub inner: Option<&'a str>,
    /// Whether Ethernet frames must be inside.
    pub bridged: bool,
}

/// What is wrong with the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncapFault {
    /// A key is needed.
    Missing(&'static str),
    /// The value of a key cannot be used, or the key makes no sense here.
    Wrong {
        /// The key.
        key: &'static str,
        /// What is wrong, and what to do about it.
        problem: String,
    },
}

impl EncapKeys<'_> {
    /// The encapsulation that they say, and whose conventions it follows.
    ///
    /// # Errors
    ///
    /// If a value cannot be used, or a key is missing or out of place.
    pub fn resolve(&self) -> Result<(Encap, Option<Preset>), EncapFault> {
        let preset = self.preset.map(preset).transpose()?;
        let kind = match (self.encap, preset) {
            (Some(word), _) => encapsulation(word)?,
            (None, Some(preset)) => preset.encapsulation,
            (None, None) => Encapsulation::Vxlan,
        };
        self.fit(kind)?;
        let encap = match kind {
            Encapsulation::Vxlan => Encap::Vxlan {
                vni: self.vni(preset)?,
                port: self.port(kind, preset),
            },
            Encapsulation::Geneve => Encap::Geneve {
                vni: self.vni(preset)?,
                port: self.port(kind, preset),
                inner: self.inner(Inner::Ethernet)?,
            },
            Encapsulation::Gre => Encap::Gre {
                key: self.gre_key()?,
                inner: self.inner(match self.bridged {
                    true => Inner::Ethernet,
                    false => Inner::Ip,
                })?,
            },
            Encapsulation::Ipip => Encap::Ipip,
            Encapsulation::Plain => Encap::Plain,
        };
        if self.inner(encap.inner())? != encap.inner() {
            let problem = format!("{kind} carries nothing but {}; remove it", carried(encap));
            return Err(wrong("inner", problem));
        }
        Ok((encap, preset))
    }

    /// Refuses the keys that an encapsulation has no place for.
    fn fit(&self, kind: Encapsulation) -> Result<(), EncapFault> {
        let has_vni = matches!(kind, Encapsulation::Vxlan | Encapsulation::Geneve);
        let has_key = kind == Encapsulation::Gre;
        let strange = |key, instead| Err(wrong(key, format!("{kind} has none; {instead}")));
        if self.vni.is_some() && !has_vni {
            return strange("vni", if has_key { "use key" } else { "remove it" });
        }
        if self.key.is_some() && !has_key {
            return strange("key", if has_vni { "use vni" } else { "remove it" });
        }
        if self.port.is_some() && kind.udp_port().is_none() {
            return Err(wrong(
                "port",
                format!("{kind} does not go over UDP; remove it"),
            ));
        }
        Ok(())
    }

    fn vni(&self, preset: Option<Preset>) -> Result<Vni, EncapFault> {
        match (self.vni, preset) {
            (Some(number), _) => {
                let vni = u32::try_from(number).ok().and_then(Vni::new);
                vni.ok_or_else(|| wrong("vni", format!("{number} is no VNI; use 0 to 16777215")))
            }
            (None, Some(preset)) => Ok(preset.vni),
            (None, None) => Err(EncapFault::Missing("vni")),
        }
    }

    fn gre_key(&self) -> Result<Option<GreKey>, EncapFault> {
        let key = |number: i64| {
            let key = u32::try_from(number).ok().map(GreKey);
            key.ok_or_else(|| {
                wrong(
                    "key",
                    format!("{number} is no GRE key; use 0 to 4294967295"),
                )
            })
        };
        self.key.map(key).transpose()
    }

    /// A system's port is that of its own encapsulation.
    fn port(&self, kind: Encapsulation, preset: Option<Preset>) -> u16 {
        let usual = preset.filter(|preset| preset.encapsulation == kind);
        let usual = usual.map(|preset| preset.port).or_else(|| kind.udp_port());
        self.port.or(usual).unwrap_or_default()
    }

    fn inner(&self, default: Inner) -> Result<Inner, EncapFault> {
        match self.inner {
            None => Ok(default),
            Some("ip") => Ok(Inner::Ip),
            Some("ethernet") => Ok(Inner::Ethernet),
            Some(other) => {
                let problem = format!("{other:?} is not known; use \"ip\" or \"ethernet\"");
                Err(wrong("inner", problem))
            }
        }
    }
}

fn wrong(key: &'static str, problem: String) -> EncapFault {
    EncapFault::Wrong { key, problem }
}

fn carried(encap: Encap) -> &'static str {
    match encap.inner() {
        Inner::Ip => "IP packets",
        Inner::Ethernet => "Ethernet frames",
    }
}

fn preset(name: &str) -> Result<Preset, EncapFault> {
    Preset::by_name(name).ok_or_else(|| {
        let names = Preset::ALL.map(|preset| preset.name);
        wrong(
            "preset",
            format!("{name:?} is not known; use {}", words(&names)),
        )
    })
}

fn encapsulation(word: &str) -> Result<Encapsulation, EncapFault> {
    word.parse().map_err(|_| {
        let names = Encapsulation::ALL.map(Encapsulation::name);
        wrong(
            "encap",
            format!("{word:?} is not known; use {}", words(&names)),
        )
    })
}

fn words(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_defaults_that_keys_override() {
        let keys = |preset| EncapKeys {
            preset: Some(preset),
            ..EncapKeys::default()
        };
        let encap = |keys: EncapKeys<'_>| keys.resolve().unwrap().0;
        let vxlan = |vni: u32, port| Encap::Vxlan {
            vni: vni.try_into().unwrap(),
            port,
        };
        assert_eq!(encap(keys("flannel")), vxlan(1, 8472));
        assert_eq!(encap(keys("calico")), vxlan(4096, 4789));
        assert_eq!(encap(keys("cilium")), vxlan(2, 8472));
        let geneve = |vni: u32, inner| Encap::Geneve {
            vni: vni.try_into().unwrap(),
            port: 6081,
            inner,
        };
        assert_eq!(encap(keys("antrea")), geneve(0, Inner::Ethernet));
        let other = EncapKeys {
            vni: Some(7),
            port: Some(4789),
            ..keys("flannel")
        };
        assert_eq!(encap(other), vxlan(7, 4789));
        // Of another encapsulation the system's port is not the port.
        let other = EncapKeys {
            encap: Some("geneve"),
            ..keys("cilium")
        };
        assert_eq!(encap(other), geneve(2, Inner::Ethernet));
    }
}
