//! From raw values to the daemon's settings. Converts no object.

use std::time::Duration;

use ringlay_dataplane::runtime::PollMode;
use toml::{Spanned, Value};

use super::{
    Df, Driver, Local, Poll, Settings, UnderlayDriver, Workers, duration,
    error::Fault,
    places::Places,
    raw::{self, At},
    value::{Fields, absolute, parse, word},
};
use crate::object::{Name, ZeroCopy};

/// Whoever wants more never wants to sleep: that is what `busy` is for.
const SPIN_MAX: Duration = Duration::from_secs(1);

/// How often paths are probed: often enough that nobody goes looking for a black hole.
const PROBE_DEFAULT: Duration = Duration::from_secs(60);

/// A search takes some seconds.
const PROBE_MIN: Duration = Duration::from_secs(1);

/// More workers than any machine has CPUs to give.
const WORKERS_MAX: u16 = 1024;

pub(super) fn settings(
    node: raw::Node,
    dataplane: raw::Dataplane,
    underlay: Option<Spanned<raw::Underlay>>,
    places: &mut Places,
) -> Result<Settings, Fault> {
    let drivers = [Driver::Auto, Driver::IoUring, Driver::Epoll];
    let driver = word(&dataplane.driver, &drivers)?;
    let poll = poll(&dataplane.poll, dataplane.spin)?;
    let stages = dataplane.stages;
    let workers = dataplane
        .workers
        .map_or(Ok(Workers::Auto), |value| workers(&value))?;
    let Some(underlay) = underlay else {
        let problem = "missing; add [underlay] with address or device, where the tunnels end";
        return Err(Fault::new(0..0, problem).with_key("underlay"));
    };
    let underlay_drivers = [
        UnderlayDriver::Auto,
        UnderlayDriver::Udp,
        UnderlayDriver::TunnelGso,
        UnderlayDriver::AfXdp,
    ];
    let underlay_driver = word(&underlay.get_ref().driver, &underlay_drivers)?;
    let zero_copy = wire_zero_copy(underlay.get_ref(), underlay_driver)?;
    let df = word(&underlay.get_ref().df, &[Df::Set, Df::Clear])?;
    let probe = probe(&underlay.get_ref().probe)?;
    let accept_unknown_vteps = underlay.get_ref().accept_unknown_vteps.unwrap_or(false);
    Ok(Settings {
        name: node
            .name
            .map(|name| parse::<Name>(&name))
            .transpose()?
            .map(|it| it.to_string()),
        socket: node.socket.map(|socket| absolute(&socket)).transpose()?,
        state: node.state.map(|state| absolute(&state)).transpose()?,
        pools: Vec::new(),
        workers,
        driver,
        poll,
        stages,
        local: local(underlay, places)?,
        underlay_driver,
        zero_copy,
        df,
        probe,
        accept_unknown_vteps,
    })
}

/// Whether to copy on the underlay's device.
fn wire_zero_copy(underlay: &raw::Underlay, driver: UnderlayDriver) -> Result<ZeroCopy, Fault> {
    let setting = word(&underlay.zero_copy, &ZeroCopy::ALL)?;
    match &underlay.zero_copy {
        Some(value) if driver != UnderlayDriver::AfXdp => {
            let problem = format!(
                "is of no use with driver = \"{driver}\"; remove it, or use driver = \"af_xdp\""
            );
            Err(Fault::new(value.span(), problem))
        }
        _ => Ok(setting),
    }
}

fn poll(word_at: &At<String>, spin: At<Value>) -> Result<Poll, Fault> {
    let adaptive = Poll::Adaptive {
        spin: PollMode::SPIN,
    };
    let poll = word(word_at, &[adaptive, Poll::Busy, Poll::Interrupt])?;
    let Some(spin) = spin else { return Ok(poll) };
    if poll != adaptive {
        let problem =
            format!("is of no use with poll = \"{poll}\"; remove it, or use poll = \"adaptive\"");
        return Err(Fault::new(spin.span(), problem));
    }
    let understood = spin.get_ref().as_str().and_then(duration::parse);
    let spin = understood.filter(|spin| *spin <= SPIN_MAX).ok_or_else(|| {
        let problem = format!(
            "{} is not understood; use a duration up to \"1s\" such as \"50us\", or \"0\"",
            spin.get_ref()
        );
        Fault::new(spin.span(), problem)
    })?;
    Ok(Poll::Adaptive { spin })
}

fn probe(value: &At<String>) -> Result<Option<Duration>, Fault> {
    let Some(value) = value else {
        return Ok(Some(PROBE_DEFAULT));
    };
    if value.get_ref() == "off" {
        return Ok(None);
    }
    let interval = duration::parse(value.get_ref());
    let interval = interval.filter(|interval| *interval >= PROBE_MIN);
    interval.map(Some).ok_or_else(|| {
        let problem = format!(
            "{:?} is not understood; use \"off\", or a duration from \"1s\" on such as \"60s\"",
            value.get_ref()
        );
        Fault::new(value.span(), problem)
    })
}

fn local(underlay: Spanned<raw::Underlay>, places: &mut Places) -> Result<Local, Fault> {
    let mut fields = Fields::new(underlay.span());
    let raw = underlay.into_inner();
    match (raw.address, raw.device) {
        (Some(address), None) => {
            places.underlay = address.span();
            Ok(Local::Address(fields.address("address", Some(address))?))
        }
        (None, Some(device)) => {
            places.underlay = device.span();
            Ok(Local::Device(fields.text("device", Some(device))?))
        }
        (None, None) => {
            let problem = "needs address or device, where the tunnels end";
            Err(Fault::new(fields.place.whole, problem))
        }
        (Some(_), Some(device)) => {
            let problem = "address is given too; keep one of them";
            Err(Fault::new(device.span(), problem))
        }
    }
}

fn workers(value: &Spanned<Value>) -> Result<Workers, Fault> {
    let cpu = |value: &Value| value.as_integer().and_then(|cpu| usize::try_from(cpu).ok());
    let understood = match value.get_ref() {
        Value::String(text) if text == "auto" => Some(Workers::Auto),
        Value::Integer(count) => u16::try_from(*count)
            .ok()
            .filter(|count| (1..=WORKERS_MAX).contains(count))
            .map(Workers::Count),
        Value::Array(cpus) if !cpus.is_empty() => cpus
            .iter()
            .map(cpu)
            .collect::<Option<Vec<_>>>()
            .map(Workers::Cpus),
        _ => None,
    };
    understood.ok_or_else(|| {
        let problem = format!(
            "{} is not understood; use \"auto\", a count such as 2, or a list of CPUs such as [0, 1]",
            value.get_ref()
        );
        Fault::new(value.span(), problem)
    })
}
