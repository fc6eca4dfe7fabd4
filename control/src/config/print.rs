//! Prints settings and state as a configuration file that would lead to them.

use std::{fmt, net::IpAddr};

use super::{Df, Driver, Local, Poll, Settings, UnderlayDriver, Workers, duration};
use crate::{
    ipam::Pool,
    object::{
        Encap, FdbEntry, Headers, Neighbour, Network, Port, Route, Site, Source, Target, Vtep,
        ZeroCopy,
    },
    rib::Rib,
};

/// The configuration file that leads to these settings and the objects in force.
///
/// Objects from other sources than `static` are there too, each below a comment that says so. Ports
/// of containers are not: no file leads to those.
pub fn print(settings: &Settings, rib: &Rib) -> String {
    let mut out = Printer::default();
    out.settings(settings);
    rib.networks()
        .for_each(|(source, network)| out.network(source, network));
    let (guests, ports): (Vec<_>, Vec<_>) = rib.ports().partition(|(_, it)| it.guest.is_some());
    let ports = ports.into_iter();
    ports.for_each(|(source, port)| out.port(source, port));
    rib.vteps()
        .for_each(|(source, vtep)| out.vtep(source, vtep));
    rib.routes()
        .for_each(|(source, route)| out.route(source, &route));
    rib.neighbours()
        .for_each(|(source, neighbour)| out.neighbour(source, neighbour));
    rib.fdb().for_each(|(source, entry)| out.fdb(source, entry));
    settings.pools.iter().for_each(|pool| out.pool(pool));
    if !guests.is_empty() {
        let count = guests.len();
        out.table(&format!(
            "# Attached containers: {count}; see `ringlay attachment list`."
        ));
    }
    out.text
}

/// Writes tables and keys of TOML.
#[derive(Default)]
struct Printer {
    text: String,
}

impl Printer {
    fn table(&mut self, header: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(header);
        self.text.push('\n');
    }

    fn object(&mut self, kind: &str, source: Source) {
        match source {
            Source::Static => self.table(&format!("[[{kind}]]")),
            other => self.table(&format!("# source: {other}\n[[{kind}]]")),
        }
    }

    fn key(&mut self, key: &str, value: impl Into<toml::Value>) {
        let value: toml::Value = value.into();
        self.text.push_str(&format!("{key} = {value}\n"));
    }

