//! Lets containers reach what is outside their network, by the addresses of this host.
//!
//! Their packets leave the network by a port in the host's own namespace, are forwarded by the
//! kernel, and get the host's address by a rule of nftables in a table of our own.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    process::{Command, Stdio},
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    app::{ChangeError, Engine},
    ipam::Pool,
    object::{DeviceName, Key, Name, Object, Port, Route, RouteKey, Source, Target},
    rib::Operation,
};

/// Why containers do not reach the outside.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MasqueradeError {
    /// There is no way out of the network.
    #[error(
        "masquerade for network `{0}` needs a [[port]] of it in the daemon's own namespace, by \
         which packets leave"
    )]
    NoPort(Name),
    /// The default route is refused.
    #[error(transparent)]
    Route(#[from] ChangeError),
    /// `nft` cannot be run.
    #[error("cannot run nft, which masquerade needs; is nftables installed?")]
    NoTool(#[source] io::Error),
    /// `nft` refuses the rules.
    #[error("nft refuses the rules of masquerade: {0}")]
    Refused(String),
    /// The kernel does not forward.
    #[error("cannot write {path}, so that the host does not forward packets")]
    Forwarding {
        /// The switch.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Rules that are in force until this goes.
#[derive(Debug, Default)]
pub struct Masquerade {
    /// Those that want it.
    pools: Vec<Pool>,
}

impl Masquerade {
    /// Puts the rules of all pools that want them in force, and takes back those of pools that no
    /// longer do.
    ///
    /// # Errors
    ///
    /// If they cannot be; then the rules are as they were.
    pub fn follow(&mut self, engine: &mut Engine) -> Result<(), MasqueradeError> {
        let all = engine.identity().settings.pools.iter();
        let wanted: Vec<_> = all.filter(|pool| pool.masquerade).cloned().collect();
        if wanted == self.pools {
            return Ok(());
        }
        let stays = |pool: &&Pool| wanted.iter().any(|it| it.network == pool.network);
        let mut script = String::new();
        for pool in &wanted {
            let port = exit(engine, &pool.network)?;
            add_default_routes(engine, pool, &port)?;
            forward(pool)?;
            script.push_str(&rules(pool, &port.device));
        }
        let gone: Vec<_> = self.pools.iter().filter(|pool| !stays(pool)).collect();
        script.extend(gone.iter().map(|pool| no_rules(pool)));
        nft(&script)?;
        for pool in gone {
            delete_default_routes(engine, pool)?;
        }
        for pool in &wanted {
            tracing::info!(network = %pool.network, table = table(pool), "masquerade");
        }
        self.pools = wanted;
        Ok(())
    }
}

impl Drop for Masquerade {
    fn drop(&mut self) {
        let script: String = self.pools.iter().map(no_rules).collect();
        if !script.is_empty()
            && let Err(error) = nft(&script)
        {
            tracing::warn!(%error, "rules of masquerade are left behind");
        }
    }
}

/// The port by which packets leave a network for the host.
fn exit(engine: &Engine, network: &Name) -> Result<Port, MasqueradeError> {
    let mut ports = engine.rib().ports_of(network);
    let exit = ports.find(|port| port.netns.is_none()).cloned();
    exit.ok_or_else(|| MasqueradeError::NoPort(network.clone()))
}

/// A default route that is configured comes first, as objects of the configuration file do.
fn add_default_routes(engine: &mut Engine, pool: &Pool, port: &Port) -> Result<(), ChangeError> {
    let operations = defaults(pool).into_iter().map(|prefix| Operation::Apply {
        object: Object::Route(Route {
            network: pool.network.clone(),
            prefix,
            target: Target::Port(port.name.clone()),
            via: None,
            direct: false,
        }),
        exist_ok: true,
    });
    engine.apply(Source::Cni, operations.collect()).map(drop)
}

fn delete_default_routes(engine: &mut Engine, pool: &Pool) -> Result<(), ChangeError> {
    let operations = defaults(pool).into_iter().map(|prefix| Operation::Delete {
        key: Key::Route(RouteKey {
            network: pool.network.clone(),
            prefix,
        }),
        missing_ok: true,
    });
    engine.apply(Source::Cni, operations.collect()).map(drop)
}

/// Everything of the IP versions that a pool has addresses of.
fn defaults(pool: &Pool) -> Vec<IpNet> {
    let default = |v4| match v4 {
        true => IpNet::new(IpAddr::from([0_u8; 4]), 0),
        false => IpNet::new(IpAddr::from([0_u8; 16]), 0),
    };
    let sets = pool.sets().into_iter();
    sets.flat_map(|set| default(set[0].is_ipv4())).collect()
}

/// Makes the kernel forward packets of the IP versions that the pool has.
fn forward(pool: &Pool) -> Result<(), MasqueradeError> {
    for set in pool.sets() {
        let path = match set[0].is_ipv4() {
            true => "/proc/sys/net/ipv4/ip_forward",
            false => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        if fs::read_to_string(path).is_ok_and(|text| text.trim() == "1") {
            continue;
        }
        let error = |source| MasqueradeError::Forwarding { path, source };
        fs::write(path, "1").map_err(error)?;
        tracing::info!(path, "switched on");
    }
    Ok(())
}

fn table(pool: &Pool) -> String {
    format!("ringlay-{}", pool.network)
}

/// A script that removes the table, if it is there.
fn no_rules(pool: &Pool) -> String {
    let table = table(pool);
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// A script that replaces the table as a whole.
fn rules(pool: &Pool, device: &DeviceName) -> String {
    let rule = |range: &crate::ipam::AddressRange| {
        let family = if range.is_ipv4() { "ip" } else { "ip6" };
        format!("    {family} saddr {range} oifname != \"{device}\" masquerade\n")
    };
    let rules: String = pool.ranges.iter().map(rule).collect();
    let (table, removal) = (table(pool), no_rules(pool));
    format!(
        "{removal}table inet {table} {{\n  \
         chain postrouting {{\n    type nat hook postrouting priority 100; policy accept;\n\
         {rules}  }}\n}}\n"
    )
}

fn nft(script: &str) -> Result<(), MasqueradeError> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(MasqueradeError::NoTool)?;
    if let Some(mut stdin) = nft.stdin.take() {
        // If it ends early, its status says why.
        let _ = stdin.write_all(script.as_bytes());
    }
    let output = nft.wait_with_output().map_err(MasqueradeError::NoTool)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(MasqueradeError::Refused(text.trim().replace('\n', "; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_name_the_containers_and_spare_their_own_network() {
        let pool = Pool {
            network: "blue".parse().unwrap(),
            ranges: vec![
                "10.1.0.0/24".parse().unwrap(),
                "fd00::/126".parse().unwrap(),
            ],
            exclude: Vec::new(),
            subnets: Vec::new(),
            gateways: Vec::new(),
            masquerade: true,
        };
        let script = rules(&pool, &"rl0".parse().unwrap());
        assert_eq!(
            script,
            "table inet ringlay-blue\n\
             delete table inet ringlay-blue\n\
             table inet ringlay-blue {\n  \
               chain postrouting {\n    \
                 type nat hook postrouting priority 100; policy accept;\n    \
                 ip saddr 10.1.0.1-10.1.0.254 oifname != \"rl0\" masquerade\n    \
                 ip6 saddr fd00::1-fd00::3 oifname != \"rl0\" masquerade\n  \
               }\n\
             }\n"
        );
    }
}
