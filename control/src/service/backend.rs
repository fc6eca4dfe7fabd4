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
    app::{Done, Engine, Host},
    object::{Key, Object, Source},
    proto::Instance,
    rib::{Delta, Operation},
};

/// How long a reply waits for the workers.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// The engine behind all services.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    engine: Arc<Mutex<Engine>>,
}

/// What a change came to.
pub(super) struct Changed<T> {
    /// What to say of it.
    pub(super) answer: T,
    /// The tables to wait for, if there are new ones.
    pub(super) tables: Option<u64>,
}

impl<T> Changed<T> {
    /// What to say of it, once every worker goes by it.
    pub(super) fn confirmed(self, host: &dyn Host) -> Result<T, Status> {
        match self.tables {
            Some(tables) if !host.wait_confirmed(tables, CONFIRM_TIMEOUT) => Err(unconfirmed()),
            _ => Ok(self.answer),
        }
    }
}

impl From<Done> for Changed<Delta> {
    fn from(Done { delta, tables }: Done) -> Self {
        let answer = delta;
        Self { answer, tables }
    }
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

    /// Lets `change` change the engine; returns its answer when every worker goes by it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Engine) -> Result<Changed<T>, Status> + Send + 'static,
    ) -> Result<(Option<Instance>, T), Status> {
        let backend = self.clone();
        let changed = spawn_blocking(move || {
            let (changed, instance, host) = {
                let mut engine = backend.engine();
                let changed = change(&mut engine)?;
                (changed, view::instance(&engine), Arc::clone(engine.host()))
            };
            Ok((instance, changed.confirmed(&*host)?))
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
        self.operate(source, vec![operation]).await
    }

    /// Deletes an object.
    pub(super) async fn delete(
        &self,
        source: Source,
        key: Key,
        missing_ok: bool,
    ) -> Result<Option<Instance>, Status> {
        let operation = Operation::Delete { key, missing_ok };
        self.operate(source, vec![operation]).await
    }

    /// Does all of this to a source's objects, or nothing.
    pub(super) async fn operate(
        &self,
        source: Source,
        operations: Vec<Operation>,
    ) -> Result<Option<Instance>, Status> {
        let apply = move |engine: &mut Engine| Ok(engine.apply(source, operations)?.into());
        let (instance, _): (_, Delta) = self.change(apply).await?;
        Ok(instance)
    }
}
