//! The thread that listens to workers and keeps the resolver's time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use ringlay_dataplane::event::Event;

use super::engine::Engine;

/// The longest wait: a deadline that a change of configuration set may be this late.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Events taken together, so that they lead to one set of tables.
const EVENTS_MAX: usize = 256;

/// The running thread.
#[derive(Debug)]
pub(super) struct EventThread {
    thread: JoinHandle<()>,
    stop: Sender<()>,
}

impl EventThread {
    /// Starts to listen.
    pub(super) fn spawn(
        engine: Arc<Mutex<Engine>>,
        events: Receiver<Event>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new()
            .name("ringlay-events".to_owned())
            .spawn(move || listen(&engine, &events, &stopped))?;
        Ok(Self { thread, stop })
    }

    /// Stops it and waits for its end.
    pub(super) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the event thread panicked");
        }
    }
}

fn listen(engine: &Mutex<Engine>, events: &Receiver<Event>, stopped: &Receiver<()>) {
    let lock = || engine.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let deadline = lock().deadline();
        let until = deadline.map_or(WAIT_MAX, |at| at.saturating_duration_since(Instant::now()));
        let event = select! {
            recv(stopped) -> _ => return,
            recv(events) -> event => event.map_err(|_| RecvTimeoutError::Disconnected),
            default(until.min(WAIT_MAX)) => Err(RecvTimeoutError::Timeout),
        };
        match event {
            Ok(first) => {
                let rest = events.try_iter().take(EVENTS_MAX);
                let all: Vec<_> = std::iter::once(first).chain(rest).collect();
                lock().handle(all);
            }
            Err(RecvTimeoutError::Timeout) => lock().poll(),
            // The workers are gone: the daemon is stopping.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
