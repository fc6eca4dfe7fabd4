//! The result of ADD in the version of the specification that was asked for.

use std::net::IpAddr;

use ringlay_control::proto::Attachment;
use serde_json::{Map, Value, json};

use crate::spec_version::SpecVersion;

/// What an attachment came to, beside what the daemon says.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) interface: &'a str,
    pub(crate) netns: &'a str,
    pub(crate) attachment: &'a Attachment,
    /// The gateways that whoever chose the addresses named, by address.
    pub(crate) gateways: &'a [(String, String)],
    pub(crate) dns: Option<&'a Value>,
}

/// TUN devices have no MAC address. Runtimes that insist on one are told what the
/// loopback plugin tells them.
const NO_MAC: &str = "00:00:00:00:00:00";

/// The result, behind that of the plugins before.
pub(crate) fn result(
    version: SpecVersion,
    previous: Option<&Value>,
    outcome: &Outcome<'_>,
) -> Value {
    let mut result = match previous {
        Some(Value::Object(previous)) => previous.clone(),
        _ => Map::new(),
    };
    result.insert("cniVersion".to_owned(), version.as_str().into());
    append(&mut result, "interfaces", host_end(outcome));
    let index = append(&mut result, "interfaces", [interface(version, outcome)]);
    let addresses = outcome.attachment.addresses.iter();
    let ips: Vec<_> = addresses
        .map(|address| ip(version, address, index, outcome.gateways))
        .collect();
    append(&mut result, "ips", ips);
    let routes: Vec<_> = routes(version, outcome.attachment);
    append(&mut result, "routes", routes);
    if let Some(dns) = outcome.dns {
        result.insert("dns".to_owned(), dns.clone());
    }
    result.entry("dns").or_insert_with(|| json!({}));
    Value::Object(result)
}

/// Adds to a list that may not be there yet; returns the index of the first that is new.
fn append(
    result: &mut Map<String, Value>,
    key: &str,
    items: impl IntoIterator<Item = Value>,
) -> usize {
    let list = result.entry(key).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let Value::Array(list) = list else {
        return 0;
    };
    let first = list.len();
    list.extend(items);
    first
}

/// The end on the host of a pair of devices, by which other plugins find it.
fn host_end(outcome: &Outcome<'_>) -> Option<Value> {
    let status = outcome.attachment.status.as_ref()?;
    let end = json!({ "name": status.host_device, "mac": status.host_mac });
    (!status.host_device.is_empty()).then_some(end)
}

fn interface(version: SpecVersion, outcome: &Outcome<'_>) -> Value {
    let mac = match outcome.attachment.mac.as_str() {
        "" => NO_MAC,
        mac => mac,
    };
    let mut interface = json!({
        "name": outcome.interface,
        "mac": mac,
        "sandbox": outcome.netns,
    });
    let status = outcome.attachment.status.as_ref();
    if version >= SpecVersion::V1_1_0
        && let Some(status) = status
    {
        interface["mtu"] = status.mtu.into();
    }
    interface
}

fn ip(
    version: SpecVersion,
    address: &str,
    interface: usize,
    gateways: &[(String, String)],
) -> Value {
    let mut ip = json!({ "address": address, "interface": interface });
    if version < SpecVersion::V1_0_0 {
        ip["version"] = if address.contains(':') { "6" } else { "4" }.into();
    }
    let gateway = gateways.iter().find(|(of, _)| of == address);
    if let Some((_, gateway)) = gateway {
        ip["gateway"] = gateway.as_str().into();
    }
    ip
}

fn routes(version: SpecVersion, attachment: &Attachment) -> Vec<Value> {
    let route = |route: &ringlay_control::proto::GuestRoute| {
        let mut shown = json!({ "dst": route.prefix });
        if !route.via.is_empty() {
            shown["gw"] = route.via.as_str().into();
        }
        if version >= SpecVersion::V1_1_0 {
            let more = [
                ("mtu", route.mtu),
                ("advmss", route.advmss),
                ("priority", route.priority),
                ("table", route.table),
            ];
            for (key, value) in more {
                if let Some(value) = value {
                    shown[key] = value.into();
                }
            }
        }
        shown
    };
    attachment.routes.iter().map(route).collect()
}

/// The addresses that a result gives to the device `interface`.
pub(crate) fn addresses_of(result: &Value, interface: &str) -> Vec<String> {
    let list = |key: &str| result[key].as_array().cloned().unwrap_or_default();
    let named: Vec<_> = list("interfaces")
        .iter()
        .map(|it| {
            it["name"] == interface && it["sandbox"].as_str().is_some_and(|it| !it.is_empty())
        })
        .collect();
    let ours = |ip: &Value| {
        let index = ip["interface"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| named.get(index).copied())
            .unwrap_or(false)
    };
    let ips = list("ips");
    let ours = ips.iter().filter(|ip| ours(ip));
    ours.filter_map(|ip| ip["address"].as_str().map(str::to_owned))
        .collect()
}

/// An address without the length of its prefix.
pub(crate) fn plain_address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_addresses_of_the_device_count() {
        let result = json!({
            "interfaces": [
                { "name": "eth0" },
                { "name": "eth0", "sandbox": "/run/netns/c1" },
                { "name": "net1", "sandbox": "/run/netns/c1" },
            ],
            "ips": [
                { "address": "10.0.0.1/24", "interface": 0 },
                { "address": "10.1.0.5/32", "interface": 1 },
                { "address": "fd00::5/128", "interface": 1 },
                { "address": "10.2.0.5/32", "interface": 2 },
                { "address": "10.3.0.5/32" },
            ],
        });
        assert_eq!(
            addresses_of(&result, "eth0"),
            ["10.1.0.5/32", "fd00::5/128"]
        );
        assert_eq!(addresses_of(&json!({}), "eth0"), [""; 0]);
    }
}
