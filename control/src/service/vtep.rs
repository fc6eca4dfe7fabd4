//! `VtepService`.

use tonic::{Request, Response, Status, async_trait};

use super::{backend::Backend, parse, view};
use crate::{
    object::Key,
    proto::{
        ApplyVtepRequest, ApplyVtepResponse, DeleteVtepRequest, DeleteVtepResponse, GetVtepRequest,
        GetVtepResponse, ListVtepsRequest, ListVtepsResponse, vtep_service_server::VtepService,
    },
};

#[async_trait]
impl VtepService for Backend {
    async fn get_vtep(
        &self,
        request: Request<GetVtepRequest>,
    ) -> Result<Response<GetVtepResponse>, Status> {
        let key = Key::Vtep(parse::vtep_key(request.into_inner().key)?);
        self.read(move |engine| {
            let (source, it) = view::find(engine, key)?;
            let instance = view::instance(engine);
            Ok(Response::new(GetVtepResponse {
                instance,
                vtep: Some(view::vtep(engine, source, &it)),
            }))
        })
        .await?
    }

    async fn list_vteps(
        &self,
        request: Request<ListVtepsRequest>,
    ) -> Result<Response<ListVtepsResponse>, Status> {
        let request = request.into_inner();
        let network = parse::network_filter(&request.network)?;
        self.read(move |engine| {
            let network = network.as_ref();
            let all = view::list(engine, request.all_sources, engine.rib().vteps());
            let vteps = all
                .into_iter()
                .filter(|(_, it)| network.is_none_or(|network| it.network == *network))
                .map(|(source, it)| view::vtep(engine, source, &it))
                .collect();
            Ok(Response::new(ListVtepsResponse {
                instance: view::instance(engine),
                vteps,
            }))
        })
        .await?
    }

    async fn apply_vtep(
        &self,
        request: Request<ApplyVtepRequest>,
    ) -> Result<Response<ApplyVtepResponse>, Status> {
        let request = request.into_inner();
        let (source, vtep) = parse::vtep(request.vtep)?;
        let instance = self.apply(source, vtep, request.exist_ok).await?;
        Ok(Response::new(ApplyVtepResponse { instance }))
    }

    async fn delete_vtep(
        &self,
        request: Request<DeleteVtepRequest>,
    ) -> Result<Response<DeleteVtepResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let key = Key::Vtep(parse::vtep_key(request.key)?);
        let instance = self.delete(source, key, request.missing_ok).await?;
        Ok(Response::new(DeleteVtepResponse { instance }))
    }
}
