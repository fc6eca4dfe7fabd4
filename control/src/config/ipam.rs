//! The `[[ipam]]` tables: from raw values to pools of addresses.

use toml::Spanned;

use super::{
    error::Fault,
    raw,
    value::{Fields, parse},
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
        masquerade,
    })
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
