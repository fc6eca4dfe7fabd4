//! `NodeService`.

use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, view};
use crate::proto::{
    GetNodeRequest, GetNodeResponse, Node, Worker, node_service_server::NodeService,
};

#[async_trait]
impl NodeService for Backend {
    async fn get_node(
        &self,
        _request: Request<GetNodeRequest>,
    ) -> Result<Response<GetNodeResponse>, Status> {
        self.read(|engine| {
            let identity = engine.identity();
            let driver = engine.host().driver();
            let workers = identity.workers.iter().zip(0..);
            let node = Node {
                name: identity.name.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                uptime_seconds: identity.started.elapsed().as_secs(),
                driver: driver.kind.to_string(),
                driver_reason: driver.reason,
                workers: workers
                    .map(|(cpu, id)| Worker {
                        id,
                        cpu: cpu.map(|cpu| cpu as u32),
                    })
                    .collect(),
                underlay: engine.rib().local().to_string(),
                underlay_driver: identity.underlay_driver.driver.to_string(),
                underlay_driver_reason: identity.underlay_driver.reason.clone(),
                underlay_mode: engine.host().underlay_mode().unwrap_or_default(),
                warnings: engine
                    .all_warnings()
                    .map(|(network, text)| format!("network {network}: {text}"))
                    .collect(),
            };
            Response::new(GetNodeResponse {
                instance: view::instance(engine),
                node: Some(node),
            })
        })
        .await
    }
}
