//! From raw values to objects: parse, don't validate. For the daemon's settings see
//! [`super::settings`].

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use ringlay_encap::Preset;
use toml::{Spanned, Value};

use super::{
    Settings, duration,
    error::Fault,
    ipam,
    places::Places,
    raw::{self, At},
    settings::settings,
    value::{Fields, absolute, parse, word},
};
use crate::object::{
    DeviceName, Encap, EncapFault, EncapKeys, FdbEntry, HeaderKeys, Headers, Mode, ModeKeys,
    MssClamp, Neighbour, Network, Object, Port, PortKind, Route, Site, Target, Vtep, ZeroCopy,
};

pub(super) fn convert(
    file: raw::File,
    places: &mut Places,
) -> Result<(Settings, Vec<Object>), Fault> {
    let mut settings = settings(file.node, file.dataplane, file.underlay, places)?;
    let mut objects = Vec::new();
    collect(file.network, network, places, &mut objects)?;
    collect(file.port, port, places, &mut objects)?;
    collect(file.vtep, vtep, places, &mut objects)?;
    collect(file.route, route, places, &mut objects)?;
    collect(file.neighbour, neighbour, places, &mut objects)?;
    collect(file.fdb, fdb, places, &mut objects)?;
    settings.pools = ipam::pools(file.ipam, &objects)?;
    Ok((settings, objects))
}

fn collect<R, T: Into<Object>>(
    raw: Vec<Spanned<R>>,
    convert: fn(&mut Fields, R) -> Result<T, Fault>,
    places: &mut Places,
    objects: &mut Vec<Object>,
) -> Result<(), Fault> {
    for raw in raw {
        let mut fields = Fields::new(raw.span());
        let object = convert(&mut fields, raw.into_inner())?.into();
        places.insert(object.key(), fields.place)?;
        objects.push(object);
    }
    Ok(())
}

fn network(fields: &mut Fields, raw: raw::Network) -> Result<Network, Fault> {
    let name = fields.text("name", raw.name)?;
    if let Some(mss_clamp) = &raw.mss_clamp {
        fields.note("mss_clamp", mss_clamp);
    }
    let mode = ModeRaw {
        mode: raw.mode,
        ageing: raw.fdb_ageing,
        limit: raw.fdb_limit,
    };
    let encap = EncapRaw {
        preset: raw.preset,
        encap: raw.encap,
        vni: raw.vni,
        key: raw.key,
        port: raw.port,
        inner: raw.inner,
    };
    let (encap, preset) = encap.resolve(fields, mode.is_bridged())?;
    let mode = mode.resolve(fields, encap)?;
    let headers = HeadersRaw {
        ecn: raw.ecn,
        dscp: raw.dscp,
        ttl: raw.ttl,
        udp_checksum: raw.udp_checksum,
        encap_limit: raw.encap_limit,
    };
    let headers = headers.resolve(fields, encap)?;
    Ok(Network {
        name,
        encap,
        mode,
        preset,
        headers,
        mtu: fields.auto_or_number("mtu", raw.mtu, Network::MTU_RANGE)?,
        mac: fields.optional("mac", raw.mac)?,
        mss_clamp: mss_clamp(raw.mss_clamp)?,
        fragment: raw.fragment,
        accept_unknown_vteps: raw.accept_unknown_vteps,
    })
}

/// The keys that together say how packets are encapsulated.
struct EncapRaw {
    preset: At<String>,
    encap: At<String>,
    vni: At<i64>,
    key: At<i64>,
    port: At<i64>,
    inner: At<String>,
}

impl EncapRaw {
    fn resolve(self, fields: &mut Fields, bridged: bool) -> Result<(Encap, Option<Preset>), Fault> {
        let words = [
            ("preset", &self.preset),
            ("encap", &self.encap),
            ("inner", &self.inner),
        ];
        for (key, value) in words {
            value.iter().for_each(|value| fields.note(key, value));
        }
        for (key, value) in [("vni", &self.vni), ("key", &self.key)] {
            value.iter().for_each(|value| fields.note(key, value));
        }
        let text = |value: &'_ At<String>| value.as_ref().map(|it| it.get_ref().clone());
        let number = |value: &At<i64>| value.as_ref().map(|it| *it.get_ref());
        let (preset, encap, inner) = (text(&self.preset), text(&self.encap), text(&self.inner));
        let keys = EncapKeys {
            preset: preset.as_deref(),
            encap: encap.as_deref(),
            vni: number(&self.vni),
            key: number(&self.key),
            port: fields.number("port", self.port, 1..=u16::MAX)?,
            inner: inner.as_deref(),
            bridged,
        };
        keys.resolve().map_err(|fault| misfit(fields, fault))
    }
}

