//! What the outer headers of a network's packets take from the inner ones, from the keys that say
//! it. The configuration file and the API have the same keys.

use std::{fmt::Display, str::FromStr};

use ringlay_encap::{DscpPolicy, EcnMode, TtlPolicy, UdpChecksum};

use super::encap::{Encap, EncapFault};

/// Policies for the fields of outer IP headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Congestion marks (RFC 6040).
    pub ecn: EcnMode,
    /// DSCP (RFC 2983).
    pub dscp: DscpPolicy,
    /// Time to live; the host's usual one if absent.
    pub ttl: Option<TtlPolicy>,
    /// Outer UDP checksums (RFC 6935, RFC 6936).
    pub udp_checksum: UdpChecksum,
    /// How many more tunnels packets may enter, as outer IPv6 headers say (RFC 2473).
    pub encap_limit: Option<u8>,
}

/// The keys; those left out have defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderKeys<'a> {
    /// `normal` or `compatibility`.
    pub ecn: Option<&'a str>,
    /// `copy`, or a number.
    pub dscp: Option<&'a str>,
    /// `copy`, or a number.
    pub ttl: Option<&'a str>,
    /// `on`, `sent` or `off`.
    pub udp_checksum: Option<&'a str>,
    /// A number; none says nothing.
    pub encap_limit: Option<i64>,
}

impl Headers {
    /// The word for the way congestion marks are treated.
    pub fn ecn_word(&self) -> &'static str {
        match self.ecn {
            EcnMode::Normal => "normal",
            EcnMode::Compatibility => "compatibility",
        }
    }
}

impl HeaderKeys<'_> {
    /// The policies that they say, of a network with this encapsulation.
    ///
    /// # Errors
    ///
    /// If a value cannot be used, or a key is out of place.
    pub fn resolve(&self, encap: Encap) -> Result<Headers, EncapFault> {
        if self.udp_checksum.is_some() && encap.port().is_none() {
            return Err(EncapFault::Wrong {
                key: "udp_checksum",
                problem: format!("{} does not go over UDP; remove it", encap.encapsulation()),
            });
        }
        if self.encap_limit.is_some() && encap.port().is_some() {
            return Err(EncapFault::Wrong {
                key: "encap_limit",
                problem: format!("{} goes over UDP; remove it", encap.encapsulation()),
            });
        }
        let limit = |number: i64| {
            u8::try_from(number).map_err(|_| EncapFault::Wrong {
                key: "encap_limit",
                problem: format!("{number} is no limit; use 0 to 255, or \"none\""),
            })
        };
        let ecn = match self.ecn {
            None | Some("normal") => EcnMode::Normal,
            Some("compatibility") => EcnMode::Compatibility,
            Some(other) => {
                let problem =
                    format!("{other:?} is not known; use \"normal\" or \"compatibility\"");
                return Err(EncapFault::Wrong {
                    key: "ecn",
                    problem,
                });
            }
        };
        Ok(Headers {
            ecn,
            dscp: parsed("dscp", self.dscp)?.unwrap_or_default(),
            ttl: parsed("ttl", self.ttl)?,
            udp_checksum: parsed("udp_checksum", self.udp_checksum)?.unwrap_or_default(),
            encap_limit: self.encap_limit.map(limit).transpose()?,
        })
    }
}

fn parsed<T: FromStr<Err: Display>>(
    key: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, EncapFault> {
    let parse = |text: &str| {
        text.parse().map_err(|error| EncapFault::Wrong {
            key,
            problem: format!("{text}: {error}"),
        })
    };
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use ringlay_encap::Vni;

    use super::*;

    #[test]
    fn policies_are_read() {
        let keys = HeaderKeys {
            ecn: Some("compatibility"),
            dscp: Some("46"),
            ttl: Some("copy"),
            udp_checksum: Some("off"),
            encap_limit: None,
        };
        let vxlan = Encap::Vxlan {
            vni: Vni::MAX,
            port: 4789,
        };
        let headers = keys.resolve(vxlan).unwrap();
        assert_eq!(headers.ecn_word(), "compatibility");
        assert_eq!(headers.dscp.to_string(), "46");
        assert_eq!(headers.ttl, Some(TtlPolicy::Copy));
        assert_eq!(headers.udp_checksum, UdpChecksum::Off);
        let defaults = HeaderKeys::default();
        assert_eq!(defaults.resolve(Encap::Ipip), Ok(Headers::default()));
        assert!(keys.resolve(Encap::Ipip).is_err());
        let limited = HeaderKeys {
            encap_limit: Some(4),
            ..defaults
        };
        assert_eq!(limited.resolve(Encap::Ipip).unwrap().encap_limit, Some(4));
        assert!(limited.resolve(vxlan).is_err());
    }
}
