//! `AttachService`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringlay_encap::MacAddr;
use tokio::task::spawn_blocking;
use tonic::{Code, Request, Response, Status, async_trait};

use super::{
    backend::{Backend, Changed},
    parse,
    status::{internal, invalid, status},
    view,
};
use crate::{
    app::Engine,
    attach::{
        self, AttachError, Attachment, AttachmentKey, Attachments, CheckError, Record, inspect,
    },
    object::{DeviceName, GuestRoute},
    proto::{
        self, AttachRequest, AttachResponse, CheckAttachmentRequest, CheckAttachmentResponse,
        CheckReadyRequest, CheckReadyResponse, DetachRequest, DetachResponse, Instance,
        ListAttachmentsRequest, ListAttachmentsResponse, RetainAttachmentsRequest,
        RetainAttachmentsResponse, attach_service_server::AttachService,
    },
};

/// The engine and the attachments behind the service. Who needs both locks the attachments first.
#[derive(Clone, Debug)]
pub(super) struct AttachBackend {
    backend: Backend,
    attachments: Arc<Mutex<Attachments>>,
}

impl AttachBackend {
    pub(super) fn new(backend: Backend, attachments: Arc<Mutex<Attachments>>) -> Self {
        Self {
            backend,
            attachments,
        }
    }

    /// Lets `work` look at both or change them, where blocking is allowed. Returns when every
    /// worker goes by what was changed.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Attachments, &mut Engine) -> Result<Changed<T>, Status> + Send + 'static,
    ) -> Result<(Option<Instance>, T), Status> {
        let this = self.clone();
        let worked = spawn_blocking(move || {
            // Of a change that fails, too; it goes when the locks are free again.
            let _leaving;
            let (changed, instance, host) = {
                let mut attachments = this.attachments();
                let mut engine = this.backend.engine();
                let changed = work(&mut attachments, &mut engine);
                _leaving = engine.host().take_leaving();
                (changed?, view::instance(&engine), Arc::clone(engine.host()))
            };
            Ok((instance, changed.confirmed(&*host)?))
        });
        worked.await.map_err(internal)?
    }

    fn attachments(&self) -> MutexGuard<'_, Attachments> {
        let lock = self.attachments.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AttachService for AttachBackend {
    async fn attach(
        &self,
        request: Request<AttachRequest>,
    ) -> Result<Response<AttachResponse>, Status> {
        let request = attach_request(request.into_inner())?;
        let (instance, attachment) = self
            .with(move |attachments, engine| {
                let (attachment, done) = attachments.attach(engine, request)?;
                Ok(Changed {
                    answer: show(engine, &attachment),
                    tables: done.and_then(|done| done.tables),
                })
            })
            .await?;
        let attachment = Some(attachment);
        Ok(Response::new(AttachResponse {
            instance,
            attachment,
        }))
    }

    async fn detach(
        &self,
        request: Request<DetachRequest>,
    ) -> Result<Response<DetachResponse>, Status> {
        let key = key(request.into_inner().key)?;
        let (instance, attachment) = self
            .with(move |attachments, engine| {
                let gone = attachments.detach(engine, &key)?;
                unchanged(gone.map(|gone| show(engine, &gone)))
            })
            .await?;
        Ok(Response::new(DetachResponse {
            instance,
            attachment,
        }))
    }

    async fn check_attachment(
        &self,
        request: Request<CheckAttachmentRequest>,
    ) -> Result<Response<CheckAttachmentResponse>, Status> {
        let request = request.into_inner();
        let (key, network) = (key(request.key)?, parse::name("network", &request.network)?);
        let (instance, (record, mtu)) = self
            .with(move |attachments, engine| {
                unchanged(attachments.expected(engine, &key, &network)?)
            })
            .await?;
        let looked = spawn_blocking(move || inspect::inspect(&record, mtu).map(|()| record));
        let record: Record = looked.await.map_err(internal)??;
        let attachment = Attachment {
            record,
            problem: None,
        };
        let (_, attachment) = self
            .with(move |_, engine| unchanged(show(engine, &attachment)))
            .await?;
        let attachment = Some(attachment);
        Ok(Response::new(CheckAttachmentResponse {
            instance,
            attachment,
        }))
    }

    async fn list_attachments(
        &self,
        request: Request<ListAttachmentsRequest>,
    ) -> Result<Response<ListAttachmentsResponse>, Status> {
        let network = parse::network_filter(&request.into_inner().network)?;
        let (instance, attachments) = self
            .with(move |attachments, engine| {
                let wanted = |it: &&Attachment| {
                    let network = network.as_ref();
                    network.is_none_or(|network| it.record.network == network.as_str())
                };
                let shown = attachments.iter().filter(wanted);
                unchanged(shown.map(|it| show(engine, it)).collect())
            })
            .await?;
        Ok(Response::new(ListAttachmentsResponse {
            instance,
            attachments,
        }))
    }

    async fn retain_attachments(
        &self,
        request: Request<RetainAttachmentsRequest>,
    ) -> Result<Response<RetainAttachmentsResponse>, Status> {
        let request = request.into_inner();
        if request.owner.is_empty() {
            return Err(invalid("owner", "is missing"));
        }
        let keys = request.keys.into_iter().map(|it| key(Some(it)));
        let (owner, keys) = (request.owner, keys.collect::<Result<Vec<_>, _>>()?);
        let (instance, (detached, problems)) = self
            .with(move |attachments, engine| {
                let (gone, problems) = attachments.retain(engine, &owner, &keys);
                let gone = gone.iter().map(|it| show(engine, it)).collect();
                unchanged((gone, problems))
            })
            .await?;
        Ok(Response::new(RetainAttachmentsResponse {
            instance,
            detached,
            problems,
        }))
    }

    async fn check_ready(
        &self,
        request: Request<CheckReadyRequest>,
    ) -> Result<Response<CheckReadyResponse>, Status> {
        let request = request.into_inner();
        let network = parse::name("network", &request.network)?;
        let (instance, ()) = self
            .with(move |attachments, engine| {
                attachments.check_ready(engine, &network, request.addresses)?;
                unchanged(())
            })
            .await?;
        Ok(Response::new(CheckReadyResponse { instance }))
    }
}

