//! A daemon that knows the names of its networks, attaches whatever it is asked to, and makes no
//! device.

use std::future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use ringlay_control::client::encode_error_detail;
use ringlay_control::proto::attach_service_server::{AttachService, AttachServiceServer};
use ringlay_control::proto::{
    AttachRequest, AttachResponse, Attachment, AttachmentKey, AttachmentStatus,
    CheckAttachmentRequest, CheckAttachmentResponse, CheckReadyRequest, CheckReadyResponse,
    DetachRequest, DetachResponse, ErrorDetail, GuestRoute, ListAttachmentsRequest,
    ListAttachmentsResponse, RetainAttachmentsRequest, RetainAttachmentsResponse,
};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

/// How it answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DaemonConfig {
    networks: Vec<String>,
    /// What it gives containers that bring no addresses.
    addresses: Vec<String>,
    /// What it refuses every request with.
    refuses: Option<Refusal>,
    /// What GC cannot remove.
    problems: Vec<String>,
    /// Whether it takes requests and answers none.
    silent: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    reason: String,
    message: String,
    hint: String,
}

/// What was asked, in words.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// A daemon that runs until dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) asked: Asked,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Service {
    config: DaemonConfig,
    asked: Asked,
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
        let asked = Asked::default();
        let service = Service {
            config,
            asked: Arc::clone(&asked),
        };
        let thread = thread::spawn(move || {
            let server = Server::builder()
                .add_service(AttachServiceServer::new(service))
                .serve_with_incoming(UnixListenerStream::new(listener));
            runtime.block_on(async {
                tokio::select! {
                    result = server => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            asked,
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

impl Service {
    async fn hear(&self, question: String) -> Result<(), Status> {
        self.asked.lock().unwrap().push(question);
        if self.config.silent {
            future::pending::<()>().await;
        }
        match &self.config.refuses {
            None => Ok(()),
            Some(Refusal {
                reason,
                message,
                hint,
            }) => Err(status(reason, message, hint)),
        }
    }

    fn network(&self, name: &str) -> Result<(), Status> {
        if self.config.networks.iter().any(|it| it == name) {
            return Ok(());
        }
        let message = format!("there is no network `{name}`");
        Err(status("UNKNOWN_NETWORK", &message, ""))
    }

    fn attachment(&self, network: &str, key: Option<AttachmentKey>) -> Attachment {
        Attachment {
            key,
            network: network.to_owned(),
            addresses: self.config.addresses.clone(),
            status: Some(AttachmentStatus {
                mtu: 1450,
                ..AttachmentStatus::default()
            }),
            ..Attachment::default()
        }
    }
}

#[tonic::async_trait]
impl AttachService for Service {
    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        let request = request.into_inner();
        let ethernet = match request.kind.as_str() {
            "" | "tun" => String::new(),
            kind => format!(" kind {kind} mac {}", request.mac),
        };
        self.hear(format!(
            "attach {} owner {} netns {} requested {:?} sets {:?}{ethernet}",
            name(&request.key),
            request.owner,
            request.netns,
            request.requested,
            request
                .sets
                .iter()
                .map(|set| &set.ranges)
                .collect::<Vec<_>>(),
        ))
        .await?;
        self.network(&request.network)?;
        let mut attachment = self.attachment(&request.network, request.key);
        attachment.routes = request.routes;
        // Its networks are routed: nobody behind a TUN device is a router.
        for route in &mut attachment.routes {
            route.via.clear();
        }
        attachment.mac = request.mac;
        if request.addresses.is_empty() {
            if attachment.routes.is_empty() {
                attachment.routes.push(GuestRoute {
                    prefix: "0.0.0.0/0".to_owned(),
                    ..GuestRoute::default()
                });
            }
        } else {
            attachment.addresses = request.addresses;
        }
        let attachment = Some(attachment);
        let instance = None;
        Ok(Response::new(AttachResponse {
            instance,
            attachment,
        }))
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        let key = request.into_inner().key;
        self.hear(format!("detach {}", name(&key))).await?;
        Ok(Response::new(DetachResponse::default()))
    }

    async fn check_attachment(
        &self,
        request: Request<CheckAttachmentRequest>,
    ) -> Result<Response<CheckAttachmentResponse>, Status> {
        let request = request.into_inner();
        self.hear(format!("check {}", name(&request.key))).await?;
        let attachment = Some(self.attachment(&request.network, request.key));
        let instance = None;
        Ok(Response::new(CheckAttachmentResponse {
            instance,
            attachment,
        }))
    }

    async fn list_attachments(
        &self,
        _: Request<ListAttachmentsRequest>,
    ) -> Result<Response<ListAttachmentsResponse>, Status> {
        Err(Status::unimplemented("the plugin does not list"))
    }

    async fn retain_attachments(
        &self,
        request: Request<RetainAttachmentsRequest>,
    ) -> Result<Response<RetainAttachmentsResponse>, Status> {
        let RetainAttachmentsRequest { owner, keys } = request.into_inner();
        let keys: Vec<_> = keys.into_iter().map(|key| name(&Some(key))).collect();
        self.hear(format!("retain {} of {owner}", keys.join(", ")))
            .await?;
        Ok(Response::new(RetainAttachmentsResponse {
            problems: self.config.problems.clone(),
            ..RetainAttachmentsResponse::default()
        }))
    }

    async fn check_ready(
        &self,
        request: Request<CheckReadyRequest>,
    ) -> Result<Response<CheckReadyResponse>, Status> {
        let request = request.into_inner();
        self.hear(format!("ready addresses {}", request.addresses))
            .await?;
        self.network(&request.network)?;
        Ok(Response::new(CheckReadyResponse::default()))
    }
}

fn name(key: &Option<AttachmentKey>) -> String {
    let key = key.clone().expect("the plugin names what it is about");
    format!("{} {}", key.container_id, key.device)
}

fn status(reason: &str, message: &str, hint: &str) -> Status {
    let detail = ErrorDetail {
        field: String::new(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let code = Code::FailedPrecondition;
    let details = encode_error_detail(code, message, &detail);
    Status::with_details(code, message, details.into())
}
