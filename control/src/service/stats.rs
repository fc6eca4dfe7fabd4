//! `StatsService`.

use std::{collections::BTreeMap, time::Duration};

use ringlay_dataplane::{drop_reason::DropReason, stats};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, view};
use crate::{
    app::Engine,
    proto::{
        DropCount, GetStatsRequest, GetStatsResponse, Measurement, Missed, PortStats, QueueStats,
        SetStagesRequest, SetStagesResponse, StageStats, Stats, UnderlayStats, WatchStatsRequest,
        WatchStatsResponse, WorkerStats, stats_service_server::StatsService,
    },
};

const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
/// What the AF_XDP sockets of all endpoints are called among these.
const WIRE: &str = "af_xdp";
const INTERVAL_MIN: Duration = Duration::from_millis(100);

#[async_trait]
impl StatsService for Backend {
    async fn get_stats(
        &self,
        _request: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        self.read(|engine| {
            let (instance, stats) = (view::instance(engine), Some(show(engine)));
            Response::new(GetStatsResponse { instance, stats })
        })
        .await
    }

    async fn set_stages(
        &self,
        request: Request<SetStagesRequest>,
    ) -> Result<Response<SetStagesResponse>, Status> {
        let on = request.into_inner().on;
        self.read(move |engine| {
            engine.measure_stages(on);
            let instance = view::instance(engine);
            Response::new(SetStagesResponse { instance })
        })
        .await
    }

    type WatchStatsStream = ReceiverStream<Result<WatchStatsResponse, Status>>;

    async fn watch_stats(
        &self,
        request: Request<WatchStatsRequest>,
    ) -> Result<Response<Self::WatchStatsStream>, Status> {
        let interval = match request.into_inner().interval_ms {
            0 => INTERVAL_DEFAULT,
            millis => Duration::from_millis(millis.into()).max(INTERVAL_MIN),
        };
        let backend = self.clone();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut ticks = time::interval(interval);
            loop {
                ticks.tick().await;
                let reply = backend.read(|engine| {
                    let (instance, stats) = (view::instance(engine), Some(show(engine)));
                    WatchStatsResponse { instance, stats }
                });
                if sender.send(reply.await).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

fn show(engine: &mut Engine) -> Stats {
    let stats = engine.host().stats();
    let port_names: BTreeMap<_, _> = engine
        .compiler()
        .ports()
        .map(|(name, id)| (id, name.to_string()))
        .collect();
    let wire = stats.wire.map(|sum| UnderlayStats {
        local: WIRE.to_owned(),
        queues: Some(queues(sum)),
    });
    let locals = engine.underlays();
    Stats {
        drops: DropReason::ALL
            .iter()
            .map(|reason| total(&stats, *reason))
            .collect(),
        workers: stats
            .workers
            .into_iter()
            .map(|it| worker(it, stats.measured.is_some()))
            .collect(),
        ports: stats
            .ports
            .into_iter()
            .filter_map(|(id, sum)| {
                let name = port_names.get(&id)?.clone();
                Some(PortStats {
                    name,
                    queues: Some(queues(sum)),
                })
            })
            .collect(),
        underlays: stats
            .underlays
            .into_iter()
            .filter_map(|(id, sum)| {
                let local = locals.get(&id)?.to_string();
                Some(UnderlayStats {
                    local,
                    queues: Some(queues(sum)),
                })
            })
            .chain(wire)
            .collect(),
        stages: stats.measured.map(|measured| Measurement {
            running: measured.running,
            seconds: measured.duration.as_secs_f64(),
            hertz: measured.hertz,
        }),
    }
}

fn total(stats: &stats::Stats, reason: DropReason) -> DropCount {
    let drops = stats.workers.iter().flat_map(|worker| &worker.drops);
    let frames = drops
        .filter(|(other, _)| *other == reason)
        .map(|(_, frames)| frames)
        .sum();
    DropCount {
        reason: reason.name().to_owned(),
        frames,
    }
}

fn worker(stats: stats::WorkerStats, measured: bool) -> WorkerStats {
    let drops = stats.drops.into_iter().filter(|(_, frames)| *frames > 0);
    let stages = stats.stages.into_iter().filter(|_| measured);
    WorkerStats {
        id: stats.id.0.into(),
        cpu: stats.cpu.map(|cpu| cpu as u32),
        received: stats.received,
        sent: stats.sent,
        originated: stats.originated,
        consumed: stats.consumed,
        segmented: stats.segmented,
        flooded: stats.flooded,
        fragmented: stats.fragmented,
        coalesced: stats.coalesced,
        held: stats.held,
        icmp_limited: stats.icmp_limited,
        events_lost: stats.events_lost,
        batches: stats.batches,
        waits: stats.waits,
        syscalls: stats.syscalls,
        drops: drops
            .map(|(reason, frames)| DropCount {
                reason: reason.name().to_owned(),
                frames,
            })
            .collect(),
        stages: stages
            .map(|(stage, stats)| StageStats {
                name: stage.name().to_owned(),
                calls: stats.calls,
                frames: stats.frames,
                cycles: stats.cycles,
                work: stage.is_work(),
            })
            .collect(),
    }
}

fn queues(stats: stats::QueueStats) -> QueueStats {
    QueueStats {
        rx_frames: stats.rx_frames,
        rx_bytes: stats.rx_bytes,
        tx_frames: stats.tx_frames,
        tx_bytes: stats.tx_bytes,
        missed: stats.missed.map(missed),
    }
}

fn missed(stats: stats::MissedStats) -> Missed {
    Missed {
        ring_full: stats.ring_full,
        no_slot: stats.no_slot,
        too_long: stats.too_long,
        invalid: stats.invalid,
    }
}
