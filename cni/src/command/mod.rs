//! The commands of the specification: which there are, and what each takes.

mod add;
mod check;
mod del;
mod gc;
mod status;
mod version;

use serde_json::Value;

use crate::config::NetworkConfig;
use crate::environment::Environment;
use crate::error::{CniError, Failure};
use crate::spec_version::SpecVersion;

/// What a command does with a valid configuration; `None` is success without a word.
type Run = fn(&Environment, &NetworkConfig) -> Result<Option<Value>, CniError>;

/// Does what `CNI_COMMAND` says, with the configuration `input`.
///
/// # Errors
/// The answer to give instead, in the version that the configuration asks for.
pub(crate) fn run(environment: &Environment, input: &[u8]) -> Result<Option<Value>, Failure> {
    let Some(command) = environment.command.as_deref() else {
        return Err(invalid("CNI_COMMAND is missing".to_owned()));
    };
    let (name, since, run): (_, _, Run) = match command {
        "ADD" => ("ADD", SpecVersion::V0_3_0, add::run),
        "DEL" => ("DEL", SpecVersion::V0_3_0, del::run),
        "CHECK" => ("CHECK", SpecVersion::V0_4_0, check::run),
        "GC" => ("GC", SpecVersion::V1_1_0, gc::run),
        "STATUS" => ("STATUS", SpecVersion::V1_1_0, status::run),
        "VERSION" => return version::run(input).map(Some),
        unknown => return Err(invalid(format!("CNI_COMMAND `{unknown}` is unknown"))),
    };
    let config = NetworkConfig::parse(input)?;
    let version = config.version;
    if version < since {
        return Err(Failure::new(
            CniError::CommandTooNew {
                command: name,
                version,
            },
            version,
        ));
    }
    run(environment, &config).map_err(|error| Failure::new(error, version))
}

fn invalid(reason: String) -> Failure {
    CniError::InvalidEnvironment { reason }.into()
}
