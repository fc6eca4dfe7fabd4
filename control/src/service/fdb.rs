//! `FdbService`.

use tonic::{Request, Response, Status, async_trait};

use super::{
    backend::{Backend, Changed},
    parse,
    status::not_found,
    view,
};
use crate::{
    app::Engine,
    object::{Key, Object},
    proto::{
        ApplyFdbEntryRequest, ApplyFdbEntryResponse, DeleteFdbEntryRequest, DeleteFdbEntryResponse,
        FlushFdbRequest, FlushFdbResponse, GetFdbEntryRequest, GetFdbEntryResponse,
        ListFdbEntriesRequest, ListFdbEntriesResponse, fdb_service_server::FdbService,
    },
};

#[async_trait]
impl FdbService for Backend {
    async fn get_fdb_entry(
        &self,
        request: Request<GetFdbEntryRequest>,
    ) -> Result<Response<GetFdbEntryResponse>, Status> {
        let key = parse::fdb_key(request.into_inner().key)?;
        self.read(move |engine| {
            let entry = match engine.rib().entry(&Key::FdbEntry(key.clone())) {
                Some((source, Object::FdbEntry(it))) => Some(view::fdb(source, &it)),
                _ => {
                    let mac = key.mac.to_string();
                    view::stations(engine, &key.network).find(|it| it.mac == mac)
                }
            };
            if entry.is_none() {
                return Err(not_found(&Key::FdbEntry(key)));
            }
            let instance = view::instance(engine);
            Ok(Response::new(GetFdbEntryResponse { instance, entry }))
        })
        .await?
    }

    async fn list_fdb_entries(
        &self,
        request: Request<ListFdbEntriesRequest>,
    ) -> Result<Response<ListFdbEntriesResponse>, Status> {
        let request = request.into_inner();
        let network = parse::network_filter(&request.network)?;
        self.read(move |engine| {
            let network = network.as_ref();
            let all = view::list(engine, request.all_sources, engine.rib().fdb());
            let mut entries: Vec<_> = all
                .into_iter()
                .filter(|(_, it)| network.is_none_or(|network| it.network == *network))
                .map(|(source, it)| view::fdb(source, &it))
                .collect();
            for (_, it) in engine.rib().networks() {
                if network.is_none_or(|network| it.name == *network) {
                    entries.extend(view::stations(engine, &it.name));
                }
            }
            Ok(Response::new(ListFdbEntriesResponse {
                instance: view::instance(engine),
                entries,
            }))
        })
        .await?
    }

    async fn apply_fdb_entry(
        &self,
        request: Request<ApplyFdbEntryRequest>,
    ) -> Result<Response<ApplyFdbEntryResponse>, Status> {
        let request = request.into_inner();
        let (source, entry) = parse::fdb(request.entry)?;
        let instance = self.apply(source, entry, request.exist_ok).await?;
        Ok(Response::new(ApplyFdbEntryResponse { instance }))
    }

    async fn delete_fdb_entry(
        &self,
        request: Request<DeleteFdbEntryRequest>,
    ) -> Result<Response<DeleteFdbEntryResponse>, Status> {
        let request = request.into_inner();
        let source = parse::source(&request.source)?;
        let key = Key::FdbEntry(parse::fdb_key(request.key)?);
        let instance = self.delete(source, key, request.missing_ok).await?;
        Ok(Response::new(DeleteFdbEntryResponse { instance }))
    }

    async fn flush_fdb(
        &self,
        request: Request<FlushFdbRequest>,
    ) -> Result<Response<FlushFdbResponse>, Status> {
        let request = request.into_inner();
        let network = parse::network_filter(&request.network)?;
        let site = parse::flushed_site(request.site)?;
        let flush = move |engine: &mut Engine| match network.clone().map(Key::Network) {
            Some(key) if engine.rib().entry(&key).is_none() => Err(not_found(&key)),
            _ => {
                let (flushed, done) = engine.flush_stations(network.as_ref(), site.as_ref());
                Ok(Changed {
                    answer: flushed as u64,
                    tables: done.tables,
                })
            }
        };
        let (instance, flushed) = self.change(flush).await?;
        Ok(Response::new(FlushFdbResponse { instance, flushed }))
    }
}
