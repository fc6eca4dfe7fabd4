//! The records of attachments on disk: a file each, written whole or not at all.
//!
//! What is lost with the machine's power is of no use afterwards: the containers are gone too. So
//! files are renamed into place and not flushed to the disk, which takes longer than all the rest.

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::record::{AttachmentKey, Record};

/// The store cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another daemon uses it.
    #[error("another daemon keeps its attachments in {}; set node.state to another directory",
        .0.display())]
    InUse(PathBuf),
    /// A file cannot be had.
    #[error("cannot {step} {}", path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The records of one node.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Held while the store is in use; made with the first record.
    lock: Option<File>,
}

impl Store {
    /// The store in `directory`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// If it is there and cannot be used, or another daemon uses it.
    pub fn open(directory: PathBuf) -> Result<Self, StoreError> {
        let mut store = Self {
            directory,
            lock: None,
        };
        if store.directory.exists() {
            store.lock()?;
        }
        Ok(store)
    }

    fn lock(&mut self) -> Result<(), StoreError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let directory = &self.directory;
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        let path = directory.join("lock");
        let file = File::create(&path).map_err(failed("create", &path))?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(directory.clone())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        Ok(())
    }

    /// Remembers a record, in the place of one with the same key.
    ///
    /// # Errors
    ///
    /// If it cannot be written; then all is as it was.
    pub fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        self.lock()?;
        let path = self.path(&record.key);
        let hidden = path.with_extension("new");
        let text = serde_json::to_vec(record).map_err(io::Error::other);
        let written = text.and_then(|text| fs::write(&hidden, text));
        written.map_err(failed("write", &hidden))?;
        fs::rename(&hidden, &path).map_err(failed("write", &path))
    }

    /// Forgets a record. It is fine if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn remove(&self, key: &AttachmentKey) -> Result<(), StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// All records. What is none is set aside as NAME.damaged, with a warning: power was lost, and
    /// with it the container. What an earlier run did not finish writing goes.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn load(&self) -> Result<Vec<Record>, StoreError> {
        let error = || failed("read", &self.directory);
        let mut records = Vec::new();
        if self.lock.is_none() {
            return Ok(records);
        }
        for entry in fs::read_dir(&self.directory).map_err(error())? {
            let path = entry.map_err(error())?.path();
            match path.extension().and_then(OsStr::to_str) {
                Some("json") => records.extend(read_or_set_aside(&path)),
                // Nothing is made before its record is in place.
                Some("new") => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        Ok(records)
    }

    fn path(&self, key: &AttachmentKey) -> PathBuf {
        self.directory.join(format!("{}.json", key.port()))
    }
}

fn read_or_set_aside(path: &Path) -> Option<Record> {
    let error = match read(path) {
        Ok(record) => return Some(record),
        Err(error) => error,
    };
    let aside = path.with_extension("damaged");
    let kept = match fs::rename(path, &aside) {
        Ok(()) => aside.display().to_string(),
        Err(error) => format!("where it is: {error}"),
    };
    tracing::warn!(file = %path.display(), %error, kept, "no record of an attachment");
    None
}

fn read(path: &Path) -> io::Result<Record> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Step { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::{AttachKind, record::NetnsId};

    fn record(container_id: &str) -> Record {
        Record {
            key: AttachmentKey {
                container_id: container_id.to_owned(),
                device: "eth0".to_owned(),
            },
            network: "blue".to_owned(),
            owner: "blue".to_owned(),
            netns: "/run/netns/c1".into(),
            netns_id: NetnsId { dev: 4, ino: 17 },
            boot_id: "b".to_owned(),
            kind: AttachKind::Tap,
            bridged: false,
            mac: Some("02:00:00:00:00:05".to_owned()),
            addresses: vec!["10.1.0.1/32".parse().unwrap()],
            routes: vec![crate::object::GuestRoute::to("0.0.0.0/0".parse().unwrap())],
        }
    }

    #[test]
    fn what_is_put_is_loaded_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("new/attachments");
        let mut store = Store::open(directory.clone()).unwrap();
        assert!(!directory.exists(), "nothing is made that is not needed");
        assert_eq!(store.load().unwrap(), []);
        let (one, two) = (record("c1"), record("c2"));
        store.put(&one).unwrap();
        store.put(&two).unwrap();
        store.put(&two).unwrap();
        store.remove(&one.key).unwrap();
        store.remove(&one.key).unwrap();
        assert_eq!(store.load().unwrap(), std::slice::from_ref(&two));
        let second = Store::open(directory.clone());
        assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
        drop(store);
        assert_eq!(Store::open(directory).unwrap().load().unwrap(), [two]);
    }

    #[test]
    fn a_damaged_file_does_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path().to_owned()).unwrap();
        store.put(&record("c1")).unwrap();
        for (name, text) in [
            ("torn.json", "{\"key\":"),
            ("empty.json", ""),
            ("c9.new", "{"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(store.load().unwrap(), [record("c1")]);
            let there = |name: &str| folder.path().join(name).exists();
            assert!(there("torn.damaged") && there("empty.damaged"), "kept");
            assert!(!there("torn.json") && !there("empty.json") && !there("c9.new"));
        }
    }
}
