//! Ctrl-C, SIGTERM and SIGHUP: take everything back, then leave.
//!
//! A thread of its own waits for them, so that a main thread that is blocked in a measurement
//! need not notice anything.

use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::LabError;
use super::cleanup::Cleanup;

/// Cleans up and ends the process with 128 + the signal's number when one arrives.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn clean_up_on_signals(cleanup: &Cleanup) -> Result<(), LabError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(LabError::io("start the signal thread"))?;
    let install = || -> std::io::Result<_> {
        let _context = runtime.enter();
        Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ))
    };
    let (mut interrupt, mut terminate, mut hangup) =
        install().map_err(LabError::io("install signal handlers"))?;
    let cleanup = cleanup.clone();
    let wait = move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hangup.recv() => SignalKind::hangup(),
            }
        });
        eprintln!("stopping: removing everything that was made");
        cleanup.close();
        std::process::exit(128 + number.as_raw_value());
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(wait)
        .map_err(LabError::io("start the signal thread"))?;
    Ok(())
}

/// For a main thread whose step failed because the clean-up is taking its things away: waits for
/// the signal thread to end the process.
pub fn wait_for_exit() -> ! {
    loop {
        thread::park();
    }
}
