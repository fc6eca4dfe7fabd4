//! The `[[ipam]]` tables: from raw values to pools of addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::{
    error::Fault,
    raw,
    value::{Fields, address, parse},
};
use crate::{
    ipam::{AddressRange, Pool},
    object::{Name, Object},
};

pub(super) fn pools(
    tables: Vec<Spanned<raw::Ipam>>,
    objects: &[Object],
) -> Result<Vec<Pool>, Fault> {
    let mut pools: Vec<Pool> = Vec::new();
    for table in tables {
        let whole = table.span();
        let pool = pool(table, objects)?;
        if pools.iter().any(|other| other.network == pool.network) {
            let network = &pool.network;
            let problem = format!("network {network} has one already; keep one of them");
            return Err(Fault::new(whole, problem));
        }
        pools.push(pool);
    }
    Ok(pools)
}

fn pool(table: Spanned<raw::Ipam>, objects: &[Object]) -> Result<Pool, Fault> {
    let mut fields = Fields::new(table.span());
    let raw = table.into_inner();
    let network_text = fields.required("network", raw.network)?;
    let network: Name = parse(&network_text)?;
    let named = |object: &Object| matches!(object, Object::Network(it) if it.name == network);
    if !objects.iter().any(named) {
        let problem = format!("there is no network {network}; add it with [[network]]");
        return Err(Fault::new(network_text.span(), problem));
    }
    let ranges_at = fields.required("ranges", raw.ranges)?;
    let span = ranges_at.span();
    let ranges = ranges(ranges_at.get_ref())?;
    if ranges.is_empty() {
        let problem = "is empty; write e.g. [\"10.42.1.0/24\"]";
        return Err(Fault::new(span, problem));
    }
    let bridged = |object: &Object| matches!(object, Object::Network(it) if it.name == network && it.mode.is_bridged());
    let links = Links {
        subnets: raw.subnets.iter().map(subnet).collect::<Result<_, _>>()?,
        gateways: raw.gateways.iter().map(address).collect::<Result<_, _>>()?,
    };
    match objects.iter().any(bridged) {
        true => links.fit(&raw.gateways, &ranges, &span)?,
        false => {
            if let Some(first) = raw.subnets.iter().chain(&raw.gateways).next() {
                let problem =
                    format!("is of use only in bridged networks, and {network} is routed");
                return Err(Fault::new(first.span(), problem));
            }
        }
    }
    let masquerade = raw.masquerade.unwrap_or(false);
    let leads_out = |object: &Object| matches!(object, Object::Port(it) if it.network == network && it.netns.is_none());
    if masquerade && !objects.iter().any(leads_out) {
        let problem = format!(
            "masquerade needs a [[port]] of network {network} without netns, by which packets leave"
        );
        return Err(Fault::new(fields.place.whole, problem));
    }
    Ok(Pool {
        network,
        ranges,
        exclude: raw.exclude.iter().map(single).collect::<Result<_, _>>()?,
        subnets: links.subnets,
        gateways: links.gateways,
        masquerade,
    })
}

/// What is on the one link of a bridged network.
struct Links {
    subnets: Vec<IpNet>,
    gateways: Vec<IpAddr>,
}

impl Links {
    /// Whether every container is on a subnet, and every gateway too, one of each IP version.
    fn fit(
        &self,
        gateways: &[Spanned<String>],
        ranges: &[AddressRange],
        ranges_at: &std::ops::Range<usize>,
    ) -> Result<(), Fault> {
        let outside = ranges.iter().find(|range| {
            let (first, last) = range.ends();
            let mut subnets = self.subnets.iter();
            !subnets.any(|subnet| subnet.contains(&first) && subnet.contains(&last))
        });
        if let Some(range) = outside {
            let problem = format!(
                "{range} is in none of subnets, as bridged networks need it; \
                 write e.g. subnets = [\"10.42.0.0/16\"]"
            );
            return Err(Fault::new(ranges_at.clone(), problem));
        }
        for (at, gateway) in self.gateways.iter().enumerate() {
            let on_link = self.subnets.iter().any(|subnet| subnet.contains(gateway));
            let mut before = self.gateways[..at].iter();
            if !on_link || before.any(|it| it.is_ipv4() == gateway.is_ipv4()) {
                let problem = format!("{gateway} is on no subnet, or the second of its IP version");
                return Err(Fault::new(gateways[at].span(), problem));
            }
        }
        Ok(())
    }
}

fn ranges(texts: &[Spanned<String>]) -> Result<Vec<AddressRange>, Fault> {
    texts.iter().map(parse).collect()
}

/// A range, or one address.
fn single(text: &Spanned<String>) -> Result<AddressRange, Fault> {
    match text.get_ref().parse() {
        Ok(address) => Ok(AddressRange::new(address, address).expect("one address is in order")),
        Err(_) => parse(text),
    }
}

/// A prefix without host bits.
fn subnet(text: &Spanned<String>) -> Result<IpNet, Fault> {
    let net: IpNet = parse(text)?;
    match net.trunc() == net {
        true => Ok(net),
        false => {
            let problem = format!("{net} has host bits; write {:?}", net.trunc().to_string());
            Err(Fault::new(text.span(), problem))
        }
    }
}
