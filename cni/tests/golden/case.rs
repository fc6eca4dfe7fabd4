//! One golden case: how it is written down, and how it is run.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::PLUGIN;
use crate::daemon::{Daemon, DaemonConfig};

/// A case as its file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    about: String,
    env: BTreeMap<String, String>,
    stdin: Option<Value>,
    stdin_text: Option<String>,
    daemon: Option<DaemonConfig>,
    #[serde(default)]
    exit: i32,
    stdout: Option<Value>,
}

/// What a runtime sees of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    exit: Option<i32>,
    answer: Option<Value>,
}

impl Case {
    pub(crate) fn about(&self) -> &str {
        &self.about
    }

    pub(crate) fn expected(&self) -> Outcome {
        Outcome {
            exit: Some(self.exit),
            answer: self.stdout.clone(),
        }
    }

    pub(crate) fn run(&self) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("ringlay.sock");
        let _daemon = self
            .daemon
            .clone()
            .map(|config| Daemon::start(&socket, config));
        let output = self.run_plugin(self.input().replace("$SOCKET", text(&socket)).as_bytes());
        assert_eq!(
            output.stderr.is_empty(),
            output.status.success(),
            "{}: failures, and only they, are logged",
            self.about
        );
        Outcome::from_output(output, &socket)
    }

    fn input(&self) -> String {
        match (&self.stdin, &self.stdin_text) {
            (Some(value), None) => value.to_string(),
            (None, Some(text)) => text.clone(),
            _ => panic!("{}: give one of stdin and stdin_text", self.about),
        }
    }

    fn run_plugin(&self, input: &[u8]) -> Output {
        let mut plugin = Command::new(PLUGIN)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        plugin.stdin.take().unwrap().write_all(input).unwrap();
        plugin.wait_with_output().unwrap()
    }
}

impl Outcome {
    /// With what differs from run to run put back into its placeholder.
    fn from_output(output: Output, socket: &Path) -> Self {
        let answer = String::from_utf8(output.stdout)
            .expect("answers are UTF-8")
            .replace(text(socket), "$SOCKET")
            .replace(
                concat!("ringlay-cni ", env!("CARGO_PKG_VERSION")),
                "ringlay-cni $VERSION",
            );
        let answer = (!answer.is_empty())
            .then(|| serde_json::from_str(&answer).expect("an answer is one JSON value"));
        Self {
            exit: output.status.code(),
            answer,
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}