fn unchanged<T>(answer: T) -> Result<Changed<T>, Status> {
    Ok(Changed {
        answer,
        tables: None,
    })
}

fn key(raw: Option<proto::AttachmentKey>) -> Result<AttachmentKey, Status> {
    let raw = raw.ok_or_else(|| invalid("key", "is missing"))?;
    if raw.container_id.is_empty() {
        return Err(invalid("key.container_id", "is missing"));
    }
    let device = raw.device.parse::<DeviceName>();
    device.map_err(|error| invalid("key.device", format_args!("{:?}: {error}", raw.device)))?;
    Ok(AttachmentKey {
        container_id: raw.container_id,
        device: raw.device,
    })
}

fn attach_request(raw: AttachRequest) -> Result<attach::Request, Status> {
    fn each<T: std::str::FromStr<Err: std::fmt::Display>>(
        field: &str,
        texts: &[String],
    ) -> Result<Vec<T>, Status> {
        let parsed = texts.iter().map(|text| {
            text.parse()
                .map_err(|error| invalid(field, format_args!("{text:?}: {error}")))
        });
        parsed.collect()
    }
    if raw.netns.is_empty() {
        return Err(invalid("netns", "is missing"));
    }
    let mac: Option<MacAddr> = parse::optional("mac", &raw.mac)?;
    if let Some(mac) = mac.filter(|mac| !mac.is_unicast()) {
        return Err(invalid(
            "mac",
            format_args!("{mac} is not that of one device"),
        ));
    }
    Ok(attach::Request {
        key: key(raw.key)?,
        network: parse::name("network", &raw.network)?,
        owner: raw.owner,
        netns: raw.netns.into(),
        addresses: each("addresses", &raw.addresses)?,
        requested: each("requested", &raw.requested)?,
        sets: raw
            .sets
            .iter()
            .map(|set| each("sets.ranges", &set.ranges))
            .collect::<Result<_, _>>()?,
        routes: raw.routes.iter().map(route).collect::<Result<_, _>>()?,
        kind: match raw.kind.as_str() {
            "" => None,
            _ => Some(parse::text_field("kind", &raw.kind)?),
        },
        mac,
        exist_ok: raw.exist_ok,
    })
}

