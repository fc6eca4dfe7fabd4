//! `ringlay-cni check-host`: tells what a host lacks to attach containers. Changes nothing.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::by_hand::Options;
use crate::daemon;

pub(crate) fn run(options: &Options) -> ExitCode {
    let findings = [
        ("tun device", tun()),
        ("plugin", plugin(&options.bin_dir)),
        ("configuration", configuration(&options.conf_dir)),
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
    let file = bin_dir.join("ringlay-cni");
    match file.is_file() {
        true => Ok(file.display().to_string()),
        false => {
            let file = file.display();
            Err(format!("{file} is not there; run `ringlay-cni install`"))
        }
    }
}

/// Runtimes take the first configuration by name, whatever it says.
fn configuration(conf_dir: &Path) -> Finding {
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
    let ours = names.iter().find(|name| is_ours(&conf_dir.join(name)));
    match (names.first(), ours) {
        (Some(first), Some(ours)) if first == ours => Ok(format!("{shown}/{ours}")),
        (Some(first), Some(ours)) => Err(format!(
            "{shown}/{first} comes before {ours}, and runtimes take the first"
        )),
        _ => Err(format!(
            "none of ours in {shown}; run `ringlay-cni install`"
        )),
    }
}

fn is_ours(file: &Path) -> bool {
    let text = fs::read(file).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    let plugins = config["plugins"].as_array().cloned().unwrap_or_default();
    plugins
        .iter()
        .chain([&config])
        .any(|plugin| plugin["type"] == "ringlay-cni")
}

fn ready(options: &Options) -> Finding {
    match daemon::check_ready(&options.socket, &options.network, true) {
        Ok(()) => Ok(format!("network {} takes containers", options.network)),
        Err(error) => Err(error.text()),
    }
}
