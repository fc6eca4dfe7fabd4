//! Finds the `ringlay` binary that is to be measured.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use ringlay_control::lab::LabError;

/// The one given, or the one beside this program.
///
/// # Errors
/// If it is not there.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, LabError> {
    let beside = || env::current_exe().map(|own| own.with_file_name("ringlay"));
    let path = given.map_or_else(beside, |path| Ok(path.into()));
    path.and_then(|path| {
        path.canonicalize().map_err(|error| {
            let hint = format!("{}: {error}; name it with --ringlay", path.display());
            io::Error::new(error.kind(), hint)
        })
    })
    .map_err(LabError::io("find the ringlay binary"))
}
