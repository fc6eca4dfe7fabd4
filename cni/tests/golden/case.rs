//! One golden case: how it is written down, and how it is run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringlay_control::client::journal_directory;
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
    /// What the daemon was asked, if that matters.
    asked: Option<Vec<String>>,
    /// Files that must be there afterwards, in the directory of `$SOCKET`.
    files: Option<Vec<String>>,
}

/// What a runtime sees of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    exit: Option<i32>,
    answer: Option<Value>,
    asked: Option<Vec<String>>,
    files: Option<Vec<String>>,
}

impl Case {
    pub(crate) fn about(&self) -> &str {
        &self.about
    }

    pub(crate) fn expected(&self) -> Outcome {
        Outcome {
            exit: Some(self.exit),
            answer: self.stdout.clone(),
            asked: self.asked.clone(),
            files: self.files.clone(),
        }
    }

    pub(crate) fn run(&self) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("ringlay.sock");
        let daemon = self
            .daemon
            .clone()
            .map(|config| Daemon::start(&socket, config));
        let output = self.run_plugin(self.input().replace("$SOCKET", text(&socket)).as_bytes());
        assert!(
            output.status.success() || !output.stderr.is_empty(),
            "{}: failures are logged",
            self.about
        );
        let mut outcome = Outcome::from_output(output, &socket);
        let asked = daemon.map(|daemon| daemon.asked.lock().unwrap().clone());
        outcome.asked = self.asked.as_ref().and(asked);
        let journal = journal_directory(&socket);
        outcome.files = self.files.as_ref().map(|_| files(&journal));
        outcome
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
            // Where the cases find plugins to delegate to.
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
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
            asked: None,
            files: None,
        }
    }
}

/// The names of the files in a directory, with what is in them.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            format!("{} {text}", entry.file_name().to_str().unwrap())
        })
        .collect();
    files.sort();
    files
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}
