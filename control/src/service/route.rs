//! `RouteService`.

use tokio_stream::Iter;
use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, parse, status::not_found, view};
use crate::{
    object::{Key, Route},
    proto::{
        ApplyRouteRequest, ApplyRouteResponse, DeleteRouteRequest, DeleteRouteResponse,
        GetRouteRequest, GetRouteResponse, ListRoutesRequest, ListRoutesResponse,
        route_service_server::RouteService,
    },
};

/// Well below the usual limit of 4 MiB a message.
const ROUTES_PER_PIECE: usize = 4096;

#[async_trait]
impl RouteService for Backend {
    async fn get_route(
        &self,
        request: Request<GetRouteRequest>,
    ) -> Result<Response<GetRouteResponse>, Status> {
        let key = Key::Route(parse::route_key(request.into_inner().key)?);
        self.read(move |engine| {
            let Some((source, crate::object::Object::Route(it))) = engine.rib().entry(&key) else {
                return Err(not_found(&key));
            };
            let instance = view::instance(engine);
            Ok(Response::new(GetRouteResponse {
                instance,
                route: Some(view::route(source, &it)),
            }))
        })
        .await?
    }

    type ListRoutesStream = Iter<std::vec::IntoIter<Result<ListRoutesResponse, Status>>>;

    async fn list_routes(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<Self::ListRoutesStream>, Status> {
        let request = request.into_inner();
        let network = parse::network_filter(&request.network)?;
        self.read(move |engine| {
            let in_force = engine.rib().routes();
            let all: Vec<(_, Route)> = view::list(engine, request.all_sources, in_force);
            let instance = view::instance(engine);
            let routes: Vec<_> = all
                .into_iter()
                .filter(|(_, it)| {
                    network
                        .as_ref()
                        .is_none_or(|network| it.network == *network)
                })
                .map(|(source, it)| view::route(source, &it))
                .collect();
            let mut pieces: Vec<_> = routes
                .chunks(ROUTES_PER_PIECE)
                .map(|piece| (instance.clone(), piece.to_vec()))
                .collect();
            if pieces.is_empty() {
                // The instance is told even when there is no route.
                pieces.push((instance, Vec::new()));
            }
            let replies: Vec<_> = pieces
                .into_iter()
                .map(|(instance, routes)| Ok(ListRoutesResponse { instance, routes }))
                .collect();
            Ok(Response::new(tokio_stream::iter(replies)))
        })
        .await?
    }

    async fn apply_route(
        &self,
        request: Request<ApplyRouteRequest>,
    ) -> Result<Response<ApplyRouteResponse>, Status> {
        let request = request.into_inner();
        let (source, route) = parse::route(request.route)?;
        let instance = self.apply(source, route, request.exist_ok).await?;
        Ok(Response::new(ApplyRouteResponse { instance }))
    }

    async fn delete_route(
        &self,
        request: Request<DeleteRouteRequest>,
    ) -> Result<Response<DeleteRouteResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let key = Key::Route(parse::route_key(request.key)?);
        let instance = self.delete(source, key, request.missing_ok).await?;
        Ok(Response::new(DeleteRouteResponse { instance }))
    }
}
