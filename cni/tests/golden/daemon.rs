//! A daemon that knows the names of its networks and nothing else.

use std::future;
use std::path::Path;
use std::thread::{self, JoinHandle};

use ringlay_control::proto::network_service_server::{NetworkService, NetworkServiceServer};
use ringlay_control::proto::{
    ApplyNetworkRequest, ApplyNetworkResponse, DeleteNetworkRequest, DeleteNetworkResponse,
    GetNetworkRequest, GetNetworkResponse, ListNetworksRequest, ListNetworksResponse, Network,
};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// How it answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DaemonConfig {
    networks: Vec<String>,
    /// What it refuses every request with.
    refuses: Option<String>,
    /// Whether it takes requests and answers none.
    silent: bool,
}

/// A daemon that runs until dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it; when this returns, it listens.
    pub(crate) fn start(socket: &Path, config: DaemonConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(socket).unwrap()
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let server = Server::builder()
                .add_service(NetworkServiceServer::new(config))
                .serve_with_incoming(UnixListenerStream::new(listener));
            runtime.block_on(async {
                tokio::select! {
                    result = server => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the daemon does not panic");
        }
    }
}

#[tonic::async_trait]
impl NetworkService for DaemonConfig {
    async fn get_network(
        &self,
        request: Request<GetNetworkRequest>,
    ) -> Result<Response<GetNetworkResponse>, Status> {
        if self.silent {
            future::pending::<()>().await;
        }
        if let Some(reason) = &self.refuses {
            return Err(Status::unavailable(reason));
        }
        let name = request
            .into_inner()
            .key
            .expect("the plugin names a network")
            .name;
        if !self.networks.contains(&name) {
            return Err(Status::not_found("no such network"));
        }
        let network = Some(Network {
            name,
            ..Network::default()
        });
        Ok(Response::new(GetNetworkResponse {
            network,
            ..GetNetworkResponse::default()
        }))
    }

    async fn list_networks(
        &self,
        _: Request<ListNetworksRequest>,
    ) -> Result<Response<ListNetworksResponse>, Status> {
        Err(Status::unimplemented("the plugin does not list"))
    }

    async fn apply_network(
        &self,
        _: Request<ApplyNetworkRequest>,
    ) -> Result<Response<ApplyNetworkResponse>, Status> {
        Err(Status::unimplemented("the plugin changes nothing"))
    }

    async fn delete_network(
        &self,
        _: Request<DeleteNetworkRequest>,
    ) -> Result<Response<DeleteNetworkResponse>, Status> {
        Err(Status::unimplemented("the plugin changes nothing"))
    }
}
