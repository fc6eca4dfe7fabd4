//! Containers come and go, on a machine that only remembers. See the tests of `cni` for real ones.

use std::path::Path;

use ringlay_control::{
    attach::Attachments,
    client::{error_detail, journal_directory},
    config::Config,
    proto::{
        AddressSet, AttachRequest, Attachment, AttachmentKey, CheckAttachmentRequest,
        CheckReadyRequest, DetachRequest, ListAttachmentsRequest, RetainAttachmentsRequest,
    },
};
use tonic::{Code, Status};

use super::{CONFIG, node::Node};

const POOL: &str = r#"
[[ipam]]
network = "blue"
ranges  = ["10.0.1.0/29", "fd00:1::/64"]
exclude = ["10.0.1.6"]
"#;

fn config() -> String {
    CONFIG.to_owned() + POOL
}

fn key(container_id: &str) -> Option<AttachmentKey> {
    Some(AttachmentKey {
        container_id: container_id.to_owned(),
        device: "eth0".to_owned(),
    })
}

fn request(container_id: &str) -> AttachRequest {
    AttachRequest {
        key: key(container_id),
        network: "blue".to_owned(),
        owner: "mynet".to_owned(),
        // The fake machine enters no namespace, so that any is good enough.
        netns: "/proc/self/ns/net".to_owned(),
        ..AttachRequest::default()
    }
}

impl Node {
    async fn attach(&self, request: AttachRequest) -> Result<Attachment, Status> {
        let reply = self.attachments().attach(request).await?.into_inner();
        Ok(reply.attachment.unwrap())
    }

    async fn attached(&self) -> Vec<String> {
        let request = ListAttachmentsRequest::default();
        let reply = self.attachments().list_attachments(request).await.unwrap();
        let all = reply.into_inner().attachments.into_iter();
        all.map(|it| it.key.unwrap().container_id).collect()
    }

    async fn detach(&self, container_id: &str) -> Option<Attachment> {
        let key = key(container_id);
        let reply = self.attachments().detach(DetachRequest { key }).await;
        reply.unwrap().into_inner().attachment
    }
}

fn reason(status: &Status) -> String {
    error_detail(status).unwrap().reason
}

#[tokio::test]
async fn a_container_gets_an_address_of_each_version_and_default_routes() {
    let node = Node::start(&config()).await;
    let attachment = node.attach(request("c1")).await.unwrap();
    let [v4, v6] = attachment.addresses.as_slice() else {
        panic!("{attachment:?}");
    };
    assert!(v4.starts_with("10.0.1.") && v4.ends_with("/32"), "{v4}");
    assert!(v6.starts_with("fd00:1:") && v6.ends_with("/128"), "{v6}");
    let routes: Vec<_> = attachment.routes.iter().map(|it| &it.prefix).collect();
    assert_eq!(routes, ["0.0.0.0/0", "::/0"]);
    assert_eq!(attachment.status.unwrap().mtu, 1450);
    let octets: std::net::Ipv4Addr = v4.trim_end_matches("/32").parse().unwrap();
    assert!(
        node.next_hop(octets.octets()).is_some(),
        "it is in the tables"
    );
    let gone = node.detach("c1").await.unwrap();
    assert_eq!(gone.addresses, attachment.addresses);
    assert_eq!(node.detach("c1").await, None, "twice is fine");
    let again = node.attach(request("c1")).await.unwrap();
    assert_eq!(
        again.addresses, attachment.addresses,
        "who comes back gets it again"
    );
}

#[tokio::test]
async fn attaching_twice_is_an_error_unless_it_is_said_to_be_fine() {
    let node = Node::start(&config()).await;
    let first = node.attach(request("c1")).await.unwrap();
    let status = node.attach(request("c1")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "EXISTS")
    );
    let fine = AttachRequest {
        exist_ok: true,
        ..request("c1")
    };
    assert_eq!(node.attach(fine).await.unwrap(), first);
}

