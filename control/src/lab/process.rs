//! Processes that live in a namespace and never outlive the laboratory.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::LabError;
use super::cleanup::{Cleanup, Guard};
use super::namespace::Namespace;

/// A running program whose output goes to a file; stopped when dropped.
#[derive(Debug)]
pub struct Process {
    program: String,
    pid: u32,
    log: PathBuf,
    child: Arc<Mutex<Child>>,
    _guard: Guard,
}

impl Process {
    /// Starts `command` in `namespace`, out of reach of the terminal's Ctrl-C (the clean-up stops
    /// it in its turn), with standard output and error written to `log`.
    ///
    /// # Errors
    /// If the log cannot be made or the program not be started.
    pub fn start(
        cleanup: &Cleanup,
        namespace: &Namespace,
        mut command: Command,
        log: &Path,
    ) -> Result<Self, LabError> {
        let path = Path::new(command.get_program());
        let name = path.file_name().unwrap_or(path.as_os_str());
        let program = name.to_string_lossy().into_owned();
        let named = || format!("create {}", log.display());
        let output = File::create(log).map_err(LabError::io(named()))?;
        let errors = output.try_clone().map_err(LabError::io(named()))?;
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let ((child, pid), guard) = cleanup.acquire(|| {
            let child = namespace.start(&mut command)?;
            let pid = child.id();
            let child = Arc::new(Mutex::new(child));
            let undo = Arc::clone(&child);
            Ok(((child, pid), move || stop(&mut lock(&undo))))
        })?;
        Ok(Self {
            program,
            pid,
            log: log.into(),
            child,
            _guard: guard,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The error to report if it has ended, whatever its exit status.
    ///
    /// # Errors
    /// [`LabError::Process`] if it has.
    pub fn check_running(&self) -> Result<(), LabError> {
        match lock(&self.child).try_wait() {
            Ok(Some(status)) => Err(self.ended(status)),
            _ => Ok(()),
        }
    }

    /// Waits for it to end by itself and returns its output.
    ///
    /// # Errors
    /// If it fails or takes longer than `limit`.
    pub fn finish(self, limit: Duration) -> Result<String, LabError> {
        let deadline = Instant::now() + limit;
        loop {
            let status = lock(&self.child)
                .try_wait()
                .map_err(LabError::io(format!("wait {}", self.program)))?;
            match status {
                Some(status) if status.success() => return Ok(self.output()),
                Some(status) => return Err(self.ended(status)),
                None if Instant::now() > deadline => {
                    return Err(LabError::TimedOut {
                        what: self.program,
                        seconds: limit.as_secs(),
                    });
                }
                None => thread::sleep(POLL),
            }
        }
    }

    fn ended(&self, status: ExitStatus) -> LabError {
        let output = self.output();
        let lines: Vec<_> = output.lines().rev().take(5).collect();
        let tail = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
        LabError::Process {
            program: self.program.clone(),
            status: status.to_string(),
            tail,
        }
    }
}

/// Asks a process to end, and makes it end if it does not.
pub fn terminate(pid: i32) {
    let pid = Pid::from_raw(pid);
    let _ = kill(pid, Signal::SIGTERM);
    let deadline = Instant::now() + GRACE;
    while kill(pid, None).is_ok() {
        if Instant::now() > deadline {
            let _ = kill(pid, Signal::SIGKILL);
            return;
        }
        thread::sleep(POLL);
    }
}

fn stop(child: &mut Child) {
    let deadline = Instant::now() + GRACE;
    if let (Ok(None), Ok(pid)) = (child.try_wait(), i32::try_from(child.id())) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    while let Ok(None) = child.try_wait() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(POLL);
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a process may take to end cleanly.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);
