//! `RouteService.LoadRoutes`: receives routes until they are all there, then lets the engine put
//! them in force at once. What was received before a stream breaks is forgotten with it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::{sync::mpsc, task::spawn_blocking};
use tonic::{Code, Status, Streaming};

use super::{
    backend::{Backend, Changed},
    parse,
    status::{apply_status, internal, invalid, status},
    view,
};
use crate::{
    app::Loaded,
    client::error_detail,
    object::{Name, Path, RouteKey, Source},
    proto::{
        LoadBegin, LoadDifference, LoadPiece, LoadProgress, LoadResult, LoadRoutesRequest,
        LoadRoutesResponse, LoadStage, load_routes_request::Part, load_routes_response::Event,
    },
    rib::{Load, LoadError, LoadProblem, PathId, RouteDelta},
};

/// Time between two messages about how much came in.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Well below the usual limit of 4 MiB a message.
const DIFFERENCES_A_MESSAGE: usize = 4096;

/// Kernel routes that are changed before others may use the engine again.
const KERNEL_ROUTES_AT_ONCE: usize = 512;

/// Where replies go. Whether the client still reads them changes nothing about a load that began to
/// be put in force.
pub(super) type Replies = mpsc::Sender<Result<LoadRoutesResponse, Status>>;

/// A load that is received, and what is known of it.
struct Receiver {
    load: Load,
    dry_run: bool,
    started: Instant,
}

/// Serves one stream.
pub(super) async fn serve(
    backend: Backend,
    requests: Streaming<LoadRoutesRequest>,
    replies: Replies,
) {
    let last = match receive(requests, &replies).await {
        Ok(receiver) => put_in_force(backend, receiver, replies.clone()).await,
        Err(status) => Err(status),
    };
    let last = last.map(|result| event(Event::Result(result)));
    let _ = replies.send(last).await;
}

/// Takes in the stream up to its `commit`.
async fn receive(
    mut requests: Streaming<LoadRoutesRequest>,
    replies: &Replies,
) -> Result<Receiver, Status> {
    let Some(Part::Begin(begin)) = next(&mut requests).await? else {
        return Err(invalid("part", "the first must be begin"));
    };
    let mut receiver = Receiver::new(begin)?;
    let mut told = Instant::now();
    loop {
        match next(&mut requests).await? {
            Some(Part::Piece(piece)) => receiver.take(&piece)?,
            Some(Part::Commit(_)) => return Ok(receiver),
            Some(Part::Begin(_)) => return Err(invalid("part", "begin came twice")),
            None => return Err(incomplete()),
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            let progress = progress(LoadStage::Receiving, &receiver.load);
            if replies.send(Ok(progress)).await.is_err() {
                return Err(incomplete());
            }
        }
    }
}

async fn next(requests: &mut Streaming<LoadRoutesRequest>) -> Result<Option<Part>, Status> {
    let Some(request) = requests.message().await? else {
        return Ok(None);
    };
    let part = request.part;
    part.map(Some).ok_or_else(|| invalid("part", "is missing"))
}

/// Everything from the last route received to the last worker.
async fn put_in_force(
    backend: Backend,
    receiver: Receiver,
    replies: Replies,
) -> Result<LoadResult, Status> {
    let work = move || {
        let Receiver {
            mut load,
            dry_run,
            started,
        } = receiver;
        let received = started.elapsed();
        let _ = replies.blocking_send(Ok(progress(LoadStage::Merging, &load)));
        let sorting = Instant::now();
        load.sort().map_err(load_status)?;
        let sorting = sorting.elapsed();
        let mut result = if dry_run {
            foresee(&backend, &load, &replies)?
        } else {
            apply(&backend, &load, &replies)?
        };
        result.received = load.len() as u64;
        result.receive_us = micros(received);
        result.merge_us += micros(sorting);
        Ok(result)
    };
    spawn_blocking(work).await.map_err(internal)?
}

