//! `--keep` and `--clean`: a demo that outlives its command.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::lab::leg::Leg;
use crate::lab::one_packet_loop;
use crate::lab::ringlay_node::{self, Node};
use crate::lab::topology::Topology;
use crate::lab::traffic::Direction;
use crate::lab::{kernel_vxlan, namespace, process, workdir};

/// Begin of the names of everything a demo makes.
pub(super) const NAME: &str = "ringlay-demo";
/// Begin of the names of a kept demo's hosts.
pub(super) const KEPT_HOSTS: &str = "ringlay-demo-kept-";

/// Name of this process's demo: one that is kept has a name that people can type.
pub(super) fn name(keep: bool) -> String {
    if keep {
        KEPT_HOSTS.trim_end_matches('-').to_owned()
    } else {
        own_name(std::process::id())
    }
}

fn own_name(pid: u32) -> String {
    format!("{NAME}-{pid}")
}

/// Removes demos that nobody is running any more.
pub(super) fn clean() {
    let mut names: Vec<String> = namespace::list(NAME)
        .iter()
        .map(|host| demo_of(host))
        .collect();
    names.extend(leftover_directories());
    names.sort();
    names.dedup();
    names.retain(|name| !is_running(name));
    for name in &names {
        for host in namespace::list(&format!("{name}-")) {
            namespace::processes(&host)
                .into_iter()
                .for_each(process::terminate);
            namespace::remove(&host);
        }
        let _ = fs::remove_dir_all(workdir::path_of(name));
        println!("removed {name}");
    }
    if names.is_empty() {
        println!("there is nothing to remove");
    }
}

fn demo_of(host: &str) -> String {
    host.rsplit_once('-')
        .map_or(host, |(demo, _)| demo)
        .to_owned()
}

fn leftover_directories() -> Vec<String> {
    let entries = fs::read_dir("/run").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(NAME))
        .collect()
}

/// Whether the name's process id belongs to a demo that is still at it.
fn is_running(name: &str) -> bool {
    let Some(pid) = name
        .strip_prefix(NAME)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    let Ok(pid) = pid.parse::<u32>() else {
        return false;
    };
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|word| word == b"demo")
}

/// What is left up, told as commands to try.
#[derive(Debug)]
pub(super) struct Kept {
    program: PathBuf,
    hosts: [String; 2],
    sockets: Vec<PathBuf>,
    configs: Vec<PathBuf>,
    destinations: Vec<(String, String)>,
}

impl Kept {
    pub(super) fn new(program: PathBuf, topology: &Topology, legs: &[Leg]) -> Self {
        let nodes: Vec<&Node> = legs.iter().flat_map(Leg::nodes).collect();
        let destination = |leg: &Leg| {
            let path = leg.path(Direction::AToB);
            (path.destination.to_string(), leg.kind().name())
        };
        Self {
            program,
            hosts: [&topology.a, &topology.b].map(|host| host.namespace.name().to_owned()),
            sockets: nodes.iter().map(|node| node.socket.clone()).collect(),
            configs: nodes.iter().map(|node| node.config.clone()).collect(),
            destinations: legs.iter().map(destination).collect(),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.hosts;
        let ringlay = self.program.display();
        writeln!(f, "Hosts {a} and {b} stay up. To explore them:")?;
        for (address, overlay) in &self.destinations {
            writeln!(
                f,
                "  nsenter --net=/run/netns/{a} ping {address}    # over {overlay}"
            )?;
        }
        for socket in self.sockets.iter().take(1) {
            let socket = socket.display();
            writeln!(f, "  {ringlay} --socket {socket} stats --watch")?;
            writeln!(f, "  {ringlay} --socket {socket} show config")?;
            writeln!(f, "  {ringlay} --socket {socket} route list")?;
        }
        for config in &self.configs {
            writeln!(f, "  cat {}", config.display())?;
        }
        writeln!(
            f,
            "Devices: {} (Ringlay), {} (kernel VXLAN), {} (one-packet loop)",
            ringlay_node::DEVICE,
            kernel_vxlan::DEVICE,
            one_packet_loop::DEVICE
        )?;
        writeln!(f, "To end it: {ringlay} demo --clean")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_belong_to_their_demo() {
        assert_eq!(demo_of("ringlay-demo-4711-a"), "ringlay-demo-4711");
        assert_eq!(demo_of("ringlay-demo-kept-b"), name(true));
    }

    #[test]
    fn a_kept_demo_and_a_dead_one_are_not_running() {
        assert!(!is_running(&name(true)));
        assert!(!is_running(&own_name(u32::MAX)));
        assert!(!is_running("something-else"));
    }
}
