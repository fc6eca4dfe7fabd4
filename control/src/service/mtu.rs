//! `MtuService`.

use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, view};
use crate::{
    app::PeerMtu,
    proto::{self, ListMtusRequest, ListMtusResponse, mtu_service_server::MtuService},
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
    }
}
