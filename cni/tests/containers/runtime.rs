//! A container runtime as far as networks go: runs a list of plugins as the specification says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::host::{Host, Netns};

/// Where Debian puts the plugins of others.
const OTHERS: &str = "/usr/lib/cni";

/// An error as plugins report it.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Value);

impl Refused {
    pub(crate) fn code(&self) -> u64 {
        self.0["code"].as_u64().unwrap()
    }

    pub(crate) fn message(&self) -> &str {
        self.0["msg"].as_str().unwrap()
    }
}

/// A network configuration list, and the host that it is on.
#[derive(Debug)]
pub(crate) struct Runtime<'a> {
    host: &'a Host,
    version: &'static str,
    plugins: Vec<Value>,
    /// Which of them is ours.
    ours: usize,
    /// What ADD said, by container: DEL is told.
    results: Mutex<BTreeMap<String, Value>>,
}

impl<'a> Runtime<'a> {
    /// With our plugin alone.
    pub(crate) fn new(host: &'a Host) -> Self {
        let ours = json!({
            "type": "ringlay-cni",
            "network": "blue",
            "socket": host.socket(),
        });
        let plugins = vec![ours];
        Self {
            host,
            version: "1.1.0",
            plugins,
            ours: 0,
            results: Mutex::default(),
        }
    }

    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Sets a key of our plugin's configuration.
    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.plugins[self.ours][key] = value;
        self
    }

    /// Chains another plugin behind.
    pub(crate) fn then(mut self, plugin: Value) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Puts another plugin in front.
    pub(crate) fn behind(mut self, plugin: Value) -> Self {
        self.plugins.insert(0, plugin);
        self.ours += 1;
        self
    }

    pub(crate) fn add(&self, id: &str, netns: &Netns) -> Result<Value, Refused> {
        self.add_device(id, netns, "eth0")
    }

    pub(crate) fn add_device(
        &self,
        id: &str,
        netns: &Netns,
        device: &str,
    ) -> Result<Value, Refused> {
        let mut result = None;
        for plugin in &self.plugins {
            let netns = netns.path();
            let answer = self.run(plugin, "ADD", id, Some(&netns), device, result.as_ref())?;
            result = Some(answer.expect("ADD has a result"));
        }
        let result = result.expect("there is a plugin");
        let mut results = self.results.lock().unwrap();
        results.insert(id.to_owned(), result.clone());
        Ok(result)
    }

    pub(crate) fn check(&self, id: &str, netns: &Netns, result: &Value) -> Result<(), Refused> {
        for plugin in &self.plugins {
            self.run(
                plugin,
                "CHECK",
                id,
                Some(&netns.path()),
                "eth0",
                Some(result),
            )?;
        }
        Ok(())
    }

    pub(crate) fn del(&self, id: &str, netns: Option<&Netns>) -> Result<(), Refused> {
        let result = self.results.lock().unwrap().remove(id);
        let netns = netns.map(Netns::path);
        for plugin in self.plugins.iter().rev() {
            self.run(plugin, "DEL", id, netns.as_deref(), "eth0", result.as_ref())?;
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<(), Refused> {
        self.run(&self.plugins[self.ours], "STATUS", "", None, "", None)
            .map(drop)
    }

    pub(crate) fn gc(&self, valid: &[&str]) -> Result<(), Refused> {
        let valid: Vec<_> = valid
            .iter()
            .map(|id| json!({ "containerID": id, "ifname": "eth0" }))
            .collect();
        let mut plugin = self.plugins[self.ours].clone();
        plugin["cni.dev/valid-attachments"] = valid.into();
        self.run(&plugin, "GC", "", None, "", None).map(drop)
    }

    fn run(
        &self,
        plugin: &Value,
        command: &str,
        id: &str,
        netns: Option<&Path>,
        device: &str,
        previous: Option<&Value>,
    ) -> Result<Option<Value>, Refused> {
        let mut config = plugin.clone();
        config["cniVersion"] = self.version.into();
        config["name"] = "mynet".into();
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        let netns = netns
            .map(|netns| netns.to_str().unwrap())
            .unwrap_or_default();
        let mut child = self
            .command(plugin["type"].as_str().unwrap())
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", id)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", device)
            .env("CNI_PATH", OTHERS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(config.to_string().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let answer = (!output.stdout.is_empty())
            .then(|| serde_json::from_slice(&output.stdout).expect("an answer is JSON"));
        match output.status.success() {
            true => Ok(answer),
            false => Err(Refused(answer.expect("a failure has a reason"))),
        }
    }

    /// Ours needs no namespace; those of others work in that of the host.
    fn command(&self, plugin: &str) -> Command {
        if plugin == "ringlay-cni" {
            return Command::new(env!("CARGO_BIN_EXE_ringlay-cni"));
        }
        self.host.netns.command(&format!("{OTHERS}/{plugin}"))
    }
}

/// The addresses of a result.
pub(crate) fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().to_owned())
        .collect()
}

/// A namespace attached under the id `c`.
pub(crate) fn container(runtime: &Runtime<'_>, id: &str) -> (Netns, Vec<String>) {
    let netns = Netns::new("c");
    let result = runtime.add(id, &netns).unwrap();
    (netns, addresses(&result))
}
