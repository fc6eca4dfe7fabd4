//! `NetworkService`.

use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, parse, view};
use crate::{
    object::Key,
    proto::{
        ApplyNetworkRequest, ApplyNetworkResponse, DeleteNetworkRequest, DeleteNetworkResponse,
        GetNetworkRequest, GetNetworkResponse, ListNetworksRequest, ListNetworksResponse,
        network_service_server::NetworkService,
    },
};

#[async_trait]
impl NetworkService for Backend {
    async fn get_network(
        &self,
        request: Request<GetNetworkRequest>,
    ) -> Result<Response<GetNetworkResponse>, Status> {
        let key = Key::Network(parse::network_key(request.into_inner().key)?);
        self.read(move |engine| {
            let (source, it) = view::find(engine, key)?;
            let instance = view::instance(engine);
            Ok(Response::new(GetNetworkResponse {
                instance,
                network: Some(view::network(engine, source, &it)),
            }))
        })
        .await?
    }

    async fn list_networks(
        &self,
        request: Request<ListNetworksRequest>,
    ) -> Result<Response<ListNetworksResponse>, Status> {
        let request = request.into_inner();
        self.read(move |engine| {
            let all = view::list(engine, request.all_sources, engine.rib().networks());
            let networks = all
                .into_iter()
                .map(|(source, it)| view::network(engine, source, &it))
                .collect();
            Ok(Response::new(ListNetworksResponse {
                instance: view::instance(engine),
                networks,
            }))
        })
        .await?
    }

    async fn apply_network(
        &self,
        request: Request<ApplyNetworkRequest>,
    ) -> Result<Response<ApplyNetworkResponse>, Status> {
        let request = request.into_inner();
        let (source, network) = parse::network(request.network)?;
        let instance = self.apply(source, network, request.exist_ok).await?;
        Ok(Response::new(ApplyNetworkResponse { instance }))
    }

    async fn delete_network(
        &self,
        request: Request<DeleteNetworkRequest>,
    ) -> Result<Response<DeleteNetworkResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let key = Key::Network(parse::network_key(request.key)?);
        let instance = self.delete(source, key, request.missing_ok).await?;
        Ok(Response::new(DeleteNetworkResponse { instance }))
    }
}
