//! `StateService`.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, async_trait};

use super::{backend::Backend, parse, status::status, view};
use crate::{
    app::Engine,
    config,
    object::{Key, Source},
    proto::{
        ApplySnapshotRequest, ApplySnapshotResponse, BatchRequest, BatchResponse, Difference,
        InitialEnd, ShowConfigRequest, ShowConfigResponse, WatchRequest, WatchResponse,
        state_service_server::StateService, watch_response::Event,
    },
    rib::{Change, Delta},
};

/// Messages that may wait for a slow watcher.
const WATCH_QUEUE: usize = 64;

#[async_trait]
impl StateService for Backend {
    async fn apply_snapshot(
        &self,
        request: Request<ApplySnapshotRequest>,
    ) -> Result<Response<ApplySnapshotResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let objects = request
            .objects
            .into_iter()
            .map(parse::object)
            .collect::<Result<_, _>>()?;
        let generation = request.generation;
        let (instance, delta) = if request.dry_run {
            self.read(move |engine| {
                let delta = engine.try_snapshot(source, generation, objects)?;
                Ok::<_, Status>((view::instance(engine), delta))
            })
            .await??
        } else {
            let apply = move |engine: &mut Engine| {
                let done = engine.apply_snapshot(source, generation, objects)?;
                Ok(done.into())
            };
            self.change(apply).await?
        };
        let difference = self
            .read(move |engine| difference(engine, source, &delta))
            .await?;
        Ok(Response::new(ApplySnapshotResponse {
            instance,
            difference: Some(difference),
        }))
    }

    async fn batch(
        &self,
        request: Request<BatchRequest>,
    ) -> Result<Response<BatchResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let operations = request.operations.into_iter().map(parse::operation);
        let operations = operations.collect::<Result<_, _>>()?;
        let instance = self.operate(source, operations).await?;
        Ok(Response::new(BatchResponse { instance }))
    }

    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        _request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (changes, initial) = self
            .read(|engine| {
                let all = engine.rib().iter_all();
                let mut keys: Vec<_> = all.map(|(_, object)| object.key()).collect();
                // One that several sources have comes once.
                keys.dedup();
                let mut initial = show(engine, &keys);
                initial.push(event(engine, Event::InitialEnd(InitialEnd {})));
                (engine.watch(), initial)
            })
            .await?;
        let (sender, receiver) = mpsc::channel(WATCH_QUEUE);
        tokio::spawn(follow(self.clone(), changes, initial, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn show_config(
        &self,
        _request: Request<ShowConfigRequest>,
    ) -> Result<Response<ShowConfigResponse>, Status> {
        self.read(|engine| {
            let config = config::print(&engine.identity().settings, engine.rib());
            Response::new(ShowConfigResponse {
                instance: view::instance(engine),
                config,
            })
        })
        .await
    }
}

/// Sends what is there, then what changes, until the watcher goes or falls behind.
async fn follow(
    backend: Backend,
    mut changes: broadcast::Receiver<Arc<[Key]>>,
    initial: Vec<WatchResponse>,
    sender: mpsc::Sender<Result<WatchResponse, Status>>,
) {
    let mut replies = Ok(initial);
    loop {
        let failed = replies.is_err();
        let messages = match replies {
            Ok(replies) => replies.into_iter().map(Ok).collect(),
            Err(status) => vec![Err(status)],
        };
        for message in messages {
            if sender.send(message).await.is_err() {
                return;
            }
        }
        if failed {
            return;
        }
        // A watcher that goes while nothing changes must not be kept for ever.
        let change = tokio::select! {
            change = changes.recv() => change,
            () = sender.closed() => return,
        };
        replies = match change {
            Ok(keys) => backend.read(move |engine| show(engine, &keys)).await,
            Err(broadcast::error::RecvError::Closed) => return,
            Err(broadcast::error::RecvError::Lagged(_)) => Err(lagged()),
        };
    }
}

fn lagged() -> Status {
    let message = "too many changes for this watcher: some were not sent";
    status(
        Code::DataLoss,
        message,
        "",
        "LAGGED",
        "watch anew, from the state as it is then",
    )
}

/// The objects under these keys as they are now, or that they are gone.
fn show(engine: &mut Engine, keys: &[Key]) -> Vec<WatchResponse> {
    let mut shown = Vec::with_capacity(keys.len());
    for key in keys {
        shown.push(match engine.rib().entry(key) {
            Some((source, object)) => event(
                engine,
                Event::Present(view::object(engine, source, &object)),
            ),
            None => event(engine, Event::Removed(view::key(key))),
        });
    }
    shown
}

fn event(engine: &Engine, event: Event) -> WatchResponse {
    WatchResponse {
        instance: view::instance(engine),
        event: Some(event),
    }
}

fn difference(engine: &mut Engine, source: Source, delta: &Delta) -> Difference {
    let mut difference = Difference::default();
    for change in delta.iter() {
        let Change { before, after } = change;
        match (before, after) {
            (None, Some(object)) => {
                difference.added.push(view::object(engine, source, &object));
            }
            (Some(_), Some(object)) => {
                difference
                    .changed
                    .push(view::object(engine, source, &object));
            }
            (Some(object), None) => difference.removed.push(view::key(&object.key())),
            (None, None) => {}
        }
    }
    difference
}