fn apply(backend: &Backend, load: &Load, replies: &Replies) -> Result<LoadResult, Status> {
    let (loaded, instance, host) = {
        let mut engine = backend.engine();
        let loaded = engine.load(load).map_err(load_status)?;
        (loaded, view::instance(&engine), Arc::clone(engine.host()))
    };
    let Loaded {
        delta,
        tables,
        merging,
        compiling,
    } = loaded;
    let _ = replies.blocking_send(Ok(progress(LoadStage::Published, load)));
    let waiting = Instant::now();
    let changed = Changed {
        answer: counts(&delta),
        tables,
    };
    let counts = changed.confirmed(&*host)?;
    let confirming = waiting.elapsed();
    let _ = replies.blocking_send(Ok(progress(LoadStage::Confirmed, load)));
    sync_kernel_routes(backend, &delta);
    Ok(LoadResult {
        instance,
        merge_us: micros(merging),
        compile_us: micros(compiling),
        confirm_us: micros(confirming),
        ..counts
    })
}

fn foresee(backend: &Backend, load: &Load, replies: &Replies) -> Result<LoadResult, Status> {
    let (delta, instance) = {
        let engine = backend.engine();
        let delta = engine.rib().try_load(load).map_err(load_status)?;
        (delta, view::instance(&engine))
    };
    tell_difference(&delta, replies);
    Ok(LoadResult {
        instance,
        ..counts(&delta)
    })
}

/// Lets the kernel's routes follow, a few at a time, so that others are not kept waiting.
fn sync_kernel_routes(backend: &Backend, delta: &RouteDelta) {
    if !backend.engine().has_kernel_routes(&delta.network) {
        return;
    }
    let prefixes: Vec<IpNet> = delta.iter().map(|change| change.prefix).collect();
    for some in prefixes.chunks(KERNEL_ROUTES_AT_ONCE) {
        let mut engine = backend.engine();
        engine.sync_kernel_routes(&delta.network, some);
    }
}

fn tell_difference(delta: &RouteDelta, replies: &Replies) {
    let mut difference = LoadDifference::default();
    let mut count = 0;
    for change in delta.iter() {
        let route = |id: PathId| {
            let path = &delta.paths[id.index()];
            view::show_route("", &delta.network, change.prefix, path)
        };
        match (change.before, change.after) {
            (None, Some(after)) => difference.added.push(route(after)),
            (_, Some(after)) => difference.changed.push(route(after)),
            (_, None) => difference.removed.push(view::route_key(&RouteKey {
                network: delta.network.clone(),
                prefix: change.prefix,
            })),
        }
        count += 1;
        if count == DIFFERENCES_A_MESSAGE {
            count = 0;
            let full = std::mem::take(&mut difference);
            if replies
                .blocking_send(Ok(event(Event::Difference(full))))
                .is_err()
            {
                return;
            }
        }
    }
    let _ = replies.blocking_send(Ok(event(Event::Difference(difference))));
}

impl Receiver {
    fn new(begin: LoadBegin) -> Result<Self, Status> {
        let LoadBegin {
            network,
            source,
            replace,
            dry_run,
        } = begin;
        let source = match source.as_str() {
            "" => Source::Import,
            named => parse::source(named)?,
        };
        let load = Load::new(parse::name("begin.network", &network)?, source, replace);
        Ok(Self {
            load,
            dry_run,
            started: Instant::now(),
        })
    }

    fn take(&mut self, piece: &LoadPiece) -> Result<(), Status> {
        for path in &piece.paths {
            let path = parse::path(path)?;
            self.load.add_path(path);
        }
        self.unpack(&piece.packed)?;
        for route in &piece.routes {
            self.take_route(route)
                .map_err(|status| self.in_record(&status))?;
        }
        self.load.sort_run();
        Ok(())
    }

    fn take_route(&mut self, route: &crate::proto::Route) -> Result<(), Status> {
        let stream: &Name = &self.load.network;
        if !(route.network.is_empty() || route.network == stream.as_str()) {
            return Err(invalid("route.network", "is not the network of the stream"));
        }
        if !(route.source.is_empty() || route.source == self.load.source.name()) {
            return Err(invalid("route.source", "is not the source of the stream"));
        }
        let prefix = parse::prefix("route.prefix", &route.prefix)?;
        let path: Path = parse::path_of(route)?;
        let path = self.load.add_path(path);
        self.load.push(prefix, path).map_err(load_status)
    }

