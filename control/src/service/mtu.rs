//! `MtuService`.

use std::net::IpAddr;

use tonic::{Code, Request, Response, Status, async_trait};

use super::{
    backend::Backend,
    status::{internal, invalid, status},
    view,
};
use crate::{
    app::{CannotProbe, PeerMtu},
    proto::{
        self, ListMtusRequest, ListMtusResponse, ProbeMtuRequest, ProbeMtuResponse,
        mtu_service_server::MtuService,
    },
};

#[async_trait]
impl MtuService for Backend {
    async fn list_mtus(
        &self,
        request: Request<ListMtusRequest>,
    ) -> Result<Response<ListMtusResponse>, Status> {
        let network = request.into_inner().network;
        self.read(move |engine| {
            let peers = engine.peer_mtus();
            let wanted = |peer: &PeerMtu| network.is_empty() || peer.network.as_str() == network;
            Response::new(ListMtusResponse {
                instance: view::instance(engine),
                mtus: peers.filter(wanted).map(|peer| show(&peer)).collect(),
            })
        })
        .await
    }

    async fn probe_mtu(
        &self,
        request: Request<ProbeMtuRequest>,
    ) -> Result<Response<ProbeMtuResponse>, Status> {
        let text = request.into_inner().vtep;
        let end: IpAddr = text
            .parse()
            .map_err(|_| invalid("vtep", format!("{text:?} is no IP address")))?;
        let answer = self.read(move |engine| engine.probe(end)).await?;
        let answer = answer.map_err(|error| cannot_probe(&error))?;
        let reached = answer.await.map_err(internal)?;
        self.read(move |engine| {
            let peers = engine.peer_mtus().filter(|peer| peer.vtep == end);
            Response::new(ProbeMtuResponse {
                instance: view::instance(engine),
                reached: reached.map(u32::from),
                mtus: peers.map(|peer| show(&peer)).collect(),
            })
        })
        .await
    }
}

fn cannot_probe(error: &CannotProbe) -> Status {
    let code = match error {
        CannotProbe::Unknown(_) => Code::NotFound,
        CannotProbe::NoTarget(_) | CannotProbe::Plain(_) => Code::FailedPrecondition,
    };
    status(
        code,
        error,
        "vtep",
        "CANNOT_PROBE",
        "see `ringlay vtep list`",
    )
}

fn show(peer: &PeerMtu) -> proto::PeerMtu {
    proto::PeerMtu {
        network: peer.network.to_string(),
        vtep: peer.vtep.to_string(),
        mtu: peer.mtu.into(),
        outer: peer.outer.into(),
        overhead: peer.overhead.into(),
        origin: peer.origin.name().to_owned(),
        reason: peer.to_string(),
        router: peer
            .origin
            .router()
            .map(|it| it.to_string())
            .unwrap_or_default(),
        expires_seconds: peer.expires.map(|it| it.as_secs()),
        probes: peer.probed.name().to_owned(),
    }
}
