//! `ringlay-cni install`: puts the plugin and a configuration where runtimes look for them.
//!
//! Each file appears whole or not at all, also under a runtime that reads just then.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ringlay_control::client::DEFAULT_SOCKET;
use serde_json::{Value, json};

use crate::by_hand::Options;
use crate::environment::is_identifier;

/// The version of the configuration: one that all runtimes in use understand.
const VERSION: &str = "1.0.0";

pub(crate) fn run(options: &Options) -> ExitCode {
    match install(options) {
        Ok(written) => {
            written
                .iter()
                .for_each(|path| println!("wrote {}", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringlay-cni: install: {error}");
            ExitCode::FAILURE
        }
    }
}

fn install(options: &Options) -> io::Result<[PathBuf; 2]> {
    let name = name(options);
    if !is_identifier(name) {
        let problem = format!("`{name}` cannot be the name of a configuration; use --name");
        return Err(io::Error::other(problem));
    }
    let own = std::env::current_exe()?;
    let binary = options.bin_dir.join("ringlay-cni");
    write(&binary, &fs::read(own)?, 0o755)?;
    let list = options.conf_dir.join(format!("10-{name}.conflist"));
    let text = format!("{:#}\n", configuration(options));
    write(&list, text.as_bytes(), 0o644)?;
    Ok([binary, list])
}

fn name(options: &Options) -> &str {
    options.name.as_deref().unwrap_or(&options.network)
}

fn configuration(options: &Options) -> Value {
    let mut ours = json!({
        "type": "ringlay-cni",
        "network": options.network,
        "capabilities": { "ips": true, "ipRanges": true },
    });
    if options.socket != Path::new(DEFAULT_SOCKET) {
        ours["socket"] = options.socket.to_string_lossy().into();
    }
    let mut plugins = vec![ours];
    if options.portmap {
        plugins.push(json!({ "type": "portmap", "capabilities": { "portMappings": true } }));
    }
    json!({ "cniVersion": VERSION, "name": name(options), "plugins": plugins })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory).map_err(named)?;
    // Runtimes read no hidden files.
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = directory.join(format!(".{file}.{}", std::process::id()));
    let written = fs::write(&hidden, bytes)
        .and_then(|()| fs::set_permissions(&hidden, Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&hidden, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&hidden);
        named(error)
    })
}