    fn unpack(&mut self, mut packed: &[u8]) -> Result<(), Status> {
        while !packed.is_empty() {
            let Some((prefix, path, rest)) = unpack_one(packed) else {
                return Err(self.in_record(&invalid("piece.packed", "is cut off, or no record")));
            };
            let prefix = prefix.map_err(|error| self.in_record(&error))?;
            self.load.push(prefix, path).map_err(load_status)?;
            packed = rest;
        }
        Ok(())
    }

    /// An error of the record that would have been next.
    fn in_record(&self, status: &Status) -> Status {
        record_status(
            self.load.len() + 1,
            status.message(),
            "INVALID",
            "see the message's description in ringlay.v1",
        )
    }
}

/// The first record and what follows it; nothing if there is no whole one.
#[inline]
fn unpack_one(packed: &[u8]) -> Option<(Result<IpNet, Status>, u32, &[u8])> {
    let (&[version, length], rest) = packed.split_first_chunk()?;
    match version {
        4 => {
            let (&octets, rest) = rest.split_first_chunk::<4>()?;
            let (&path, rest) = rest.split_first_chunk()?;
            let net = Ipv4Net::new(Ipv4Addr::from(octets), length).ok();
            let net = net.filter(|net| net.network() == net.addr()).map(IpNet::V4);
            let net = net.ok_or_else(|| no_prefix(Ipv4Addr::from(octets), length));
            Some((net, u32::from_be_bytes(path), rest))
        }
        6 => {
            let (&octets, rest) = rest.split_first_chunk::<16>()?;
            let (&path, rest) = rest.split_first_chunk()?;
            let net = Ipv6Net::new(Ipv6Addr::from(octets), length).ok();
            let net = net.filter(|net| net.network() == net.addr()).map(IpNet::V6);
            let net = net.ok_or_else(|| no_prefix(Ipv6Addr::from(octets), length));
            Some((net, u32::from_be_bytes(path), rest))
        }
        _ => None,
    }
}

#[cold]
fn no_prefix(address: impl std::fmt::Display, length: u8) -> Status {
    let problem = format_args!("{address}/{length} is too long or has host bits");
    invalid("piece.packed", problem)
}

fn counts(delta: &RouteDelta) -> LoadResult {
    let counts = delta.counts;
    LoadResult {
        added: counts.added,
        changed: counts.changed,
        unchanged: counts.unchanged,
        removed: counts.removed,
        overridden: counts.overridden,
        ..LoadResult::default()
    }
}

fn progress(stage: LoadStage, load: &Load) -> LoadRoutesResponse {
    event(Event::Progress(LoadProgress {
        stage: stage.into(),
        received: load.len() as u64,
    }))
}

fn event(event: Event) -> LoadRoutesResponse {
    LoadRoutesResponse { event: Some(event) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn incomplete() -> Status {
    status(
        Code::Aborted,
        "the stream ended before its commit: nothing was loaded",
        "part",
        "INCOMPLETE",
        "send it again, with a commit at its end",
    )
}

fn load_status(error: LoadError) -> Status {
    let message = error.problem.to_string();
    let within = match error.problem {
        LoadProblem::Apply(error) => apply_status(&message, &error),
        LoadProblem::Socket(_) => status(
            Code::FailedPrecondition,
            &message,
            "direct",
            "SOCKET",
            "see the message",
        ),
        other => invalid("prefix", other),
    };
    match error.record {
        None => within,
        Some(record) => {
            let detail = error_detail(&within).unwrap_or_default();
            let code = within.code();
            let field = format!("record {record}");
            let message = format!("{field}: {message}");
            status(code, message, field, &detail.reason, &detail.hint)
        }
    }
}

fn record_status(record: usize, message: &str, reason: &str, hint: &str) -> Status {
    let field = format!("record {record}");
    let message = format!("{field}: {message}");
    status(Code::InvalidArgument, message, field, reason, hint)
}