#[tokio::test]
async fn a_reload_changes_which_addresses_there_are_to_give() {
    let node = Node::start(&config()).await;
    let first = node.attach(request("c1")).await.unwrap();
    let wider = config().replace("10.0.1.0/29", "10.0.9.0/29");
    let wider = Config::parse("x.toml".as_ref(), wider).unwrap();
    node.engine.lock().unwrap().reload(&wider).unwrap();
    let mut second = request("c1");
    second.key.as_mut().unwrap().device = "net1".to_owned();
    let second = node.attach(second).await.unwrap();
    assert!(
        second.addresses[0].starts_with("10.0.9."),
        "{:?}",
        second.addresses
    );
    let config = node.show_config().await;
    assert!(config.contains("10.0.9.1-10.0.9.6"), "{config}");
    assert!(config.contains("# Attached containers: 2;"), "{config}");
    assert!(!config.contains("net1"), "no file leads to them: {config}");
    let gone = node.detach("c1").await.unwrap();
    assert_eq!(gone.addresses, first.addresses, "who had one kept it");
}

#[tokio::test]
async fn nothing_is_left_of_an_attachment_that_fails() {
    let node = Node::start(&config()).await;
    node.host
        .with(|state| state.broken.insert("eth0".to_owned()));
    let status = node.attach(request("c1")).await.unwrap_err();
    assert_eq!(reason(&status), "DEVICE", "{status}");
    assert!(node.attached().await.is_empty());
    assert!(!node.show_config().await.contains("Attached containers"));
    assert!(node.records().is_empty(), "{:?}", node.records());
    let no_netns = AttachRequest {
        netns: "/run/netns/nonexistent".to_owned(),
        ..request("c1")
    };
    assert_eq!(reason(&node.attach(no_netns).await.unwrap_err()), "NETNS");
    let no_network = AttachRequest {
        network: "red".to_owned(),
        ..request("c1")
    };
    assert_eq!(
        reason(&node.attach(no_network).await.unwrap_err()),
        "UNKNOWN_NETWORK"
    );
}

/// Of the eight addresses of the range hosts can have six; one is a port's and one is excluded.
#[tokio::test]
async fn exhaustion_is_a_clear_error_and_ends_with_the_next_detach() {
    let node = Node::start(&config()).await;
    let device = |id: &str| AttachRequest {
        netns: "/proc/self/ns/net".to_owned(),
        key: Some(AttachmentKey {
            container_id: id.to_owned(),
            device: format!("eth{id}"),
        }),
        ..request(id)
    };
    let mut given = Vec::new();
    for id in ["0", "1", "2", "3"] {
        given.push(node.attach(device(id)).await.unwrap().addresses.remove(0));
    }
    given.sort();
    assert_eq!(
        given,
        ["10.0.1.2/32", "10.0.1.3/32", "10.0.1.4/32", "10.0.1.5/32"]
    );
    let status = node.attach(device("4")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "EXHAUSTED")
    );
    let ready = || CheckReadyRequest {
        network: "blue".to_owned(),
        addresses: true,
    };
    let status = node.attachments().check_ready(ready()).await.unwrap_err();
    assert_eq!(reason(&status), "EXHAUSTED");
    let key = device("2").key;
    node.attachments()
        .detach(DetachRequest { key })
        .await
        .unwrap();
    node.attachments().check_ready(ready()).await.unwrap();
    node.attach(device("4")).await.unwrap();
}

