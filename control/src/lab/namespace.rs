//! Named network namespaces, as `ip netns` keeps them, made without it.
//!
//! A namespace is pinned by a bind mount at `/run/netns/NAME`, so that `ip netns exec NAME` works
//! where iproute2 is installed. Threads enter by setns(2) and are never reused: the thread that
//! called keeps the namespace it had.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::LabError;
use super::cleanup::{Cleanup, Guard};

/// Where named namespaces are pinned.
pub const NETNS_DIR: &str = "/run/netns";

/// A network namespace of its own, removed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
    _guard: Arc<Guard>,
}

impl Namespace {
    /// Makes the namespace `name` with its loopback device up.
    ///
    /// # Errors
    /// If a namespace of that name exists, or without CAP_SYS_ADMIN.
    pub fn create(cleanup: &Cleanup, name: &str) -> Result<Self, LabError> {
        let path = path_of(name);
        let (file, guard) = cleanup.acquire(|| {
            prepare_directory()?;
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
                .map_err(LabError::io(format!("create {}", path.display())))?;
            let pinned = pin_new(&path)
                .and_then(|()| File::open(&path))
                .map_err(LabError::io(format!("create network namespace {name}")));
            if pinned.is_err() {
                unpin(&path);
            }
            Ok((pinned?, move || unpin(&path)))
        })?;
        let namespace = Self {
            name: name.into(),
            file: Arc::new(file),
            _guard: Arc::new(guard),
        };
        namespace.run(|| super::link::set_up("lo"))??;
        Ok(namespace)
    }

    /// Name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of the pin, as config files want it.
    pub fn path(&self) -> PathBuf {
        path_of(&self.name)
    }

    /// The namespace itself, for requests that carry a descriptor.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` on a thread inside the namespace and waits for it.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let inside = thread::scope(|scope| scope.spawn(|| self.enter().map(|()| work())).join());
        inside.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// Starts `work` on a thread inside the namespace.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, LabError> + Send + 'static,
    ) -> JoinHandle<Result<T, LabError>> {
        let namespace = self.clone();
        thread::spawn(move || {
            namespace.enter()?;
            work()
        })
    }

    /// Starts `command` inside the namespace.
    ///
    /// # Errors
    /// If the namespace cannot be entered or the program cannot be started.
    pub fn start(&self, command: &mut Command) -> Result<Child, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.run(|| command.spawn())?
            .map_err(LabError::io(format!("start {program}")))
    }

    fn enter(&self) -> Result<(), LabError> {
        setns(&*self.file, CloneFlags::CLONE_NEWNET).map_err(LabError::io(format!(
            "enter network namespace {}",
            self.name
        )))
    }
}

/// Names of the pinned namespaces that begin with `prefix`.
pub fn list(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(NETNS_DIR).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Removes the pin of `name`; the kernel drops the namespace with its last process.
pub fn remove(name: &str) {
    unpin(&path_of(name));
}

/// Processes whose main thread is in the namespace `name`.
pub fn processes(name: &str) -> Vec<i32> {
    let Ok(wanted) = namespace_id(&path_of(name)) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            namespace_id(Path::new(&format!("/proc/{pid}/ns/net"))).is_ok_and(|id| id == wanted)
        })
        .collect()
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(name)
}

fn namespace_id(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Makes [`NETNS_DIR`] a shared mount point, as iproute2 does: were it left a plain directory, the
/// first `ip netns` would cover our pins with a copy that nobody could remove.
fn prepare_directory() -> Result<(), LabError> {
    fs::create_dir_all(NETNS_DIR).map_err(LabError::io(format!("create {NETNS_DIR}")))?;
    let share = || {
        mount(
            None::<&str>,
            NETNS_DIR,
            None::<&str>,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            None::<&str>,
        )
    };
    // iproute2 holds this lock for the same reason: two at once would mount one over the other.
    let directory = File::open(NETNS_DIR).map_err(LabError::io(format!("open {NETNS_DIR}")))?;
    directory
        .lock()
        .map_err(LabError::io(format!("lock {NETNS_DIR}")))?;
    if share().is_ok() {
        return Ok(());
    }
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(NETNS_DIR), NETNS_DIR, None::<&str>, bind, None::<&str>)
        .and_then(|()| share())
        .map_err(LabError::io(format!("mount {NETNS_DIR}")))
}

/// Makes a namespace on a thread that ends with it and pins it at `path`.
fn pin_new(path: &Path) -> io::Result<()> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(
            Some("/proc/thread-self/ns/net"),
            path,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )?;
        Ok(())
    };
    thread::scope(|scope| scope.spawn(make).join())
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}

fn unpin(path: &Path) {
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}
