//! Loads routes into a running node, as a user does: by `ringlay route import`.

use std::path::Path;
use std::process::Command;

use ringlay_control::lab::LabError;
use serde_json::Value;

/// Puts the table in `file` in force instead of the one before; it has `count` routes. Returns, in
/// seconds, how long it took until every worker had confirmed it.
///
/// # Errors
/// If the command fails, or another number of routes is in force then.
pub(crate) fn routes(
    program: &Path,
    socket: &Path,
    network: &str,
    file: &Path,
    count: u32,
) -> Result<f64, LabError> {
    let mut command = Command::new(program);
    command.arg("--socket").arg(socket);
    command.args(["route", "import"]).arg(file);
    command.args(["--network", network, "--replace", "--json"]);
    let output = command
        .output()
        .map_err(LabError::io("start ringlay route import"))?;
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let in_force: Option<u64> = ["added", "changed", "unchanged"]
        .iter()
        .map(|key| reply[key].as_u64())
        .sum();
    if output.status.success() && in_force == Some(count.into()) {
        return Ok(reply["seconds"].as_f64().unwrap_or_default());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(LabError::Process {
        program: "ringlay route import".into(),
        status: output.status.to_string(),
        tail: format!("{in_force:?} of {count} routes; {}", errors.trim()),
    })
}
