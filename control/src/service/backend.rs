//! What the services share: the engine, used where blocking is allowed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::spawn_blocking;
use tonic::Status;

use super::{
    status::{internal, unconfirmed},
    view,
};
use crate::{
    app::{ChangeError, Done, Engine},
    object::{Key, Object, Source},
    proto::Instance,
    rib::Operation,
};

/// How long a reply waits for the workers.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// The engine behind all services.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    engine: Arc<Mutex<Engine>>,
}

impl Backend {
    pub(super) fn new(engine: Arc<Mutex<Engine>>) -> Self {
        Self { engine }
    }

    /// The engine, for use where blocking is allowed.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `ask` look at the engine.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let backend = self.clone();
        let answer = spawn_blocking(move || ask(&mut backend.engine()));
        answer.await.map_err(internal)
    }

    /// Lets `change` change the engine; returns when every worker goes by it.
    pub(super) async fn change(
        &self,
        change: impl FnOnce(&mut Engine) -> Result<Done, ChangeError> + Send + 'static,
    ) -> Result<(Option<Instance>, Done), Status> {
        let backend = self.clone();
        let changed = spawn_blocking(move || {
            let (done, instance, host) = {
                let mut engine = backend.engine();
                let done = change(&mut engine)?;
                (done, view::instance(&engine), Arc::clone(engine.host()))
            };
            match done.tables {
                Some(tables) if !host.wait_confirmed(tables, CONFIRM_TIMEOUT) => Err(unconfirmed()),
                _ => Ok((instance, done)),
            }
        });
        changed.await.map_err(internal)?
    }

    /// Creates or replaces an object.
    pub(super) async fn apply(
        &self,
        source: Source,
        object: impl Into<Object>,
        exist_ok: Option<bool>,
    ) -> Result<Option<Instance>, Status> {
        let operation = Operation::Apply {
            object: object.into(),
            exist_ok: exist_ok.unwrap_or(true),
        };
        let (instance, _) = self
            .change(move |engine| engine.apply(source, vec![operation]))
            .await?;
        Ok(instance)
    }

    /// Deletes an object.
    pub(super) async fn delete(
        &self,
        source: Source,
        key: Key,
        missing_ok: bool,
    ) -> Result<Option<Instance>, Status> {
        let operation = Operation::Delete { key, missing_ok };
        let (instance, _) = self
            .change(move |engine| engine.apply(source, vec![operation]))
            .await?;
        Ok(instance)
    }
}
