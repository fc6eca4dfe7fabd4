//! From messages to objects and keys: parse, don't validate. Whether an object makes sense among
//! the others is for the [`crate::rib`] to say.

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use ipnet::IpNet;
use ringlay_encap::Preset;
use tonic::Status;

use super::status::invalid;
use crate::{
    object::{
        Encap, EncapFault, EncapKeys, FdbEntry, FdbKey, HeaderKeys, Headers, Key, ModeKeys, Name,
        Neighbour, NeighbourKey, Network, Object, Path, Port, PortKind, Route, RouteKey, Site,
        Source, Target, Vtep, VtepKey,
    },
    proto,
    rib::Operation,
};

/// The source that a request names; `grpc` if it names none. The configuration file is not ours to
/// speak for.
pub(super) fn source(text: &str) -> Result<Source, Status> {
    match text {
        "" => Ok(Source::Grpc),
        "static" => Err(invalid(
            "source",
            "static objects come from the configuration file",
        )),
        other => text_field("source", other),
    }
}

pub(super) fn network(raw: Option<proto::Network>) -> Result<(Source, Network), Status> {
    let raw = required("network", raw)?;
    let keys = ModeKeys {
        mode: given(&raw.mode),
        ageing: raw.fdb_ageing_ms.map(Duration::from_millis),
        limit: raw.fdb_limit.map(i64::from),
    };
    let (encap, preset) = encap(&raw, keys.is_bridged())?;
    let network = Network {
        name: text_field("network.name", &raw.name)?,
        encap,
        mode: keys.resolve(encap).map_err(misfit)?,
        preset,
        headers: headers(&raw, encap)?,
        mtu: number("network.mtu", raw.mtu, Network::MTU_RANGE)?,
        mac: optional("network.mac", &raw.mac)?,
        mss_clamp: optional("network.mss_clamp", &raw.mss_clamp)?.unwrap_or_default(),
        fragment: raw.fragment,
        accept_unknown_vteps: raw.accept_unknown_vteps,
    };
    Ok((source(&raw.source)?, network))
}

fn encap(raw: &proto::Network, bridged: bool) -> Result<(Encap, Option<Preset>), Status> {
    let keys = EncapKeys {
        preset: given(&raw.preset),
        encap: given(&raw.encap),
        vni: raw.vni.map(i64::from),
        key: raw.key.map(i64::from),
        port: number("network.port", raw.port, 1..=u16::MAX)?,
        inner: given(&raw.inner),
        bridged,
    };
    keys.resolve().map_err(misfit)
}