    /// A value that is written as text.
    fn word(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key, value.to_string());
    }

    fn optional(&mut self, key: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.word(key, value);
        }
    }

    fn settings(&mut self, settings: &Settings) {
        if settings.name.is_some() || settings.socket.is_some() || settings.state.is_some() {
            self.table("[node]");
            self.optional("name", settings.name.as_ref());
            self.optional(
                "socket",
                settings.socket.as_ref().map(|path| path.display()),
            );
            self.optional("state", settings.state.as_ref().map(|path| path.display()));
        }
        self.table("[dataplane]");
        match &settings.workers {
            Workers::Auto => self.word("workers", "auto"),
            Workers::Count(count) => self.key("workers", i64::from(*count)),
            Workers::Cpus(cpus) => {
                let cpus: Vec<_> = cpus.iter().map(|cpu| *cpu as i64).collect();
                self.key("workers", cpus);
            }
        }
        self.word("driver", settings.driver);
        self.word("poll", settings.poll);
        if let Poll::Adaptive { spin } = settings.poll {
            self.word("spin", duration::print(spin));
        }
        if settings.stages {
            self.key("stages", true);
        }
        self.table("[underlay]");
        match &settings.local {
            Local::Address(address) => self.word("address", address),
            Local::Device(device) => self.word("device", device),
        }
        self.word("driver", settings.underlay_driver);
        if settings.zero_copy != ZeroCopy::Auto {
            self.word("zero_copy", settings.zero_copy);
        }
        self.word("df", settings.df);
        match settings.probe {
            None => self.word("probe", "off"),
            Some(interval) => self.word("probe", duration::print(interval)),
        }
        if settings.accept_unknown_vteps {
            self.key("accept_unknown_vteps", true);
        }
    }

    fn pool(&mut self, pool: &Pool) {
        self.table("[[ipam]]");
        self.word("network", &pool.network);
        self.key("ranges", texts(&pool.ranges));
        if !pool.exclude.is_empty() {
            self.key("exclude", texts(&pool.exclude));
        }
        if !pool.subnets.is_empty() {
            self.key("subnets", texts(&pool.subnets));
        }
        if !pool.gateways.is_empty() {
            self.key("gateways", texts(&pool.gateways));
        }
        if pool.masquerade {
            self.key("masquerade", true);
        }
    }

    fn network(&mut self, source: Source, network: &Network) {
        self.object("network", source);
        self.word("name", &network.name);
        self.optional("preset", network.preset.map(|preset| preset.name));
        self.encap(network.encap);
        self.headers(&network.headers);
        self.word("mode", network.mode);
        if let Some(learning) = network.mode.learning() {
            self.word("fdb_ageing", duration::print(learning.ageing));
            self.key("fdb_limit", i64::from(learning.limit));
        }
        match network.mtu {
            None => self.word("mtu", "auto"),
            Some(mtu) => self.key("mtu", i64::from(mtu)),
        }
        self.optional("mac", network.mac);
        if !network.mode.is_bridged() {
            self.word("mss_clamp", network.mss_clamp);
        }
        if network.fragment {
            self.key("fragment", true);
        }
        if let Some(accept) = network.accept_unknown_vteps {
            self.key("accept_unknown_vteps", accept);
        }
    }

    fn encap(&mut self, encap: Encap) {
        self.word("encap", encap.encapsulation());
        if let Some(vni) = encap.vni() {
            self.key("vni", i64::from(vni.value()));
        }
        if let Some(key) = encap.key() {
            self.key("key", i64::from(key.0));
        }
        if let Some(port) = encap.port() {
            self.key("port", i64::from(port));
        }
        // Others have no choice.
        if matches!(encap, Encap::Geneve { .. } | Encap::Gre { .. }) {
            self.word("inner", encap.inner());
        }
    }

    /// What is not as usual.
    fn headers(&mut self, headers: &Headers) {
        let usual = Headers::default();
        if headers.ecn != usual.ecn {
            self.word("ecn", headers.ecn_word());
        }
        if headers.dscp != usual.dscp {
            self.word("dscp", headers.dscp);
        }
        self.optional("ttl", headers.ttl);
        if headers.udp_checksum != usual.udp_checksum {
            self.word("udp_checksum", headers.udp_checksum);
        }
        if let Some(limit) = headers.encap_limit {
            self.key("encap_limit", i64::from(limit));
        }
    }

    fn port(&mut self, source: Source, port: &Port) {
        self.object("port", source);
        if port.name.as_str() != port.device.as_str() {
            self.word("name", &port.name);
        }
        self.word("network", &port.network);
        self.word("kind", port.kind);
        self.word("device", &port.device);
        self.optional("netns", port.netns.as_ref().map(|path| path.display()));
        self.key("addresses", texts(&port.addresses));
        self.optional("mac", port.mac);
        if port.proxy {
            self.key("proxy", true);
        }
        if port.zero_copy != ZeroCopy::Auto {
            self.word("zero_copy", port.zero_copy);
        }
        match port.queues {
            None => self.word("queues", "auto"),
            Some(queues) => self.key("queues", i64::from(queues)),
        }
        if !port.routes && !port.kind.is_ethernet() {
            self.key("routes", false);
        }
    }

    fn vtep(&mut self, source: Source, vtep: &Vtep) {
        self.object("vtep", source);
        self.word("network", &vtep.network);
        self.word("address", vtep.address);
        self.optional("mac", vtep.mac);
    }

    fn route(&mut self, source: Source, route: &Route) {
        self.object("route", source);
        self.word("network", &route.network);
        self.word("prefix", route.prefix);
        match &route.target {
            Target::Vteps(vteps) => match vteps.as_slice() {
                [single] => self.word("vtep", single),
                several => self.key("vtep", texts::<IpAddr>(several)),
            },
            Target::Port(port) => self.word("port", port),
            Target::Drop => self.key("drop", true),
        }
        self.optional("via", route.via);
        if route.direct {
            self.key("direct", true);
        }
    }

    fn neighbour(&mut self, source: Source, neighbour: &Neighbour) {
        self.object("neighbour", source);
        self.word("network", &neighbour.network);
        self.word("address", neighbour.address);
        self.word("vtep", neighbour.vtep);
        self.word("mac", neighbour.mac);
    }
}

impl Printer {
    fn fdb(&mut self, source: Source, entry: &FdbEntry) {
        self.object("fdb", source);
        self.word("network", &entry.network);
        self.word("mac", entry.mac);
        match &entry.site {
            Site::Vtep(vtep) => self.word("vtep", vtep),
            Site::Port(port) => self.word("port", port),
        }
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

impl fmt::Display for Df {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set => "set",
            Self::Clear => "clear",
        })
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

impl fmt::Display for UnderlayDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Udp => "udp",
            Self::TunnelGso => "tunnel-gso",
            Self::AfXdp => "af_xdp",
        })
    }
}

impl fmt::Display for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adaptive { .. } => "adaptive",
            Self::Busy => "busy",
            Self::Interrupt => "interrupt",
        })
    }
}
