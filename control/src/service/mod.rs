//! The gRPC services of `ringlay.v1`, one a file. They parse requests, ask the engine, and show
//! what it says; they decide nothing.

mod attach;
mod backend;
mod fdb;
mod listing;
mod load;
mod mtu;
mod neighbour;
mod network;
mod node;
mod parse;
mod port;
mod route;
mod state;
mod stats;
mod status;
mod view;
mod vtep;

use std::sync::{Arc, Mutex};

use tonic::service::Routes;

use self::{attach::AttachBackend, backend::Backend};
use crate::{
    app::Engine,
    attach::Attachments,
    proto::{
        FILE_DESCRIPTOR_SET, attach_service_server::AttachServiceServer,
        fdb_service_server::FdbServiceServer, mtu_service_server::MtuServiceServer,
        neighbour_service_server::NeighbourServiceServer,
        network_service_server::NetworkServiceServer, node_service_server::NodeServiceServer,
        port_service_server::PortServiceServer, route_service_server::RouteServiceServer,
        state_service_server::StateServiceServer, stats_service_server::StatsServiceServer,
        vtep_service_server::VtepServiceServer,
    },
};

/// Every service, over one engine, with reflection and health.
///
/// # Panics
///
/// If the descriptors that the build made are damaged.
pub async fn routes(engine: Arc<Mutex<Engine>>, attachments: Arc<Mutex<Attachments>>) -> Routes {
    let backend = Backend::new(engine);
    let attach = AttachBackend::new(backend.clone(), attachments);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the build script made the descriptors");
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_serving::<StateServiceServer<Backend>>().await;
    Routes::new(health_server)
        .add_service(reflection)
        .add_service(AttachServiceServer::new(attach))
        .add_service(NodeServiceServer::new(backend.clone()))
        .add_service(NetworkServiceServer::new(backend.clone()))
        .add_service(PortServiceServer::new(backend.clone()))
        .add_service(VtepServiceServer::new(backend.clone()))
        .add_service(RouteServiceServer::new(backend.clone()))
        .add_service(NeighbourServiceServer::new(backend.clone()))
        .add_service(FdbServiceServer::new(backend.clone()))
        .add_service(MtuServiceServer::new(backend.clone()))
        .add_service(StatsServiceServer::new(backend.clone()))
        .add_service(
            StateServiceServer::new(backend)
                .max_decoding_message_size(crate::client::MESSAGE_BYTES_MAX),
        )
}
