//! `NeighbourService`.

use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, parse, view};
use crate::{
    object::Key,
    proto::{
        ApplyNeighbourRequest, ApplyNeighbourResponse, DeleteNeighbourRequest,
        DeleteNeighbourResponse, GetNeighbourRequest, GetNeighbourResponse, ListNeighboursRequest,
        ListNeighboursResponse, neighbour_service_server::NeighbourService,
    },
};

#[async_trait]
impl NeighbourService for Backend {
    async fn get_neighbour(
        &self,
        request: Request<GetNeighbourRequest>,
    ) -> Result<Response<GetNeighbourResponse>, Status> {
        let key = Key::Neighbour(parse::neighbour_key(request.into_inner().key)?);
        self.read(move |engine| {
            let (source, it) = view::find(engine, key)?;
            let instance = view::instance(engine);
            Ok(Response::new(GetNeighbourResponse {
                instance,
                neighbour: Some(view::neighbour(source, &it)),
            }))
        })
        .await?
    }

    async fn list_neighbours(
        &self,
        request: Request<ListNeighboursRequest>,
    ) -> Result<Response<ListNeighboursResponse>, Status> {
        let request = request.into_inner();
        let network = parse::network_filter(&request.network)?;
        self.read(move |engine| {
            let network = network.as_ref();
            let all = view::list(engine, request.all_sources, engine.rib().neighbours());
            let mut neighbours: Vec<_> = all
                .into_iter()
                .filter(|(_, it)| network.is_none_or(|network| it.network == *network))
                .map(|(source, it)| view::neighbour(source, &it))
                .collect();
            for (_, it) in engine.rib().networks() {
                if network.is_none_or(|network| it.name == *network) {
                    neighbours.extend(view::learned(engine, &it.name));
                }
            }
            Ok(Response::new(ListNeighboursResponse {
                instance: view::instance(engine),
                neighbours,
            }))
        })
        .await?
    }

    async fn apply_neighbour(
        &self,
        request: Request<ApplyNeighbourRequest>,
    ) -> Result<Response<ApplyNeighbourResponse>, Status> {
        let request = request.into_inner();
        let (source, neighbour) = parse::neighbour(request.neighbour)?;
        let instance = self.apply(source, neighbour, request.exist_ok).await?;
        Ok(Response::new(ApplyNeighbourResponse { instance }))
    }

    async fn delete_neighbour(
        &self,
        request: Request<DeleteNeighbourRequest>,
    ) -> Result<Response<DeleteNeighbourResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let key = Key::Neighbour(parse::neighbour_key(request.key)?);
        let instance = self.delete(source, key, request.missing_ok).await?;
        Ok(Response::new(DeleteNeighbourResponse { instance }))
    }
}
