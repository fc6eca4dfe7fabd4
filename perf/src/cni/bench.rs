//! A host, containers on it, and plugins that attach them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringlay_control::lab::LabError;
use ringlay_control::lab::cleanup::Cleanup;
use ringlay_control::lab::namespace::Namespace;
use ringlay_control::lab::ringlay_node::Node;
use ringlay_control::lab::topology::{Topology, UnderlayConfig};
use ringlay_control::lab::workdir::Workdir;
use serde_json::{Value, json};

/// Addresses for every container that there may be.
const SUBNET: &str = "10.42.0.0/16";

/// A plugin with its configuration.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    program: PathBuf,
    config: Value,
}

/// The host with its node.
#[derive(Debug)]
pub(super) struct Bench {
    host: Namespace,
    plugins: PathBuf,
    cleanup: Cleanup,
    _node: Node,
    _workdir: Workdir,
    pub(super) contenders: [Contender; 3],
}

impl Bench {
    /// Makes the host and starts its node.
    pub(super) fn start(
        cleanup: &Cleanup,
        ringlay: &Path,
        plugins: &Path,
    ) -> Result<Self, LabError> {
        let prefix = format!("rlcni{}", std::process::id());
        let topology = Topology::create(cleanup, &prefix, UnderlayConfig::default())?;
        let workdir = Workdir::create(cleanup, &prefix)?;
        let node = Node::start_configured(
            cleanup,
            ringlay,
            &topology.a,
            "a",
            workdir.path(),
            |socket| {
                format!(
                    "[node]\nsocket = \"{}\"\n[underlay]\naddress = \"{}\"\n\
                     [[network]]\nname = \"blue\"\nvni = 42\n\
                     [[ipam]]\nnetwork = \"blue\"\nranges = [\"{SUBNET}\"]\n",
                    socket.display(),
                    topology.a.underlay
                )
            },
        )?;
        node.wait_until_ready()?;
        let contenders = contenders(ringlay, plugins, &node.socket, workdir.path());
        Ok(Self {
            host: topology.a.namespace,
            plugins: plugins.to_owned(),
            cleanup: cleanup.clone(),
            _node: node,
            _workdir: workdir,
            contenders,
        })
    }

    /// Makes containers, that is, their namespaces.
    pub(super) fn containers(&self, count: u16) -> Result<Vec<Namespace>, LabError> {
        let name = |number| format!("rlcni{}-c{number}", std::process::id());
        (0..count)
            .map(|number| Namespace::create(&self.cleanup, &name(number)))
            .collect()
    }

    /// Lets a plugin attach or detach a container; returns how long that took.
    pub(super) fn run(
        &self,
        contender: &Contender,
        command: &str,
        container: &Namespace,
    ) -> Result<Duration, LabError> {
        let what = || format!("{} {command} {}", contender.name, container.name());
        let ran = self
            .host
            .run(|| self.run_here(contender, command, container))?;
        ran.map_err(LabError::io(what()))
    }

    fn run_here(
        &self,
        contender: &Contender,
        command: &str,
        container: &Namespace,
    ) -> io::Result<Duration> {
        let config = contender.config.to_string();
        let begun = Instant::now();
        let mut child = Command::new(&contender.program)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", container.name())
            .env("CNI_NETNS", container.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.plugins)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(config.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let took = begun.elapsed();
        match output.status.success() {
            true => Ok(took),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )),
        }
    }
}

fn contenders(ringlay: &Path, plugins: &Path, socket: &Path, workdir: &Path) -> [Contender; 3] {
    let host_local = |name: &str| {
        json!({
            "type": "host-local",
            "dataDir": workdir.join(name),
            "ranges": [[{ "subnet": SUBNET }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        })
    };
    let other = |name: &'static str, more: Value| {
        let mut config = json!({
            "cniVersion": "1.0.0",
            "name": name,
            "type": name,
            "ipam": host_local(name),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        Contender {
            name,
            program: plugins.join(name),
            config,
        }
    };
    let ours = Contender {
        name: "ringlay-cni",
        program: ringlay.with_file_name("ringlay-cni"),
        config: json!({
            "cniVersion": "1.0.0",
            "name": "ringlay",
            "type": "ringlay-cni",
            "network": "blue",
            "socket": socket,
        }),
    };
    let bridge = json!({ "bridge": "cni0", "isGateway": true });
    [ours, other("bridge", bridge), other("ptp", json!({}))]
}

/// Whether the plugins to compare with are there.
pub(super) fn check_plugins(directory: &Path) -> Result<(), LabError> {
    for name in ["bridge", "ptp", "host-local"] {
        let file = directory.join(name);
        fs::metadata(&file).map_err(LabError::io(format!(
            "find {} (Debian: containernetworking-plugins)",
            file.display()
        )))?;
    }
    Ok(())
}
