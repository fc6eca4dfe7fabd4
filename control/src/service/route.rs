//! `RouteService`.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{backend::Backend, listing::Listing, load, parse, view};
use crate::{
    object::Key,
    proto::{
        ApplyRouteRequest, ApplyRouteResponse, DeleteRouteRequest, DeleteRouteResponse,
        GetRouteRequest, GetRouteResponse, ListRoutesRequest, ListRoutesResponse,
        LoadRoutesRequest, LoadRoutesResponse, route_service_server::RouteService,
    },
};

/// Messages that may wait for a slow client.
const PIECES_AHEAD: usize = 4;

#[async_trait]
impl RouteService for Backend {
    async fn get_route(
        &self,
        request: Request<GetRouteRequest>,
    ) -> Result<Response<GetRouteResponse>, Status> {
        let key = Key::Route(parse::route_key(request.into_inner().key)?);
        self.read(move |engine| {
            let (source, it) = view::find(engine, key)?;
            let instance = view::instance(engine);
            Ok(Response::new(GetRouteResponse {
                instance,
                route: Some(view::route(source, &it)),
            }))
        })
        .await?
    }

    type ListRoutesStream = ReceiverStream<Result<ListRoutesResponse, Status>>;

    async fn list_routes(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<Self::ListRoutesStream>, Status> {
        let listing = Listing::new(&request.into_inner())?;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(listing.send(self.clone(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type LoadRoutesStream = ReceiverStream<Result<LoadRoutesResponse, Status>>;

    async fn load_routes(
        &self,
        request: Request<Streaming<LoadRoutesRequest>>,
    ) -> Result<Response<Self::LoadRoutesStream>, Status> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(load::serve(self.clone(), request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
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
