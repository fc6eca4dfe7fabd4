//! Looks at a node's counters, once or again and again.

use std::path::Path;

use clap::Args;
use serde_json::Value;

use super::{
    failure::Failure,
    print::{print, print_json},
    session::session,
};
use crate::proto::{
    GetStatsRequest, Stats, WatchStatsRequest, stats_service_client::StatsServiceClient,
};

/// How often to look.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Print again every so many seconds, 1 unless given, until interrupted.
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "1")]
    watch: Option<f32>,
}

impl WatchArgs {
    /// Prints what was seen: as JSON, one line each time if it is looked at again, or as a text, with
    /// an empty line behind it then.
    pub(super) fn print(
        &self,
        json: bool,
        value: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match (json, self.watch.is_some()) {
            (true, false) => print_json(&value()),
            (true, true) => print(&format!("{}\n", value())),
            (false, false) => print(&text()),
            (false, true) => print(&format!("{}\n", text())),
        }
    }

    /// Shows the counters, each time.
    pub(super) fn each(
        &self,
        socket: &Path,
        show: impl FnMut(&Stats) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.watch {
            None => once(socket, show),
            Some(seconds) if seconds.is_finite() && seconds > 0.0 => watch(seconds, socket, show),
            Some(_) => Err(Failure::usage(
                "--watch: give a number of seconds above zero",
            )),
        }
    }
}

fn once(socket: &Path, mut show: impl FnMut(&Stats) -> Result<(), Failure>) -> Result<(), Failure> {
    let reply = session(socket, async |channel| {
        Ok(StatsServiceClient::new(channel)
            .get_stats(GetStatsRequest {})
            .await?
            .into_inner())
    })?;
    show(&reply.stats.unwrap_or_default())
}

fn watch(
    seconds: f32,
    socket: &Path,
    mut show: impl FnMut(&Stats) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let interval_ms = (seconds * 1000.0) as u32; // saturates
    session(socket, async |channel| {
        let request = WatchStatsRequest {
            interval_ms: interval_ms.max(1),
        };
        let mut client = StatsServiceClient::new(channel);
        let mut replies = client.watch_stats(request).await?.into_inner();
        while let Some(reply) = replies.message().await? {
            show(&reply.stats.unwrap_or_default())?;
        }
        Ok(())
    })
}
