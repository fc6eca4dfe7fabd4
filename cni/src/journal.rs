//! What is to be detached when the daemon is back.
//!
//! DEL must succeed without a daemon. It leaves a file beside the daemon's socket, which the
//! daemon reads when it starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ringlay_control::client::journal_directory;
use serde_json::json;

use crate::environment::Attachment;

/// An entry of the journal.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
}

impl Entry {
    /// Notes that an attachment is to go. `None` if there is nobody to note it for: where there is
    /// no directory for the socket no daemon has run since the machine started.
    pub(crate) fn write(socket: &Path, attachment: &Attachment) -> io::Result<Option<Self>> {
        if !socket.parent().is_some_and(Path::is_dir) {
            return Ok(None);
        }
        let directory = journal_directory(socket);
        fs::create_dir_all(&directory)?;
        let Attachment {
            container_id,
            interface,
        } = attachment;
        // Neither has a slash, and a container's id has no comma.
        let path = directory.join(format!("{container_id},{interface}.json"));
        let hidden = path.with_extension("new");
        let entry = json!({ "container_id": container_id, "device": interface });
        fs::write(&hidden, entry.to_string())?;
        fs::rename(&hidden, &path)?;
        Ok(Some(Self { path }))
    }

    /// Takes it back: it is done.
    pub(crate) fn remove(self) {
        // If it stays, the daemon finds nothing to do.
        let _ = fs::remove_file(self.path);
    }
}
