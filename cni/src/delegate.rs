//! Runs the plugin that chooses addresses (CNI specification, section 4 "Plugin Delegation").
//!
//! It gets our environment and our configuration, as the specification says, and another command.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ringlay_control::proto::GuestRoute;
use serde_json::Value;

use crate::config::NetworkConfig;
use crate::environment::Environment;
use crate::error::CniError;

/// What it chose.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// ADDRESS/LENGTH each.
    pub(crate) addresses: Vec<String>,
    /// The gateways that it names, by address.
    pub(crate) gateways: Vec<(String, String)>,
    pub(crate) routes: Vec<GuestRoute>,
    pub(crate) dns: Option<Value>,
}

/// Lets `plugin` choose.
pub(crate) fn add(
    plugin: &str,
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Chosen, CniError> {
    let result = run(plugin, "ADD", environment, config)?;
    let chosen = read(&result);
    if chosen.addresses.is_empty() {
        return Err(failed(plugin, "chose no address".to_owned()));
    }
    Ok(chosen)
}

/// Lets `plugin` do something that has no result: DEL or CHECK.
pub(crate) fn tell(
    plugin: &str,
    command: &str,
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<(), CniError> {
    run(plugin, command, environment, config).map(drop)
}

/// The same for the commands that came with version 1.1.0, which most such plugins do not know.
pub(crate) fn tell_if_known(
    plugin: &str,
    command: &str,
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<(), CniError> {
    match tell(plugin, command, environment, config) {
        // Incompatible version, and invalid environment: it has not heard of the command.
        Err(CniError::Delegate { code: 1 | 4, .. }) => Ok(()),
        done => done,
    }
}

fn run(
    plugin: &str,
    command: &str,
    environment: &Environment,
    config: &NetworkConfig,
) -> Result<Value, CniError> {
    let path = find(plugin, environment)?;
    let output = execute(&path, command, &config.raw)
        .map_err(|error| failed(plugin, format!("cannot run {}: {error}", path.display())))?;
    let answer = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return match answer.trim() {
            "" => Ok(Value::Null),
            text => serde_json::from_str(text)
                .map_err(|error| failed(plugin, format!("its answer is no JSON: {error}"))),
        };
    }
    let said: Value = serde_json::from_str(answer.trim()).unwrap_or_default();
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    Err(CniError::Delegate {
        plugin: plugin.to_owned(),
        code: said["code"].as_u64().map_or(100, |code| code as u32),
        message: match text("msg") {
            empty if empty.is_empty() => format!("{command} failed: {}", output.status),
            message => message,
        },
        details: text("details"),
    })
}

fn execute(path: &Path, command: &str, input: &[u8]) -> io::Result<std::process::Output> {
    let mut child = Command::new(path)
        .env("CNI_COMMAND", command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that needs no configuration may not read it.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output()
}

fn find(plugin: &str, environment: &Environment) -> Result<PathBuf, CniError> {
    let path = environment.path.as_deref().unwrap_or_default();
    let mut places = path.split(':').filter(|place| !place.is_empty());
    places
        .find_map(|place| {
            let file = PathBuf::from(place).join(plugin);
            file.is_file().then_some(file)
        })
        .ok_or_else(|| CniError::InvalidConfig {
            key: "ipam.type",
            reason: format!("there is no plugin `{plugin}` in CNI_PATH `{path}`"),
        })
}

fn read(result: &Value) -> Chosen {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut chosen = Chosen::default();
    for ip in list(&result["ips"]) {
        let Some(address) = ip["address"].as_str() else {
            continue;
        };
        chosen.addresses.push(address.to_owned());
        if let Some(gateway) = ip["gateway"].as_str() {
            let pair = (address.to_owned(), gateway.to_owned());
            chosen.gateways.push(pair);
        }
    }
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let gateways = chosen.gateways.clone();
    // As the plugins have it that bridge: a route that names no router leads to the addresses' own.
    let via = |route: &Value| {
        let is_v6 = route["dst"].as_str()?.contains(':');
        let mut gateways = gateways.iter().map(|(_, gateway)| gateway.as_str());
        let own = route["gw"].as_str();
        own.or_else(|| gateways.find(|it| it.contains(':') == is_v6))
            .map(str::to_owned)
    };
    chosen.routes = list(&result["routes"])
        .iter()
        .filter_map(|route| {
            Some(GuestRoute {
                prefix: route["dst"].as_str()?.to_owned(),
                mtu: number(&route["mtu"]),
                advmss: number(&route["advmss"]),
                priority: number(&route["priority"]),
                table: number(&route["table"]),
                via: via(route).unwrap_or_default(),
            })
        })
        .collect();
    let dns = &result["dns"];
    chosen.dns = dns
        .as_object()
        .filter(|dns| !dns.is_empty())
        .map(|_| dns.clone());
    chosen
}

fn failed(plugin: &str, message: String) -> CniError {
    CniError::Delegate {
        plugin: plugin.to_owned(),
        code: 100,
        message,
        details: String::new(),
    }
}
