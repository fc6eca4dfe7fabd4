//! The UDP ports of local tunnel endpoints, and what is asked of their sockets.

use ringlay_control::proto::{self, ApplyNetworkRequest, BatchRequest, object::Kind};
use ringlay_encap::{Encapsulation, UdpChecksum};

use super::{CONFIG, node::Node, put};

#[tokio::test]
async fn a_taken_udp_port_is_an_error_and_the_network_is_not_there() {
    let node = Node::start(CONFIG).await;
    node.host.with(|state| state.taken.insert(8472));
    let network = proto::Network {
        name: "red".to_owned(),
        vni: Some(43),
        port: Some(8472),
        ..proto::Network::default()
    };
    let request = ApplyNetworkRequest {
        network: Some(network),
        exist_ok: None,
    };
    let status = node.networks().apply_network(request).await.unwrap_err();
    assert!(status.message().contains("8472 is taken"), "{status}");
    assert!(!node.show_config().await.contains("red"));
}

#[tokio::test]
async fn a_udp_port_can_become_of_another_kind() {
    let node = Node::start(CONFIG).await;
    let open = || {
        let endpoints = node.host.with(|state| state.underlays.clone());
        // The other one is in nobody's way.
        assert_eq!(endpoints.len(), 2);
        let found = endpoints.values().find(|it| it.local.port() == 8472);
        found.map(|it| (it.encapsulation, it.checksum))
    };
    let vxlan = proto::Network {
        name: "red".to_owned(),
        vni: Some(43),
        port: Some(8472),
        ..proto::Network::default()
    };
    let geneve = proto::Network {
        encap: "geneve".to_owned(),
        ttl: "copy".to_owned(),
        ..vxlan.clone()
    };
    let bare = proto::Network {
        udp_checksum: "off".to_owned(),
        ttl: "copy".to_owned(),
        ..vxlan.clone()
    };
    for (network, encapsulation, checksum) in [
        (&vxlan, Encapsulation::Vxlan, UdpChecksum::On),
        (&bare, Encapsulation::Vxlan, UdpChecksum::Off),
        (&geneve, Encapsulation::Geneve, UdpChecksum::On),
    ] {
        node.apply_network(network).await.unwrap();
        assert_eq!(open(), Some((encapsulation, checksum)));
    }
    // What fails later leaves it as it was.
    node.host
        .with(|state| state.broken.insert("rl2".to_owned()));
    let port = proto::Port {
        network: "red".to_owned(),
        device: "rl2".to_owned(),
        ..proto::Port::default()
    };
    let request = BatchRequest {
        source: String::new(),
        operations: [Kind::Network(bare), Kind::Port(port)].map(put).to_vec(),
    };
    let status = node.state().batch(request).await.unwrap_err();
    assert!(status.message().contains("rl2 is broken"), "{status}");
    assert_eq!(open(), Some((Encapsulation::Geneve, UdpChecksum::On)));
    assert_eq!(node.host.with(|state| state.ttls.len()), 1, "told anew");
}

#[tokio::test]
async fn times_to_live_are_reported_where_a_network_takes_them_over() {
    let node = Node::start(CONFIG).await;
    let reported = || {
        node.host.with(|state| {
            let ports = state.ttls.iter().map(|id| state.underlays[id].local.port());
            ports.collect::<Vec<_>>()
        })
    };
    let network = |name: &str, vni, port, ttl: &str| proto::Network {
        name: name.to_owned(),
        vni: Some(vni),
        port: Some(port),
        ttl: ttl.to_owned(),
        ..proto::Network::default()
    };
    for (network, expected) in [
        (network("red", 43, 8472, ""), &[][..]),
        (network("red", 43, 8472, "copy"), &[8472]),
        // They share an endpoint.
        (network("green", 44, 8472, "9"), &[8472]),
        (network("green", 44, 8472, "copy"), &[8472]),
        (network("red", 43, 8472, "9"), &[8472]),
        (network("green", 44, 4790, "copy"), &[4790]),
        (network("green", 44, 4790, ""), &[]),
    ] {
        node.apply_network(&network).await.unwrap();
        assert_eq!(reported(), expected, "{network:?}");
    }
}
