//! A node in this process: an engine on a fake machine, served on a socket of its own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use ringlay_control::{
    app::{Chosen, Engine, Identity},
    attach::Attachments,
    client,
    compile::Environment,
    config::{Config, UnderlayDriver},
    mtu::{Next, Paths, Way},
    object::Source,
    proto::{
        ListRoutesRequest, ListVtepsRequest, Route, ShowConfigRequest, Vtep, WatchRequest,
        WatchResponse, attach_service_client::AttachServiceClient,
        neighbour_service_client::NeighbourServiceClient,
        network_service_client::NetworkServiceClient, node_service_client::NodeServiceClient,
        port_service_client::PortServiceClient, route_service_client::RouteServiceClient,
        state_service_client::StateServiceClient, vtep_service_client::VtepServiceClient,
        watch_response::Event,
    },
    service,
};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Streaming,
    transport::{Channel, Server},
};

use super::fake_host::FakeHost;

/// The local VTEP address.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));

/// A served engine.
pub(crate) struct Node {
    pub(crate) engine: Arc<Mutex<Engine>>,
    pub(crate) host: Arc<FakeHost>,
    pub(crate) channel: Channel,
    pub(crate) uuid: String,
    #[allow(dead_code, reason = "for tests that run commands")]
    pub(crate) socket: PathBuf,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    folder: TempDir,
}

impl Node {
    /// Starts one with this configuration.
    pub(crate) async fn start(config: &str) -> Self {
        let config = Config::parse(Path::new("test.toml"), config.to_owned()).unwrap();
        let host = Arc::new(FakeHost::default());
        let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427".to_owned();
        let identity = Identity {
            uuid: uuid.clone(),
            name: "a".to_owned(),
            settings: config.settings.clone(),
            underlay_driver: Chosen {
                driver: UnderlayDriver::Udp,
                reason: "a fake".to_owned(),
            },
            workers: vec![Some(0), None],
            started: Instant::now(),
        };
        let environment = Environment {
            local: LOCAL,
            mtu: 1500,
            dont_fragment: true,
            accept_unknown_vteps: false,
            uplink: false,
        };
        let paths = Paths::new(Way {
            link: "eth0".to_owned(),
            link_mtu: 1500,
            route_mtu: None,
            next: Next::Nobody,
        });
        let mut engine = Engine::new(identity, environment, paths, host.clone());
        engine
            .apply_snapshot(Source::Static, 0, config.objects)
            .unwrap();
        let engine = Arc::new(Mutex::new(engine));
        let folder = tempfile::tempdir().unwrap();
        let attachments = Attachments::open(folder.path()).unwrap();
        let attachments = Arc::new(Mutex::new(attachments));
        let socket = folder.path().join("ringlay.sock");
        let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
        let routes = service::routes(Arc::clone(&engine), attachments).await;
        let server = tokio::spawn(
            Server::builder()
                .add_routes(routes)
                .serve_with_incoming(incoming),
        );
        let channel = client::connect(&socket).await.unwrap();
        Self {
            engine,
            host,
            channel,
            uuid,
            socket,
            server,
            folder,
        }
    }

    /// Ends it without any care; returns what it leaves on disk.
    pub(crate) async fn stop(self) -> TempDir {
        self.server.abort();
        drop(self.channel);
        // What it served ends with it, and lets go of its files.
        let _ = self.server.await;
        self.folder
    }

    /// The files of attachments.
    pub(crate) fn records(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("attachments")).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }

    /// The routes that are asked for, of all pieces.
    pub(crate) async fn list_routes(&self, request: ListRoutesRequest) -> Vec<Route> {
        let reply = self.routes().list_routes(request).await.unwrap();
        let (mut pieces, mut routes) = (reply.into_inner(), Vec::new());
        while let Some(piece) = pieces.message().await.unwrap() {
            assert!(piece.instance.is_some());
            routes.extend(piece.routes);
        }
        routes
    }

    /// Its far ends.
    pub(crate) async fn list_vteps(&self) -> Vec<Vtep> {
        let request = ListVtepsRequest::default();
        let reply = self.vteps().list_vteps(request).await.unwrap();
        reply.into_inner().vteps
    }

    /// Watches it from now on.
    pub(crate) async fn watch(&self) -> Watch {
        let reply = self.state().watch(WatchRequest {}).await.unwrap();
        let (mut changes, mut present) = (reply.into_inner(), 0);
        loop {
            match next(&mut changes).await.event.unwrap() {
                Event::Present(_) => present += 1,
                Event::InitialEnd(_) => return Watch { present, changes },
                removed => panic!("{removed:?}"),
            }
        }
    }

    pub(crate) fn attachments(&self) -> AttachServiceClient<Channel> {
        AttachServiceClient::new(self.channel.clone())
    }

    /// The running state as a configuration file.
    pub(crate) async fn show_config(&self) -> String {
        let reply = self
            .state()
            .show_config(ShowConfigRequest {})
            .await
            .unwrap();
        reply.into_inner().config
    }

    pub(crate) fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone())
    }

    pub(crate) fn networks(&self) -> NetworkServiceClient<Channel> {
        NetworkServiceClient::new(self.channel.clone())
    }

    pub(crate) fn ports(&self) -> PortServiceClient<Channel> {
        PortServiceClient::new(self.channel.clone())
    }

    pub(crate) fn vteps(&self) -> VtepServiceClient<Channel> {
        VtepServiceClient::new(self.channel.clone())
    }

    pub(crate) fn routes(&self) -> RouteServiceClient<Channel> {
        RouteServiceClient::new(self.channel.clone())
    }

    pub(crate) fn neighbours(&self) -> NeighbourServiceClient<Channel> {
        NeighbourServiceClient::new(self.channel.clone())
    }

    pub(crate) fn state(&self) -> StateServiceClient<Channel> {
        StateServiceClient::new(self.channel.clone())
    }
}

/// What happens to a node's objects from some time on.
pub(crate) struct Watch {
    /// How many there were then.
    pub(crate) present: usize,
    changes: Streaming<WatchResponse>,
}

impl Watch {
    /// The next change, once there is one.
    pub(crate) async fn next(&mut self) -> WatchResponse {
        next(&mut self.changes).await
    }
}

async fn next(changes: &mut Streaming<WatchResponse>) -> WatchResponse {
    let next = changes.message().await.unwrap();
    next.expect("the node is there")
}
