//! `PortService`.

use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, parse, view};
use crate::{
    object::Key,
    proto::{
        ApplyPortRequest, ApplyPortResponse, DeletePortRequest, DeletePortResponse, GetPortRequest,
        GetPortResponse, ListPortsRequest, ListPortsResponse, port_service_server::PortService,
    },
};

#[async_trait]
impl PortService for Backend {
    async fn get_port(
        &self,
        request: Request<GetPortRequest>,
    ) -> Result<Response<GetPortResponse>, Status> {
        let key = Key::Port(parse::port_key(request.into_inner().key)?);
        self.read(move |engine| {
            let (source, it) = view::find(engine, key)?;
            let instance = view::instance(engine);
            Ok(Response::new(GetPortResponse {
                instance,
                port: Some(view::port(engine, source, &it)),
            }))
        })
        .await?
    }

    async fn list_ports(
        &self,
        request: Request<ListPortsRequest>,
    ) -> Result<Response<ListPortsResponse>, Status> {
        let request = request.into_inner();
        let network = parse::network_filter(&request.network)?;
        self.read(move |engine| {
            let network = network.as_ref();
            let all = view::list(engine, request.all_sources, engine.rib().ports());
            let ports = all
                .into_iter()
                .filter(|(_, it)| network.is_none_or(|network| it.network == *network))
                .map(|(source, it)| view::port(engine, source, &it))
                .collect();
            Ok(Response::new(ListPortsResponse {
                instance: view::instance(engine),
                ports,
            }))
        })
        .await?
    }

    async fn apply_port(
        &self,
        request: Request<ApplyPortRequest>,
    ) -> Result<Response<ApplyPortResponse>, Status> {
        let request = request.into_inner();
        let (source, port) = parse::port(request.port)?;
        let instance = self.apply(source, port, request.exist_ok).await?;
        Ok(Response::new(ApplyPortResponse { instance }))
    }

    async fn delete_port(
        &self,
        request: Request<DeletePortRequest>,
    ) -> Result<Response<DeletePortResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let key = Key::Port(parse::port_key(request.key)?);
        let instance = self.delete(source, key, request.missing_ok).await?;
        Ok(Response::new(DeletePortResponse { instance }))
    }
}
