//! Runs a node: from a configuration file to a served socket, until a signal says stop.

use std::{
    io,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringlay_dataplane::runtime::StartError;
use thiserror::Error;
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use super::{
    echoes,
    engine::{Engine, reach::refuse_routed},
    error::ChangeError,
    events::EventThread,
    host::HostError,
    icmp::{Hear, IcmpSocket},
    linux::NoUplink,
    listener::{ListenError, Listener},
    neighbourhood::WireThread,
    notify,
    privileges::{self, MissingCapability},
    routers,
    start::{choose_underlay, start_or_fall_back},
    underlay::{Local, LocalError},
};
use crate::{
    attach::{self, Attachments, Masquerade, MasqueradeError, StoreError},
    config::{Config, ConfigError, Df},
    netlink,
    object::{Object, PortKind},
    service,
};

/// How long requests may take to finish when the daemon stops.
const DRAIN: Duration = Duration::from_millis(500);

/// How long to wait before listening to the kernel again, if that failed.
const FOLLOW_AGAIN: Duration = Duration::from_secs(1);

/// Threads that serve gRPC; what blocks runs on others.
const RPC_THREADS: usize = 2;

/// Why the daemon did not start, or ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration file cannot be used. Nothing was done.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process may not do what it has to.
    #[error(transparent)]
    Privilege(#[from] MissingCapability),
    /// It cannot listen on its socket.
    #[error("{}", HostError::chain(.0))]
    Listen(#[from] ListenError),
    /// The workers did not start.
    #[error("{}", HostError::chain(.0))]
    Start(#[from] StartError),
    /// A device or socket of the configuration cannot be had.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// What is remembered of containers cannot be read.
    #[error("{}", HostError::chain(.0))]
    Store(#[from] StoreError),
    /// Containers cannot be led to the outside.
    #[error("{}", HostError::chain(.0))]
    Masquerade(#[from] MasqueradeError),
    /// A thread, signal or socket of the daemon itself failed.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The gRPC server ended.
    #[error("the gRPC server failed")]
    Serve(#[from] tonic::transport::Error),
}

impl RunError {
    /// Why a tunnel endpoint has no uplink, if that is what it is about.
    pub(super) fn no_uplink(&self) -> Option<&HostError> {
        match self {
            Self::Change(ChangeError::Host { source, .. }) => {
                source.downcast_ref().map(NoUplink::reason)
            }
            _ => None,
        }
    }
}

/// Reads and checks a configuration file, on this host: its underlay must be there.
///
/// # Errors
///
/// If the file says something wrong.
pub fn check(file: &Path) -> Result<(Config, Local), ConfigError> {
    let config = Config::read(file)?;
    let local = Local::find(&config.settings.local, &vteps(&config))
        .map_err(|error: LocalError| config.underlay_error(HostError::new(error).to_string()))?;
    let rib = config.rib(local.address)?;
    // What cannot be asked is found out when it is applied.
    let ways = netlink::ways(local.address, &vteps(&config)).unwrap_or_default();
    let next = |end| ways.get(&end).map(|way| way.next);
    refuse_routed(&rib, |_| true, next).map_err(|error| config.locate(&error))?;
    Ok((config, local))
}

/// Runs a node until SIGTERM or SIGINT, listening on `socket` unless the configuration says where.
///
/// # Errors
///
/// If it cannot start; then nothing is left behind.
pub fn run(file: &Path, socket: &Path) -> Result<(), RunError> {
    let (config, local) = check(file)?;
    let chosen = choose_underlay(config.settings.underlay_driver, &local);
    raise_file_limit();
    let leads_packets = chosen.has_uplinks() || chosen.has_wire() || has_stations(&config);
    privileges::check(uses_namespaces(&config), leads_packets)?;
    let has_wire = chosen.has_wire() || chosen.has_uplinks();
    let listener = Listener::bind(config.settings.socket.as_deref().unwrap_or(socket))?;
    let routers = listen_to_routers(local.address);
    let dont_fragment = config.settings.df == Df::Set && routers.is_some();
    let (mut engine, events) = start_or_fall_back(&config, &local, chosen, dont_fragment)?;
    let echoes = echoes::listen(local.address, engine.probe_token());
    let ears = [
        (routers, routers::hear as Hear),
        (echoes.ok(), echoes::hear),
    ];
    log_networks(&engine);
    let (attachments, masquerade) = match attach_containers(&mut engine, &listener.path) {
        Ok(all) => all,
        Err(error) => {
            engine.close();
            return Err(error);
        }
    };
    let engine = Arc::new(Mutex::new(engine));
    let masquerade = Arc::new(Mutex::new(masquerade));
    let result = EventThread::spawn(Arc::clone(&engine), events)
        .map_err(|source| RunError::Step {
            step: "start a thread",
            source,
        })
        .and_then(|events| {
            let wire = follow_wire(&engine, has_wire)?;
            let reload = {
                let (engine, masquerade) = (Arc::clone(&engine), Arc::clone(&masquerade));
                let file = file.to_owned();
                move || reload(&engine, &masquerade, &file)
            };
            let served = serve(&engine, attachments, listener, ears, reload);
            if let Some(wire) = wire {
                wire.stop();
            }
            events.stop();
            served
        });
    drop(masquerade);
    engine
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .close();
    tracing::info!("stopped");
    result
}

/// Serves the containers that an earlier run attached, and leads them to the outside.
fn attach_containers(
    engine: &mut Engine,
    socket: &Path,
) -> Result<(Attachments, Masquerade), RunError> {
    let settings = engine.identity().settings.clone();
    let state = attach::state_directory(settings.state.as_deref(), socket);
    let mut attachments = Attachments::open(&state)?;
    attachments.restore(engine);
    attachments.replay(engine, socket);
    let mut masquerade = Masquerade::default();
    masquerade.follow(engine)?;
    Ok((attachments, masquerade))
}

/// Without it nobody would hear that packets are too big, so they must not be marked so that they
/// are dropped.
fn listen_to_routers(local: IpAddr) -> Option<IcmpSocket> {
    let routers = routers::listen(local);
    let warn = |error: &io::Error| {
        let effect = "outer packets are sent without DF, and path MTUs are not learned";
        tracing::warn!(%error, effect, "cannot listen to routers, which takes CAP_NET_RAW");
    };
    routers.inspect_err(warn).ok()
}

/// Follows the wire, if there is one.
fn follow_wire(
    engine: &Arc<Mutex<Engine>>,
    has_wire: bool,
) -> Result<Option<WireThread>, RunError> {
    let spawn = || WireThread::spawn(Arc::clone(engine));
    has_wire
        .then(spawn)
        .transpose()
        .map_err(|source| RunError::Step {
            step: "start a thread",
            source,
        })
}

/// Serves gRPC and signals.
fn serve(
    engine: &Arc<Mutex<Engine>>,
    attachments: Attachments,
    listener: Listener,
    ears: [(Option<IcmpSocket>, Hear); 2],
    reload: impl Fn() + Clone + Send + 'static,
) -> Result<(), RunError> {
    let step = |step| move |source| RunError::Step { step, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RPC_THREADS)
        .thread_name("ringlay-rpc")
        .enable_all()
        .build()
        .map_err(step("start the gRPC threads"))?;
    let result = runtime.block_on(async {
        let socket = listener.socket.try_clone().and_then(UnixListener::from_std);
        let incoming = UnixListenerStream::new(socket.map_err(step("listen"))?);
        let (stop, stopped) = oneshot::channel::<()>();
        let attachments = Arc::new(Mutex::new(attachments));
        let routes = service::routes(Arc::clone(engine), attachments).await;
        let server = Server::builder().add_routes(routes);
        let server = server.serve_with_incoming_shutdown(incoming, async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(server);
        let follower = tokio::spawn(follow_underlay(Arc::clone(engine)));
        let ears = ears
            .map(|(socket, hear)| socket.map(|it| tokio::spawn(it.tell(Arc::clone(engine), hear))));
        tracing::info!(socket = %listener.path.display(), "ready");
        if let Err(error) = notify::ready() {
            tracing::warn!(%error, "cannot tell the service manager");
        }
        signals(reload).await.map_err(step("listen to signals"))?;
        follower.abort();
        ears.iter().flatten().for_each(JoinHandle::abort);
        let _ = stop.send(());
        // Watchers would keep the server for ever.
        match time::timeout(DRAIN, server).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    });
    runtime.shutdown_timeout(DRAIN);
    result
}

/// Lets the engine look again whenever links, addresses or routes of the host change.
async fn follow_underlay(engine: Arc<Mutex<Engine>>) {
    let changed = Notify::new();
    let listen = async {
        loop {
            if let Err(error) = netlink::follow(&changed).await {
                tracing::warn!(error = %HostError::new(error), "listening again");
            }
            time::sleep(FOLLOW_AGAIN).await;
        }
    };
    let look = async {
        loop {
            changed.notified().await;
            let engine = Arc::clone(&engine);
            let look = move || {
                let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
                engine.underlay_changed();
            };
            // A panic in there has been reported, and changes nothing here.
            let _ = tokio::task::spawn_blocking(look).await;
        }
    };
    tokio::join!(listen, look);
}

/// Reloads at each SIGHUP; returns at SIGTERM or SIGINT.
async fn signals(reload: impl Fn() + Clone + Send + 'static) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                // A panic in there has been reported, and changes nothing here.
                let _ = tokio::task::spawn_blocking(reload.clone()).await;
            }
        }
    }
    tracing::info!("stopping");
    Ok(())
}

/// Each container takes several files; most limits are made for programs that open few.
fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::info!(soft, hard, %error, "the limit of open files stays");
    }
}

fn reload(engine: &Mutex<Engine>, masquerade: &Mutex<Masquerade>, file: &Path) {
    let mut masquerade = masquerade.lock().unwrap_or_else(PoisonError::into_inner);
    let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
    let reloaded = Config::read(file)
        .map_err(Into::into)
        .and_then(|config| engine.reload(&config));
    match reloaded {
        Ok(done) => {
            if let Err(error) = masquerade.follow(&mut engine) {
                let error = HostError::chain(&error);
                tracing::error!(
                    error,
                    "masquerade stays as it was: mend this and reload again"
                );
            }
            let changes = done.delta.iter().count();
            tracing::info!(file = %file.display(), changes, "configuration reloaded");
        }
        Err(error) => tracing::error!(%error, "configuration not reloaded: all stays as it was"),
    }
}

fn log_networks(engine: &Engine) {
    for (_, network) in engine.rib().networks() {
        if let Some((_, table)) = engine.compiler().network(&network.name) {
            let mtu_from = engine.mtu_reason(network);
            let mode = format!("routed over {}", engine.identity().underlay_driver.driver);
            tracing::info!(
                network = %network.name, key = %table.key, port = table.port, mac = %table.mac,
                mtu = engine.compiler().mtu(&network.name), mtu_from, mode, "network open"
            );
        }
    }
}

/// The remote tunnel ends of a configuration.
fn vteps(config: &Config) -> Vec<IpAddr> {
    let vtep = |object: &Object| match object {
        Object::Vtep(vtep) => Some(vtep.address),
        _ => None,
    };
    config.objects.iter().filter_map(vtep).collect()
}

fn uses_namespaces(config: &Config) -> bool {
    let elsewhere = |object: &Object| matches!(object, Object::Port(port) if port.netns.is_some());
    !config.settings.pools.is_empty() || config.objects.iter().any(elsewhere)
}

/// Whether ports are on devices that are led by XDP programs.
fn has_stations(config: &Config) -> bool {
    let led =
        |object: &Object| matches!(object, Object::Port(port) if port.kind == PortKind::AfXdp);
    config.objects.iter().any(led)
}
