//! Starts workers on the underlay driver that was chosen, and brings the configured objects into being.

use std::{fs, sync::Arc, time::Instant};

use crossbeam::channel::Receiver;
use ringlay_dataplane::{
    driver::probe::DriverChoice,
    event::Event,
    runtime::{PollMode, Runtime, RuntimeConfig},
    sys::affinity,
};

use super::{
    chosen::{Chosen, Facts},
    daemon::RunError,
    engine::{Engine, Identity},
    error::ChangeError,
    facts,
    linux::{Linux, Uplinks},
    underlay::Local,
    wire::Wire,
};
use crate::{
    compile::Environment,
    config::{Config, Driver, Poll, UnderlayDriver, Workers},
    mtu::Paths,
    object::Source,
};

/// Looks at the host only if that can matter.
pub(super) fn choose_underlay(setting: UnderlayDriver, local: &Local) -> Chosen {
    if matches!(setting, UnderlayDriver::Udp | UnderlayDriver::AfXdp) {
        return Chosen::as_configured(setting);
    }
    Chosen::explained(
        setting,
        &Facts::gather(local.address, &local.links),
        &facts::wires(),
    )
}

/// Starts on the chosen underlay driver or, if that is not what the configuration names and fails,
/// on UDP sockets alone.
pub(super) fn start_or_fall_back(
    config: &Config,
    local: &Local,
    chosen: Chosen,
    dont_fragment: bool,
) -> Result<(Engine, Receiver<Event>), RunError> {
    let error = match start(config, local, chosen, dont_fragment) {
        Err(error) if config.settings.underlay_driver == UnderlayDriver::Auto => error,
        done => return done,
    };
    let Some(failure) = error.no_uplink() else {
        return Err(error);
    };
    let chosen = Chosen::after(failure);
    tracing::warn!(reason = chosen.reason, "starting again on udp");
    start(config, local, chosen, dont_fragment)
}

/// Starts the workers and brings the configured objects into being.
fn start(
    config: &Config,
    local: &Local,
    chosen: Chosen,
    dont_fragment: bool,
) -> Result<(Engine, Receiver<Event>), RunError> {
    let workers = workers(&config.settings.workers);
    let runtime = Runtime::start(runtime_config(config, workers.clone()))?;
    let driver = runtime.driver();
    tracing::info!(driver = %driver.kind, reason = driver.reason, ?workers, "workers run");
    let events = runtime.events();
    tracing::info!(driver = %chosen.driver, reason = chosen.reason, "underlay");
    let uplinks = match chosen.driver {
        UnderlayDriver::TunnelGso => Uplinks::Cutting(local.link().index),
        UnderlayDriver::AfXdp => Uplinks::Wire(Wire::new(
            local.link().name.clone(),
            local.address,
            config.settings.zero_copy,
        )),
        UnderlayDriver::Auto | UnderlayDriver::Udp => Uplinks::None,
    };
    let host = Linux::new(runtime, uplinks, dont_fragment);
    let environment = Environment {
        local: local.address,
        mtu: local.way.mtu(),
        dont_fragment,
        accept_unknown_vteps: config.settings.accept_unknown_vteps,
        uplink: chosen.has_uplinks(),
    };
    let mut engine = engine(config, local, environment, workers, chosen, host);
    engine.measure_stages(config.settings.stages);
    let started = engine.apply_snapshot(Source::Static, 0, config.objects.clone());
    match started {
        Ok(_) => Ok((engine, events)),
        Err(error) => {
            engine.close();
            Err(match error {
                ChangeError::Apply(error) => config.locate(&error).into(),
                other => other.into(),
            })
        }
    }
}

/// An engine without objects, as the settings want it.
fn engine(
    config: &Config,
    local: &Local,
    environment: Environment,
    workers: Vec<Option<usize>>,
    underlay_driver: Chosen,
    host: Linux,
) -> Engine {
    let settings = config.settings.clone();
    let identity = Identity {
        uuid: random_uuid(),
        name: settings.name.clone().unwrap_or_else(host_name),
        settings,
        underlay_driver,
        workers,
        started: Instant::now(),
    };
    tracing::info!(
        node = identity.name,
        instance = identity.uuid,
        "node starts"
    );
    let paths = Paths::new(local.way.clone());
    Engine::new(identity, environment, paths, Arc::new(host))
}

/// The CPU of each worker.
fn workers(setting: &Workers) -> Vec<Option<usize>> {
    let allowed = affinity::allowed_cpus();
    match setting {
        Workers::Auto => allowed.into_iter().map(Some).collect(),
        Workers::Count(count) => {
            let pinned = allowed.into_iter().map(Some);
            // Workers beyond the CPUs go wherever there is room.
            pinned
                .chain(std::iter::repeat(None))
                .take((*count).into())
                .collect()
        }
        Workers::Cpus(cpus) => cpus.iter().copied().map(Some).collect(),
    }
}

/// The dataplane's word for a setting.
pub(crate) fn driver_choice(setting: Driver) -> DriverChoice {
    match setting {
        Driver::Auto => DriverChoice::Auto,
        Driver::IoUring => DriverChoice::IoUring,
        Driver::Epoll => DriverChoice::Epoll,
    }
}

fn runtime_config(config: &Config, workers: Vec<Option<usize>>) -> RuntimeConfig {
    let settings = &config.settings;
    RuntimeConfig {
        workers,
        driver: driver_choice(settings.driver),
        poll: match settings.poll {
            Poll::Adaptive { spin } => PollMode::Adaptive { spin },
            Poll::Busy => PollMode::Busy,
            Poll::Interrupt => PollMode::Interrupt,
        },
        ..RuntimeConfig::default()
    }
}

fn random_uuid() -> String {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid");
    // Without /proc, what differs from one start to the next.
    let fallback = |_| format!("{}-{:?}", std::process::id(), std::time::SystemTime::now());
    uuid.map(|uuid| uuid.trim().to_owned())
        .unwrap_or_else(fallback)
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