fn route(raw: &proto::GuestRoute) -> Result<GuestRoute, Status> {
    Ok(GuestRoute {
        prefix: parse::prefix("routes.prefix", &raw.prefix)?,
        via: parse::optional("routes.via", &raw.via)?,
        mtu: raw.mtu,
        advmss: raw.advmss,
        priority: raw.priority,
        table: raw.table,
    })
}

fn show(engine: &Engine, attachment: &Attachment) -> proto::Attachment {
    let record = &attachment.record;
    let port = record.key.port();
    let entry = engine.ports().get(&port);
    let routes = record.routes.iter().map(|route| proto::GuestRoute {
        prefix: route.prefix.to_string(),
        via: route.via.map(|via| via.to_string()).unwrap_or_default(),
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
    });
    let (host_device, host_mac) = match record.host_end() {
        Some((device, mac)) => (device.to_string(), mac.to_string()),
        None => Default::default(),
    };
    proto::Attachment {
        key: Some(proto::AttachmentKey {
            container_id: record.key.container_id.clone(),
            device: record.key.device.clone(),
        }),
        network: record.network.clone(),
        owner: record.owner.clone(),
        netns: record.netns.display().to_string(),
        addresses: record.addresses.iter().map(ToString::to_string).collect(),
        routes: routes.collect(),
        kind: record.kind.to_string(),
        mac: record.mac.clone().unwrap_or_default(),
        status: Some(proto::AttachmentStatus {
            port: port.to_string(),
            mtu: entry.map_or(0, |entry| entry.open.mtu),
            problem: attachment.problem.clone().unwrap_or_default(),
            host_device,
            host_mac,
        }),
    }
}

impl From<AttachError> for Status {
    fn from(error: AttachError) -> Self {
        let message = error.to_string();
        let (code, field, reason, hint) = match error {
            AttachError::Change(error) => return error.into(),
            AttachError::Exists(_) => {
                let hint = "detach it first";
                (Code::AlreadyExists, "key", "EXISTS", hint)
            }
            AttachError::UnknownNetwork(_) => {
                let hint = "add it to the daemon's configuration, or name another";
                (Code::NotFound, "network", "UNKNOWN_NETWORK", hint)
            }
            AttachError::NoMac(_) => {
                let hint = "ask for a tap or veth device, or for no MAC address";
                (Code::InvalidArgument, "mac", "NO_MAC", hint)
            }
            AttachError::NotBridged(..) => {
                let hint = "ask for a tap device, or for none by name";
                (Code::InvalidArgument, "kind", "NOT_BRIDGED", hint)
            }
            AttachError::Netns { .. } => {
                let hint = "does it exist, and is its directory mounted where the daemon runs?";
                (Code::FailedPrecondition, "netns", "NETNS", hint)
            }
            AttachError::NoPool(_) => {
                let hint = "add [[ipam]] to the daemon's configuration, or `ipam` to that of CNI";
                (Code::FailedPrecondition, "network", "NO_POOL", hint)
            }
            AttachError::NotInPool { .. } => {
                let hint = "choose one of the ranges of [[ipam]]";
                (Code::InvalidArgument, "requested", "NOT_IN_POOL", hint)
            }
            AttachError::Taken { .. } => {
                let hint = "see `ringlay attachment list` and `ringlay port list`";
                (Code::FailedPrecondition, "requested", "TAKEN", hint)
            }
            AttachError::Exhausted { .. } => {
                let hint = "widen the ranges, or remove containers; \
                            see `ringlay attachment list`";
                (Code::ResourceExhausted, "network", "EXHAUSTED", hint)
            }
            AttachError::Store(_) => {
                let hint = "see node.state in the daemon's configuration";
                (Code::FailedPrecondition, "", "STORE", hint)
            }
        };
        status(code, message, field, reason, hint)
    }
}

impl From<CheckError> for Status {
    fn from(error: CheckError) -> Self {
        let (code, reason) = match error {
            CheckError::Missing(_) => (Code::NotFound, "MISSING"),
            _ => (Code::FailedPrecondition, "DIFFERS"),
        };
        let hint = "attach the container anew";
        status(code, error, "key", reason, hint)
    }
}
