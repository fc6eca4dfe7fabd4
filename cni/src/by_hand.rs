//! What the plugin does for a person who runs it without a container runtime.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::spec_version::SpecVersion;
use crate::{check_host, install};

/// Options of `install` and `check-host`, each with its default.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where runtimes look for plugins.
    pub(crate) bin_dir: PathBuf,
    /// Where runtimes look for network configurations.
    pub(crate) conf_dir: PathBuf,
    /// The Ringlay network.
    pub(crate) network: String,
    /// The name of the configuration; the network's if absent.
    pub(crate) name: Option<String>,
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// Whether `portmap` is chained.
    pub(crate) portmap: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bin_dir: "/opt/cni/bin".into(),
            conf_dir: "/etc/cni/net.d".into(),
            network: "ringlay".to_owned(),
            name: None,
            socket: ringlay_control::client::DEFAULT_SOCKET.into(),
            portmap: false,
        }
    }
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (key, mut value) = match argument.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            if key == "--portmap" && value.is_none() {
                options.portmap = true;
                continue;
            }
            let mut text = || {
                let value = value.take().or_else(|| arguments.next());
                let given = value.filter(|value| !value.is_empty());
                given.ok_or_else(|| format!("{key} needs a value"))
            };
            match key.as_str() {
                "--bin-dir" => options.bin_dir = text()?.into(),
                "--conf-dir" => options.conf_dir = text()?.into(),
                "--network" => options.network = text()?,
                "--name" => options.name = Some(text()?),
                "--socket" => options.socket = text()?.into(),
                _ => return Err(format!("unknown argument `{key}`")),
            }
        }
        Ok(options)
    }
}

/// Does what the arguments say; `None` if there are none.
///
/// Without arguments the usage goes to standard error and the caller goes on to
/// report the missing variable, which is what a runtime must be told.
pub(crate) fn answer(mut arguments: impl Iterator<Item = String>) -> Option<ExitCode> {
    let Some(verb) = arguments.next() else {
        eprintln!("{}", usage());
        return None;
    };
    let run: fn(&Options) -> ExitCode = match verb.as_str() {
        "-h" | "--help" => {
            println!("{}", usage());
            return Some(ExitCode::SUCCESS);
        }
        "-V" | "--version" => {
            print!("{}", version());
            return Some(ExitCode::SUCCESS);
        }
        "install" => install::run,
        "check-host" => check_host::run,
        unknown => return Some(misused(&format!("unknown argument `{unknown}`"))),
    };
    Some(match Options::parse(arguments) {
        Ok(options) => run(&options),
        Err(problem) => misused(&problem),
    })
}

/// What `--version` prints.
pub(crate) fn version() -> String {
    concat!("ringlay-cni ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

fn misused(problem: &str) -> ExitCode {
    eprintln!("ringlay-cni: {problem}\n\n{}", usage());
    ExitCode::from(2)
}

fn usage() -> String {
    let versions = SpecVersion::ALL.map(SpecVersion::as_str).join(", ");
    let Options {
        bin_dir,
        conf_dir,
        network,
        socket,
        ..
    } = Options::default();
    format!(
        "\
ringlay-cni {}, a CNI plugin: attaches containers to Ringlay networks.

Container runtimes run it with CNI_COMMAND (ADD, DEL, CHECK, GC, STATUS or
VERSION) and the other variables of the CNI specification, and the network's
configuration on standard input. CNI versions: {versions}.

  ringlay-cni install      copy it to where runtimes look, with a configuration
  ringlay-cni check-host   tell what this host lacks
  ringlay-cni --help       print this
  ringlay-cni --version    print the version

Options of install and check-host:
  --bin-dir DIR    where runtimes look for plugins      [{}]
  --conf-dir DIR   where they look for configurations   [{}]
  --network NAME   the Ringlay network                  [{network}]
  --name NAME      the name of the configuration        [that of the network]
  --socket PATH    the daemon's socket                  [{}]
  --portmap        let `portmap` publish ports (needs that plugin)

To try it:
  echo '{{\"cniVersion\":\"1.1.0\",\"name\":\"blue\",\"type\":\"ringlay-cni\"}}' \\
    | CNI_COMMAND=STATUS ringlay-cni

Keys of the configuration, beside those of the specification:
  network   the Ringlay network; the value of `name` if absent
  socket    the daemon's socket
  ipam      {{\"type\": ...}}, a plugin that chooses addresses; the daemon does if absent
  routes    routes in the container; a default route if absent",
        env!("CARGO_PKG_VERSION"),
        bin_dir.display(),
        conf_dir.display(),
        socket.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let options = parse("--network blue --bin-dir=/x --portmap --name=n").expect("valid");
        let expected = Options {
            network: "blue".to_owned(),
            bin_dir: "/x".into(),
            portmap: true,
            name: Some("n".to_owned()),
            ..Options::default()
        };
        assert_eq!(options, expected);
        for (text, problem) in [
            ("--network", "--network needs a value"),
            ("--network=", "--network needs a value"),
            ("--colour red", "unknown argument `--colour`"),
            ("--portmap=yes", "unknown argument `--portmap`"),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()));
        }
    }
}
