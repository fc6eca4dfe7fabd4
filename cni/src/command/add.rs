//! ADD: attach a container to the network.

use ringlay_control::proto::{AddressSet, AttachRequest, AttachmentKey, GuestRoute};
use serde_json::Value;

use crate::config::{NetworkConfig, Range, Route};
use crate::daemon;
use crate::delegate::{self, Chosen};
use crate::environment::Environment;
use crate::error::CniError;
use crate::result::{Outcome, plain_address, result};

pub(super) fn run(
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Option<Value>, CniError> {
    let request = request(environment, config)?;
    let chosen = match &config.ipam {
        Some(plugin) => delegate::add(plugin, environment, config)?,
        None => Chosen::default(),
    };
    attach(environment, config, request, &chosen)
        .map(Some)
        .inspect_err(|_| give_back(environment, config))
}

/// What is left to do once the addresses are known.
fn attach(
    environment: &Environment,
    config: &NetworkConfig,
    mut request: AttachRequest,
    chosen: &Chosen,
) -> Result<Value, CniError> {
    if !chosen.addresses.is_empty() {
        request.addresses.clone_from(&chosen.addresses);
        request.requested.clear();
        request.sets.clear();
        request.routes.extend_from_slice(&chosen.routes);
    }
    let interface = environment.attachment()?.interface;
    let netns = request.netns.clone();
    let attachment = daemon::attach(&config.socket, request)?;
    let dns = config.dns.as_ref().or(chosen.dns.as_ref());
    let outcome = Outcome {
        interface: &interface,
        netns: &netns,
        attachment: &attachment,
        gateways: &chosen.gateways,
        dns,
    };
    let previous = config.previous_result.as_ref();
    Ok(result(config.version, previous, &outcome))
}

/// Whoever chose addresses must hear that they are not used.
fn give_back(environment: &Environment, config: &NetworkConfig) {
    if let Some(plugin) = &config.ipam
        && let Err(error) = delegate::tell(plugin, "DEL", environment, config)
    {
        crate::log(&format!("ADD: addresses are not given back: {error}"));
    }
}

fn request(environment: &Environment, config: &NetworkConfig) -> Result<AttachRequest, CniError> {
    let attachment = environment.attachment()?;
    let netns = environment.netns()?.to_owned();
    let args = environment.args()?;
    let mac = args.mac.as_ref().or(config.wishes.mac.as_ref());
    if let Some(mac) = mac.filter(|_| !config.is_ethernet()) {
        return Err(CniError::UnsupportedField {
            field: "mac",
            reason: format!(
                "{mac} cannot be set: the device has no MAC address, unless `attach` is `tap` or `veth`"
            ),
        });
    }
    let ips = args.ips.iter().chain(&config.wishes.ips);
    let sets = config.wishes.ranges.iter().map(|set| address_set(set));
    Ok(AttachRequest {
        key: Some(AttachmentKey {
            container_id: attachment.container_id,
            device: attachment.interface,
        }),
        network: config.network.clone(),
        owner: config.name.clone(),
        netns,
        requested: ips.map(|ip| requested(ip)).collect::<Result<_, _>>()?,
        sets: sets.collect::<Result<_, _>>()?,
        routes: config.routes.iter().map(route).collect(),
        kind: config.kind(),
        mac: mac.cloned().unwrap_or_default(),
        ..AttachRequest::default()
    })
}

/// Runtimes give the length of a prefix with it, or do not.
fn requested(ip: &str) -> Result<String, CniError> {
    let address = plain_address(ip).ok_or_else(|| CniError::InvalidConfig {
        key: "ips",
        reason: format!("`{ip}` is no address"),
    })?;
    Ok(address.to_string())
}

fn address_set(set: &[Range]) -> Result<AddressSet, CniError> {
    let ranges = set.iter().map(Range::to_text);
    Ok(AddressSet {
        ranges: ranges.collect::<Result<_, _>>()?,
    })
}

fn route(route: &Route) -> GuestRoute {
    GuestRoute {
        prefix: route.dst.clone(),
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
        ..GuestRoute::default()
    }
}