/// The keys that say what the network forwards by.
struct ModeRaw {
    mode: At<String>,
    ageing: At<String>,
    limit: At<i64>,
}

impl ModeRaw {
    fn is_bridged(&self) -> bool {
        self.keys(None).is_bridged()
    }

    fn keys(&self, ageing: Option<Duration>) -> ModeKeys<'_> {
        ModeKeys {
            mode: self.mode.as_ref().map(|it| it.get_ref().as_str()),
            ageing,
            limit: self.limit.as_ref().map(|it| *it.get_ref()),
        }
    }

    fn resolve(&self, fields: &mut Fields, encap: Encap) -> Result<Mode, Fault> {
        for (key, value) in [("mode", &self.mode), ("fdb_ageing", &self.ageing)] {
            value.iter().for_each(|value| fields.note(key, value));
        }
        let limit = self.limit.iter();
        limit.for_each(|value| fields.note("fdb_limit", value));
        let understood = |value: &Spanned<String>| {
            duration::parse(value.get_ref()).ok_or_else(|| {
                let problem = format!(
                    "{:?} is not understood; use a duration such as \"300s\"",
                    value.get_ref()
                );
                Fault::new(value.span(), problem)
            })
        };
        let ageing = self.ageing.as_ref().map(understood).transpose()?;
        let mode = self.keys(ageing).resolve(encap);
        mode.map_err(|fault| misfit(fields, fault))
    }
}

/// The keys that say what the outer headers are like.
struct HeadersRaw {
    ecn: At<String>,
    dscp: At<Value>,
    ttl: At<Value>,
    udp_checksum: At<Value>,
    encap_limit: At<Value>,
}