fn headers(raw: &proto::Network, encap: Encap) -> Result<Headers, Status> {
    let keys = HeaderKeys {
        ecn: given(&raw.ecn),
        dscp: given(&raw.dscp),
        ttl: given(&raw.ttl),
        udp_checksum: given(&raw.udp_checksum),
        encap_limit: raw.encap_limit.map(i64::from),
    };
    keys.resolve(encap).map_err(misfit)
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn misfit(fault: EncapFault) -> Status {
    match fault {
        EncapFault::Missing(key) => invalid(&format!("network.{key}"), "is missing"),
        EncapFault::Wrong { key, problem } => invalid(&format!("network.{key}"), problem),
    }
}

pub(super) fn port(raw: Option<proto::Port>) -> Result<(Source, Port), Status> {
    let raw = required("port", raw)?;
    let kind: PortKind = optional("port.kind", &raw.kind)?.unwrap_or_default();
    let name = if raw.name.is_empty() {
        &raw.device
    } else {
        &raw.name
    };
    let addresses = raw
        .addresses
        .iter()
        .map(|address| text_field("port.addresses", address));
    let port = Port {
        name: text_field("port.name", name)?,
        network: text_field("port.network", &raw.network)?,
        kind,
        device: text_field("port.device", &raw.device)?,
        netns: netns(&raw.netns)?,
        addresses: addresses.collect::<Result<_, _>>()?,
        mac: optional("port.mac", &raw.mac)?,
        proxy: raw.proxy,
        zero_copy: optional("port.zero_copy", &raw.zero_copy)?.unwrap_or_default(),
        queues: number("port.queues", raw.queues, 1..=256)?,
        routes: raw.routes.unwrap_or_else(|| !kind.is_ethernet()),
        guest: None,
    };
    Ok((source(&raw.source)?, port))
}

pub(super) fn vtep(raw: Option<proto::Vtep>) -> Result<(Source, Vtep), Status> {
    let raw = required("vtep", raw)?;
    let vtep = Vtep {
        network: text_field("vtep.network", &raw.network)?,
        address: text_field("vtep.address", &raw.address)?,
        mac: optional("vtep.mac", &raw.mac)?,
    };
    Ok((source(&raw.source)?, vtep))
}

pub(super) fn route(raw: Option<proto::Route>) -> Result<(Source, Route), Status> {
    let raw = required("route", raw)?;
    let path = path_of(&raw)?;
    let network = text_field("route.network", &raw.network)?;
    let prefix = prefix("route.prefix", &raw.prefix)?;
    Ok((source(&raw.source)?, path.route(&network, prefix)))
}

/// Where a route leads.
pub(super) fn path_of(raw: &proto::Route) -> Result<Path, Status> {
    use proto::route::Target as Raw;
    let target = match &raw.target {
        Some(Raw::Vteps(list)) => vteps("route.vteps.addresses", list)?,
        Some(Raw::Port(name)) => Target::Port(text_field("route.port", name)?),
        Some(Raw::Drop(there)) => dropped("route.drop", *there)?,
        None => return Err(invalid("route.target", "needs one of vteps, port and drop")),
    };
    Ok(Path {
        target,
        via: optional("route.via", &raw.via)?,
        direct: raw.direct,
    })
}

pub(super) fn path(raw: &proto::RoutePath) -> Result<Path, Status> {
    use proto::route_path::Target as Raw;
    let target = match &raw.target {
        Some(Raw::Vteps(list)) => vteps("path.vteps.addresses", list)?,
        Some(Raw::Port(name)) => Target::Port(text_field("path.port", name)?),
        Some(Raw::Drop(there)) => dropped("path.drop", *there)?,
        None => return Err(invalid("path.target", "needs one of vteps, port and drop")),
    };
    Ok(Path {
        target,
        via: optional("path.via", &raw.via)?,
        direct: raw.direct,
    })
}

fn vteps(field: &str, list: &proto::VtepList) -> Result<Target, Status> {
    let vteps = list.addresses.iter().map(|it| text_field(field, it));
    Ok(Target::Vteps(vteps.collect::<Result<_, _>>()?))
}

fn dropped(field: &str, there: bool) -> Result<Target, Status> {
    if there {
        Ok(Target::Drop)
    } else {
        Err(invalid(field, "must be true if it is there"))
    }
}

pub(super) fn name(field: &str, text: &str) -> Result<Name, Status> {
    text_field(field, text)
}

pub(super) fn neighbour(raw: Option<proto::Neighbour>) -> Result<(Source, Neighbour), Status> {
    let raw = required("neighbour", raw)?;
    let neighbour = Neighbour {
        network: text_field("neighbour.network", &raw.network)?,
        address: text_field("neighbour.address", &raw.address)?,
        vtep: text_field("neighbour.vtep", &raw.vtep)?,
        mac: text_field("neighbour.mac", &raw.mac)?,
    };
    Ok((source(&raw.source)?, neighbour))
}

pub(super) fn fdb(raw: Option<proto::FdbEntry>) -> Result<(Source, FdbEntry), Status> {
    use proto::fdb_entry::Site as Raw;
    let raw = required("entry", raw)?;
    let site = match &raw.site {
        Some(Raw::Vtep(vtep)) => Site::Vtep(text_field("entry.vtep", vtep)?),
        Some(Raw::Port(port)) => Site::Port(text_field("entry.port", port)?),
        None => return Err(invalid("entry.site", "needs one of vtep and port")),
    };
    let entry = FdbEntry {
        network: text_field("entry.network", &raw.network)?,
        mac: text_field("entry.mac", &raw.mac)?,
        site,
    };
    Ok((source(&raw.source)?, entry))
}

/// Where stations are that are to be forgotten.
pub(super) fn flushed_site(
    raw: Option<proto::flush_fdb_request::Site>,
) -> Result<Option<Site>, Status> {
    use proto::flush_fdb_request::Site as Raw;
    Ok(match raw {
        Some(Raw::Vtep(vtep)) => Some(Site::Vtep(text_field("vtep", &vtep)?)),
        Some(Raw::Port(port)) => Some(Site::Port(text_field("port", &port)?)),
        None => None,
    })
}

/// An object of any kind. The source that it names is ignored: the request names it.
pub(super) fn object(raw: proto::Object) -> Result<Object, Status> {
    use proto::object::Kind;
    Ok(match required("object.kind", raw.kind)? {
        Kind::Network(raw) => network(Some(raw))?.1.into(),
        Kind::Port(raw) => port(Some(raw))?.1.into(),
        Kind::Vtep(raw) => vtep(Some(raw))?.1.into(),
        Kind::Route(raw) => route(Some(raw))?.1.into(),
        Kind::Neighbour(raw) => neighbour(Some(raw))?.1.into(),
        Kind::Fdb(raw) => fdb(Some(raw))?.1.into(),
    })
}

pub(super) fn operation(raw: proto::Operation) -> Result<Operation, Status> {
    use proto::operation::Verb;
    Ok(match required("operation.verb", raw.verb)? {
        Verb::Apply(raw_object) => Operation::Apply {
            object: object(raw_object)?,
            exist_ok: raw.exist_ok.unwrap_or(true),
        },
        Verb::Delete(raw_key) => Operation::Delete {
            key: key(raw_key)?,
            missing_ok: raw.missing_ok,
        },
    })
}

fn key(raw: proto::ObjectKey) -> Result<Key, Status> {
    use proto::object_key::Kind;
    Ok(match required("key.kind", raw.kind)? {
        Kind::Network(raw) => Key::Network(network_key(Some(raw))?),
        Kind::Port(raw) => Key::Port(port_key(Some(raw))?),
        Kind::Vtep(raw) => Key::Vtep(vtep_key(Some(raw))?),
        Kind::Route(raw) => Key::Route(route_key(Some(raw))?),
        Kind::Neighbour(raw) => Key::Neighbour(neighbour_key(Some(raw))?),
        Kind::Fdb(raw) => Key::FdbEntry(fdb_key(Some(raw))?),
    })
}

pub(super) fn network_key(raw: Option<proto::NetworkKey>) -> Result<Name, Status> {
    text_field("key.name", &required("key", raw)?.name)
}

pub(super) fn port_key(raw: Option<proto::PortKey>) -> Result<Name, Status> {
    text_field("key.name", &required("key", raw)?.name)
}

pub(super) fn vtep_key(raw: Option<proto::VtepKey>) -> Result<VtepKey, Status> {
    let raw = required("key", raw)?;
    let network = text_field("key.network", &raw.network)?;
    Ok(VtepKey {
        network,
        address: text_field("key.address", &raw.address)?,
    })
}

pub(super) fn route_key(raw: Option<proto::RouteKey>) -> Result<RouteKey, Status> {
    let raw = required("key", raw)?;
    let network = text_field("key.network", &raw.network)?;
    Ok(RouteKey {
        network,
        prefix: prefix("key.prefix", &raw.prefix)?,
    })
}

pub(super) fn neighbour_key(raw: Option<proto::NeighbourKey>) -> Result<NeighbourKey, Status> {
    let raw = required("key", raw)?;
    let network = text_field("key.network", &raw.network)?;
    Ok(NeighbourKey {
        network,
        address: text_field("key.address", &raw.address)?,
    })
}

pub(super) fn fdb_key(raw: Option<proto::FdbKey>) -> Result<FdbKey, Status> {
    let raw = required("key", raw)?;
    let network = text_field("key.network", &raw.network)?;
    Ok(FdbKey {
        network,
        mac: text_field("key.mac", &raw.mac)?,
    })
}

/// The network that a list is limited to, if it is.
pub(super) fn network_filter(text: &str) -> Result<Option<Name>, Status> {
    optional("network", text)
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, Status> {
    value.ok_or_else(|| invalid(field, "is missing"))
}

pub(super) fn text_field<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Status> {
    if text.is_empty() {
        return Err(invalid(field, "is missing"));
    }
    text.parse()
        .map_err(|error| invalid(field, format_args!("{text:?}: {error}")))
}

pub(super) fn optional<T: FromStr<Err: Display>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Status> {
    if text.is_empty() {
        Ok(None)
    } else {
        text_field(field, text).map(Some)
    }
}

fn number(
    field: &str,
    value: Option<u32>,
    range: std::ops::RangeInclusive<u16>,
) -> Result<Option<u16>, Status> {
    let Some(value) = value else { return Ok(None) };
    let fitting = u16::try_from(value)
        .ok()
        .filter(|value| range.contains(value));
    let (first, last) = range.into_inner();
    let error = || {
        invalid(
            field,
            format_args!("{value} is out of range; use {first} to {last}"),
        )
    };
    fitting.map(Some).ok_or_else(error)
}

fn netns(text: &str) -> Result<Option<PathBuf>, Status> {
    let path = PathBuf::from(text);
    match text {
        "" => Ok(None),
        _ if path.is_absolute() => Ok(Some(path)),
        _ => Err(invalid("port.netns", "is a relative path; begin it with /")),
    }
}

pub(super) fn prefix(field: &str, text: &str) -> Result<IpNet, Status> {
    let prefix: IpNet = text_field(field, text)?;
    if prefix.trunc() == prefix {
        return Ok(prefix);
    }
    Err(invalid(
        field,
        format_args!("{text} has host bits; write {}", prefix.trunc()),
    ))
}
