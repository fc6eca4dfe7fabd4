//! `ringlay-cni check-host`: tells what a host lacks to attach containers. Changes nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::by_hand::{self, Options};
use crate::daemon;

/// The name of our plugin.
const OURS: &str = "ringlay-cni";

pub(crate) fn run(options: &Options) -> ExitCode {
    let findings = [
        ("tun device", tun()),
        ("plugin", plugin(&options.bin_dir)),
        (
            "configuration",
            configuration(&options.conf_dir, &options.bin_dir),
        ),
        ("daemon and network", ready(options)),
    ];
    for (what, finding) in &findings {
        match finding {
            Ok(fine) => println!("ok       {what}: {fine}"),
            Err(lack) => println!("MISSING  {what}: {lack}"),
        }
    }
    match findings.iter().all(|(_, finding)| finding.is_ok()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

type Finding = Result<String, String>;

fn tun() -> Finding {
    let node = Path::new("/dev/net/tun");
    match node.exists() {
        true => Ok(node.display().to_string()),
        false => Err("load the kernel module `tun` (modprobe tun)".to_owned()),
    }
}

fn plugin(bin_dir: &Path) -> Finding {
    let file = bin_dir.join(OURS);
    let shown = file.display();
    let output = Command::new(&file).arg("--version").env_clear().output();
    match output.map(|output| output.stdout) {
        Ok(version) if version == by_hand::version().as_bytes() => Ok(shown.to_string()),
        Ok(version) => Err(format!(
            "{shown} is another version ({}); run `ringlay-cni install`",
            String::from_utf8_lossy(&version)
                .lines()
                .next()
                .unwrap_or_default()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{shown} is not there; run `ringlay-cni install`"))
        }
        Err(error) => Err(format!("{shown} does not run: {error}")),
    }
}

/// Runtimes take the first configuration by name, whatever it says, and need all the plugins in it.
fn configuration(conf_dir: &Path, bin_dir: &Path) -> Finding {
    let shown = conf_dir.display();
    let entries = fs::read_dir(conf_dir).map_err(|error| format!("{shown}: {error}"))?;
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            [".conflist", ".conf", ".json"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let is_ours = |name: &&String| plugins(&conf_dir.join(name)).iter().any(|it| it == OURS);
    let ours = names.iter().find(is_ours);
    match (names.first(), ours) {
        (Some(first), Some(ours)) if first == ours => {
            let file = conf_dir.join(ours);
            let mut plugins = plugins(&file).into_iter();
            match plugins.find(|name| name != OURS && !bin_dir.join(name).is_file()) {
                Some(lack) => Err(format!(
                    "{} needs `{lack}`, which is not in {} (Debian: containernetworking-plugins)",
                    file.display(),
                    bin_dir.display()
                )),
                None => Ok(file.display().to_string()),
            }
        }
        (Some(first), Some(ours)) => Err(format!(
            "{shown}/{first} comes before {ours}, and runtimes take the first"
        )),
        _ => Err(format!(
            "none of ours in {shown}; run `ringlay-cni install`"
        )),
    }
}

/// The names of the plugins in a configuration, which is a list or for one plugin.
fn plugins(file: &Path) -> Vec<String> {
    let text = fs::read(file).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    let plugins = config["plugins"].as_array().into_iter().flatten();
    let names = plugins.chain([&config]).map(|plugin| &plugin["type"]);
    names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn ready(options: &Options) -> Finding {
    match daemon::check_ready(&options.socket, &options.network, true) {
        Ok(()) => Ok(format!("network {} takes containers", options.network)),
        Err(error) => Err(error.text()),
    }
}