impl HeadersRaw {
    fn resolve(self, fields: &mut Fields, encap: Encap) -> Result<Headers, Fault> {
        let ecn = self.ecn.as_ref();
        ecn.iter().for_each(|value| fields.note("ecn", value));
        let mut word = |key, value: &At<Value>| {
            value.iter().for_each(|value| fields.note(key, value));
            value.as_ref().map(|value| match value.get_ref() {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        };
        let (dscp, ttl) = (word("dscp", &self.dscp), word("ttl", &self.ttl));
        let udp_checksum = word("udp_checksum", &self.udp_checksum);
        let limit = self.encap_limit.as_ref();
        limit.iter().for_each(|it| fields.note("encap_limit", it));
        let encap_limit = match limit.map(|it| it.get_ref()) {
            None => None,
            Some(Value::Integer(number)) => Some(*number),
            Some(Value::String(word)) if word == "none" => None,
            Some(other) => {
                let problem = format!("{other} is not understood; use 0 to 255, or \"none\"");
                return Err(fields.fault("encap_limit", problem));
            }
        };
        let keys = HeaderKeys {
            encap_limit,
            ecn: ecn.map(|it| it.get_ref().as_str()),
            dscp: dscp.as_deref(),
            ttl: ttl.as_deref(),
            udp_checksum: udp_checksum.as_deref().map(|text| match text {
                "true" => "on",
                "false" => "off",
                other => other,
            }),
        };
        keys.resolve(encap).map_err(|fault| misfit(fields, fault))
    }
}

fn misfit(fields: &Fields, fault: EncapFault) -> Fault {
    match fault {
        EncapFault::Missing(key) => fields.missing(key),
        EncapFault::Wrong { key, problem } => fields.fault(key, problem),
    }
}

fn mss_clamp(value: At<Value>) -> Result<MssClamp, Fault> {
    let Some(value) = value else {
        return Ok(MssClamp::default());
    };
    let understood = match value.get_ref() {
        Value::Boolean(true) => Some(MssClamp::On),
        Value::Boolean(false) => Some(MssClamp::Off),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    understood.ok_or_else(|| {
        let problem = format!(
            "{} is not understood; use \"auto\", \"on\" or \"off\"",
            value.get_ref()
        );
        Fault::new(value.span(), problem)
    })
}

fn port(fields: &mut Fields, raw: raw::Port) -> Result<Port, Fault> {
    let kind = word(&raw.kind, &PortKind::ALL)?;
    raw.kind.iter().for_each(|it| fields.note("kind", it));
    let network = fields.text("network", raw.network)?;
    let device_text = fields.required("device", raw.device)?;
    let device: DeviceName = parse(&device_text)?;
    let name = match fields.optional("name", raw.name)? {
        Some(name) => name,
        None => parse(&device_text)?,
    };
    let netns = raw.netns.map(|netns| absolute(&netns)).transpose()?;
    if let Some(first) = raw.addresses.first() {
        fields.note("addresses", first);
    }
    let addresses = raw
        .addresses
        .iter()
        .map(address)
        .collect::<Result<_, _>>()?;
    let queues = fields.auto_or_number("queues", raw.queues, 1..=256)?;
    for (key, value) in [("proxy", &raw.proxy), ("routes", &raw.routes)] {
        value.iter().for_each(|it| fields.note(key, it));
    }
    raw.zero_copy
        .iter()
        .for_each(|it| fields.note("zero_copy", it));
    let flag = |value: At<bool>| value.map(Spanned::into_inner);
    Ok(Port {
        name,
        network,
        kind,
        device,
        netns,
        addresses,
        mac: fields.optional("mac", raw.mac)?,
        proxy: flag(raw.proxy).unwrap_or(false),
        zero_copy: word(&raw.zero_copy, &ZeroCopy::ALL)?,
        queues,
        routes: flag(raw.routes).unwrap_or_else(|| !kind.is_ethernet()),
        guest: None,
    })
}

/// An address with the length of its prefix.
fn address(value: &Spanned<String>) -> Result<IpNet, Fault> {
    value.get_ref().parse().map_err(|_| {
        let text = value.get_ref();
        let problem = format!("{text:?} is no ADDRESS/LENGTH; write e.g. \"10.42.1.1/24\"");
        Fault::new(value.span(), problem)
    })
}

fn vtep(fields: &mut Fields, raw: raw::Vtep) -> Result<Vtep, Fault> {
    Ok(Vtep {
        network: fields.text("network", raw.network)?,
        address: fields.address("address", raw.address)?,
        mac: fields.optional("mac", raw.mac)?,
    })
}

fn route(fields: &mut Fields, raw: raw::Route) -> Result<Route, Fault> {
    let network = fields.text("network", raw.network)?;
    let prefix = prefix(&fields.required("prefix", raw.prefix)?)?;
    let target = match (raw.vtep, raw.port, raw.drop) {
        (Some(vteps), None, None) => {
            fields.note("vtep", &vteps);
            Target::Vteps(addresses(&vteps)?)
        }
        (None, Some(port), None) => Target::Port(fields.text("port", Some(port))?),
        (None, None, Some(drop)) if *drop.get_ref() => Target::Drop,
        _ => {
            let problem = format!("route {prefix} needs exactly one of vtep, port and drop = true");
            return Err(Fault::new(fields.place.whole.clone(), problem));
        }
    };
    let via = raw
        .via
        .map(|via| fields.address("via", Some(via)))
        .transpose()?;
    let direct = raw.direct.is_some_and(|direct| {
        fields.note("direct", &direct);
        *direct.get_ref()
    });
    Ok(Route {
        network,
        prefix,
        target,
        via,
        direct,
    })
}

/// A prefix without host bits.
fn prefix(value: &Spanned<String>) -> Result<IpNet, Fault> {
    let text = value.get_ref();
    let fault = |problem| Fault::new(value.span(), problem);
    let prefix: IpNet = text.parse().map_err(|_| {
        fault(format!(
            "{text:?} is no prefix; write e.g. \"10.42.2.0/24\""
        ))
    })?;
    if prefix.trunc() != prefix {
        return Err(fault(format!(
            "{text:?} has host bits; write {:?}",
            prefix.trunc().to_string()
        )));
    }
    Ok(prefix)
}

/// One address, or a list of them.
fn addresses(value: &Spanned<Value>) -> Result<Vec<IpAddr>, Fault> {
    let texts = match value.get_ref() {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    texts
        .iter()
        .map(address)
        .collect::<Option<_>>()
        .ok_or_else(|| {
            let problem = format!(
                "{} is neither the address of a vtep nor a list of such",
                value.get_ref()
            );
            Fault::new(value.span(), problem)
        })
}

fn neighbour(fields: &mut Fields, raw: raw::Neighbour) -> Result<Neighbour, Fault> {
    Ok(Neighbour {
        network: fields.text("network", raw.network)?,
        address: fields.address("address", raw.address)?,
        vtep: fields.address("vtep", raw.vtep)?,
        mac: fields.text("mac", raw.mac)?,
    })
}

fn fdb(fields: &mut Fields, raw: raw::Fdb) -> Result<FdbEntry, Fault> {
    let (network, mac) = (
        fields.text("network", raw.network)?,
        fields.text("mac", raw.mac)?,
    );
    let site = match (raw.vtep, raw.port) {
        (Some(vtep), None) => Site::Vtep(fields.address("vtep", Some(vtep))?),
        (None, Some(port)) => Site::Port(fields.text("port", Some(port))?),
        _ => {
            let problem = format!("fdb {mac} needs exactly one of vtep and port");
            return Err(Fault::new(fields.place.whole.clone(), problem));
        }
    };
    Ok(FdbEntry { network, mac, site })
}
