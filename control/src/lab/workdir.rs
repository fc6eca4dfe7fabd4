//! The directory that config files, sockets and logs of a laboratory live in.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::LabError;
use super::cleanup::{Cleanup, Guard};

/// A private directory, removed with all it contains when dropped.
#[derive(Debug)]
pub struct Workdir {
    path: PathBuf,
    _guard: Guard,
}

impl Workdir {
    /// Makes `/run/NAME`, readable by its owner only.
    ///
    /// # Errors
    /// If it exists or cannot be made.
    pub fn create(cleanup: &Cleanup, name: &str) -> Result<Self, LabError> {
        let path = path_of(name);
        let (path, guard) = cleanup.acquire(|| {
            DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .map_err(LabError::io(format!("create {}", path.display())))?;
            let undo = path.clone();
            Ok((path, move || drop(fs::remove_dir_all(undo))))
        })?;
        Ok(Self {
            path,
            _guard: guard,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The directory that [`Workdir::create`] makes for `name`.
pub fn path_of(name: &str) -> PathBuf {
    Path::new("/run").join(name)
}
