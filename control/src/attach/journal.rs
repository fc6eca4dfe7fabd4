//! What the CNI plugin was asked to detach while no daemon ran.

use std::{fs, io, path::Path};

use serde::Deserialize;

use super::{AttachmentKey, Attachments};
use crate::{app::Engine, client::journal_directory};

#[derive(Deserialize)]
struct Entry {
    container_id: String,
    device: String,
}

impl Attachments {
    /// Detaches what the journal beside `socket` says, and empties it.
    pub fn replay(&mut self, engine: &mut Engine, socket: &Path) {
        let directory = journal_directory(socket);
        // Mostly there is none.
        for file in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let replayed = self.replay_one(engine, &path);
            if let Err(error) = replayed.and_then(|()| fs::remove_file(&path)) {
                tracing::warn!(file = %path.display(), %error, "not detached as noted");
            }
        }
        drop(engine.host().take_leaving());
    }

    fn replay_one(&mut self, engine: &mut Engine, path: &Path) -> io::Result<()> {
        let entry: Entry = serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)?;
        let key = AttachmentKey {
            container_id: entry.container_id,
            device: entry.device,
        };
        tracing::info!(attachment = %key, "detached while the daemon was away");
        self.detach(engine, &key)
            .map(drop)
            .map_err(io::Error::other)
    }
}