#[tokio::test]
async fn addresses_that_are_asked_for_are_given_or_refused() {
    let node = Node::start(&config()).await;
    let with = |requested: &str| AttachRequest {
        requested: vec![requested.to_owned()],
        ..request("c1")
    };
    for (address, reason_word) in [
        ("10.9.0.1", "NOT_IN_POOL"),
        ("10.0.1.6", "NOT_IN_POOL"),
        ("10.0.1.1", "TAKEN"),
    ] {
        assert_eq!(
            reason(&node.attach(with(address)).await.unwrap_err()),
            reason_word
        );
    }
    assert_eq!(
        node.attach(with("10.0.1.4")).await.unwrap().addresses,
        ["10.0.1.4/32"]
    );
    node.detach("c1").await;
    let ranges = vec!["10.0.7.8-10.0.7.8".to_owned()];
    let sets = AttachRequest {
        sets: vec![AddressSet { ranges }],
        ..request("c1")
    };
    assert_eq!(node.attach(sets).await.unwrap().addresses, ["10.0.7.8/32"]);
    node.detach("c1").await;
    let delegated = AttachRequest {
        addresses: vec!["10.8.0.5/24".to_owned()],
        ..request("c1")
    };
    let attachment = node.attach(delegated).await.unwrap();
    assert_eq!(attachment.addresses, ["10.8.0.5/24"]);
    assert!(
        attachment.routes.is_empty(),
        "whoever chose them says where they lead"
    );
}

#[tokio::test]
async fn what_is_not_to_be_retained_goes_if_it_is_the_owners() {
    let node = Node::start(&config()).await;
    for (id, owner) in [("c1", "mynet"), ("c2", "mynet"), ("c3", "other")] {
        let mut one = request(id);
        one.key.as_mut().unwrap().device = format!("eth{id}");
        one.owner = owner.to_owned();
        node.attach(one).await.unwrap();
    }
    let mut kept = key("c2").unwrap();
    kept.device = "ethc2".to_owned();
    let retain = RetainAttachmentsRequest {
        owner: "mynet".to_owned(),
        keys: vec![kept],
    };
    let reply = node
        .attachments()
        .retain_attachments(retain)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.detached.len(), 1);
    assert_eq!(node.attached().await, ["c2", "c3"]);
}

#[tokio::test]
async fn a_check_of_what_is_not_attached_says_so() {
    let node = Node::start(&config()).await;
    let check = CheckAttachmentRequest {
        key: key("c1"),
        network: "blue".to_owned(),
    };
    let status = node
        .attachments()
        .check_attachment(check)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "container c1 device eth0 is not attached");
}

#[tokio::test]
async fn what_was_to_be_detached_in_the_meantime_goes_at_the_start() {
    let node = Node::start(&config()).await;
    node.attach(request("c1")).await.unwrap();
    let socket = node.socket.clone();
    let state = node.stop().await;
    let journal = journal_directory(&socket);
    std::fs::create_dir(&journal).unwrap();
    let entry = r#"{"container_id": "c1", "device": "eth0"}"#;
    std::fs::write(journal.join("c1,eth0.json"), entry).unwrap();
    let next = Node::start(&config()).await;
    let mut attachments = Attachments::open(state.path()).unwrap();
    let mut engine = next.engine.lock().unwrap();
    attachments.restore(&mut engine);
    attachments.replay(&mut engine, &socket);
    assert_eq!(attachments.iter().count(), 0);
    assert_eq!(std::fs::read_dir(&journal).unwrap().count(), 0);
}

#[tokio::test]
async fn the_next_run_of_the_daemon_serves_what_the_last_attached() {
    let node = Node::start(&config()).await;
    let attachment = node.attach(request("c1")).await.unwrap();
    let state = node.stop().await;
    let next = Node::start(&config()).await;
    let mut attachments = Attachments::open(Path::new(state.path())).unwrap();
    attachments.restore(&mut next.engine.lock().unwrap());
    let [only] = attachments.iter().collect::<Vec<_>>()[..] else {
        panic!("{attachments:?}");
    };
    assert_eq!(only.problem, None);
    let addresses: Vec<_> = only
        .record
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, attachment.addresses);
    assert!(
        next.show_config()
            .await
            .contains("# Attached containers: 1")
    );
}
