//! What the plugin says to a person who runs it without a container runtime.

use std::process::ExitCode;

use crate::spec_version::SpecVersion;

/// Answers `--help` and `--version`; `None` if nothing is asked for.
///
/// Without arguments the usage goes to standard error and the caller goes on to
/// report the missing variable, which is what a runtime must be told.
pub(crate) fn answer(argument: Option<&str>) -> Option<ExitCode> {
    match argument {
        Some("-h" | "--help") => println!("{}", usage()),
        Some("-V" | "--version") => println!("ringlay-cni {}", env!("CARGO_PKG_VERSION")),
        Some(unknown) => {
            eprintln!("ringlay-cni: unknown argument `{unknown}`\n\n{}", usage());
            return Some(ExitCode::from(2));
        }
        None => {
            eprintln!("{}", usage());
            return None;
        }
    }
    Some(ExitCode::SUCCESS)
}

fn usage() -> String {
    let versions: Vec<_> = SpecVersion::ALL
        .iter()
        .map(|version| version.as_str())
        .collect();
    let versions = versions.join(", ");
    format!(
        "\
ringlay-cni {}, a CNI plugin: container runtimes run it, people do not.

It reads CNI_COMMAND (ADD, DEL, CHECK, GC, STATUS or VERSION) and the other
variables of the CNI specification from its environment, and the network's
configuration from standard input. CNI versions: {versions}.

  ringlay-cni --help      print this
  ringlay-cni --version   print the version

To try it:
  echo '{{\"cniVersion\":\"1.1.0\",\"name\":\"blue\",\"type\":\"ringlay-cni\"}}' \\
    | CNI_COMMAND=STATUS ringlay-cni

Keys of the configuration, beside those of the specification:
  network   the Ringlay network; the value of `name` if absent
  socket    the daemon's socket; {} if absent",
        env!("CARGO_PKG_VERSION"),
        ringlay_control::client::DEFAULT_SOCKET,
    )
}
