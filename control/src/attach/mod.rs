//! Containers on networks: gives each a device, addresses and routes inside its namespace, remembers
//! it across restarts, and takes it all back.
//!
//! An attachment is a port of source `cni` and a record on disk. The record is written before the
//! device is made and removed after it is let go, so that nothing is ever there without one.

mod error;
pub mod inspect;
mod journal;
mod kind;
mod masquerade;
mod record;
mod request;
mod restore;
mod store;

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

pub use self::{
    error::{AttachError, CheckError},
    kind::{AttachKind, AttachKindError},
    masquerade::{Masquerade, MasqueradeError},
    record::{AttachmentKey, NetnsId, Record},
    request::Request,
    store::{Store, StoreError},
};
use crate::{
    app::{ChangeError, Done, Engine, HostError},
    client::DEFAULT_SOCKET,
    ipam::Pool,
    netlink::{NetlinkError, veth},
    object::{Name, Source},
    rib::Operation,
};

/// Where the daemon on the default socket remembers attachments unless the configuration says.
pub const DEFAULT_STATE: &str = "/var/lib/ringlay";

/// An attachment, and whether it is served.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What is remembered.
    pub record: Record,
    /// Why it is not served, if it is not.
    pub problem: Option<String>,
}

/// All attachments of a node.
#[derive(Debug)]
pub struct Attachments {
    store: Store,
    boot_id: String,
    entries: BTreeMap<AttachmentKey, Attachment>,
    /// Who has an address, by network.
    owners: BTreeMap<(String, IpAddr), AttachmentKey>,
}

impl Attachments {
    /// What is remembered in `state`, to be served again.
    ///
    /// # Errors
    ///
    /// If the directory cannot be had or read.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let store = Store::open(state.join("attachments"))?;
        let mut attachments = Self {
            store,
            boot_id: boot_id(),
            entries: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        for record in attachments.store.load()? {
            if record.boot_id == attachments.boot_id {
                attachments.insert(record, Some("not served yet".to_owned()));
            } else {
                // Its container ended with the kernel that it ran on.
                attachments.store.remove(&record.key)?;
            }
        }
        Ok(attachments)
    }

    /// All, by container and device.
    pub fn iter(&self) -> impl Iterator<Item = &Attachment> {
        self.entries.values()
    }

    /// Attaches a container. What was attached under the same key to a namespace that is gone is
    /// taken back first.
    ///
    /// # Errors
    ///
    /// If it cannot be done; then nothing is left of it.
    pub fn attach(
        &mut self,
        engine: &mut Engine,
        request: Request,
    ) -> Result<(Attachment, Option<Done>), AttachError> {
        let netns_id = netns_id(&request.netns).map_err(|source| AttachError::Netns {
            path: request.netns.clone(),
            source,
        })?;
        if let Some(there) = self.entries.get(&request.key) {
            if there.problem.is_none() && there.record.netns_id == netns_id {
                let same = request.exist_ok && there.record.network == request.network.as_str();
                return match same {
                    true => Ok((there.clone(), None)),
                    false => Err(AttachError::Exists(request.key)),
                };
            }
            self.detach(engine, &request.key)?;
        }
        if engine.rib().network(&request.network).is_none() {
            return Err(AttachError::UnknownNetwork(request.network));
        }
        let bridged = engine.rib().is_bridged(&request.network);
        let usual = if bridged {
            AttachKind::Tap
        } else {
            AttachKind::Tun
        };
        let kind = request.kind.unwrap_or(usual);
        if bridged && kind != usual {
            return Err(AttachError::NotBridged(kind, request.network));
        }
        if request.mac.is_some() && !kind.port().is_ethernet() {
            return Err(AttachError::NoMac(kind));
        }
        let addresses = self.addresses(engine, &request)?;
        let link = bridged.then(|| request::Link {
            gateways: pool(engine, &request.network)
                .map(|pool| pool.gateways.clone())
                .unwrap_or_default(),
        });
        let boot_id = self.boot_id.clone();
        let record = request.record(kind, link.as_ref(), addresses, netns_id, boot_id);
        self.store.put(&record)?;
        match serve(engine, &record, false) {
            Ok(done) => {
                let attachment = self.insert(record, None);
                Ok((attachment, Some(done)))
            }
            Err(error) => {
                self.store.remove(&record.key)?;
                Err(error.into())
            }
        }
    }

    /// Takes an attachment back; returns what there was.
    ///
    /// # Errors
    ///
    /// If something holds on to it; then it stays.
    pub fn detach(
        &mut self,
        engine: &mut Engine,
        key: &AttachmentKey,
    ) -> Result<Option<Attachment>, AttachError> {
        let Some(attachment) = self.entries.get(key) else {
            return Ok(None);
        };
        let keys = attachment.record.keys().into_iter();
        let operations = keys.map(|key| Operation::Delete {
            key,
            missing_ok: true,
        });
        engine.apply(Source::Cni, operations.collect())?;
        if attachment.record.kind.is_pair() {
            let removed = veth::remove(key.host_end().as_str());
            removed.map_err(|source| broken(key, source))?;
        }
        self.store.remove(key)?;
        let gone = self.entries.remove(key);
        self.owners.retain(|_, owner| owner != key);
        Ok(gone)
    }

    /// Takes back all of `owner` but `keys`; returns what was taken back, and what could not be.
    pub fn retain(
        &mut self,
        engine: &mut Engine,
        owner: &str,
        keys: &[AttachmentKey],
    ) -> (Vec<Attachment>, Vec<String>) {
        let stale: Vec<_> = self
            .entries
            .values()
            .map(|it| &it.record)
            .filter(|record| record.owner == owner && !keys.contains(&record.key))
            .map(|record| record.key.clone())
            .collect();
        let (mut gone, mut problems) = (Vec::new(), Vec::new());
        for key in stale {
            match self.detach(engine, &key) {
                Ok(attachment) => gone.extend(attachment),
                Err(error) => problems.push(format!("{key}: {error}")),
            }
        }
        (gone, problems)
    }

    /// Whether an attachment to `network` could succeed now; `addresses` if it would take some of
    /// the network's own.
    ///
    /// # Errors
    ///
    /// If not; says why.
    pub fn check_ready(
        &self,
        engine: &Engine,
        network: &Name,
        addresses: bool,
    ) -> Result<(), AttachError> {
        if engine.rib().network(network).is_none() {
            return Err(AttachError::UnknownNetwork(network.clone()));
        }
        if addresses {
            let sets = pool(engine, network)?.sets();
            self.choose(engine, network, &sets, "anybody")?;
        }
        Ok(())
    }

    fn insert(&mut self, record: Record, problem: Option<String>) -> Attachment {
        for address in &record.addresses {
            let place = (record.network.clone(), address.addr());
            self.owners.insert(place, record.key.clone());
        }
        let attachment = Attachment { record, problem };
        self.entries
            .insert(attachment.record.key.clone(), attachment.clone());
        attachment
    }
}

/// The addresses for containers of a network.
fn pool<'a>(engine: &'a Engine, network: &Name) -> Result<&'a Pool, AttachError> {
    let mut pools = engine.identity().settings.pools.iter();
    pools
        .find(|pool| pool.network == *network)
        .ok_or_else(|| AttachError::NoPool(network.clone()))
}

/// Makes the port of an attachment, and what else serves it.
fn serve(engine: &mut Engine, record: &Record, resumed: bool) -> Result<Done, ChangeError> {
    let objects = record.objects(resumed).ok_or_else(|| ChangeError::Host {
        object: record.key.to_string(),
        source: HostError::new("the record has a name that is none"),
    })?;
    let operations = objects.into_iter().map(|object| Operation::Apply {
        object,
        exist_ok: false,
    });
    let network = record.network.parse::<Name>().ok();
    // Without a network it is refused further down.
    if let Some(mtu) = network.and_then(|network| engine.compiler().mtu(&network)) {
        let made = record.with_veth(mtu, |veth| veth.make()).transpose();
        made.map_err(|source| broken(&record.key, source))?;
    }
    let applied = engine.apply(Source::Cni, operations.collect());
    if applied.is_err() && record.kind.is_pair() && !resumed {
        let _ = veth::remove(record.key.host_end().as_str());
    }
    applied
}

fn broken(key: &AttachmentKey, source: NetlinkError) -> ChangeError {
    ChangeError::Host {
        object: key.to_string(),
        source: HostError::new(source),
    }
}

/// Which namespace a path leads to.
fn netns_id(path: &Path) -> std::io::Result<NetnsId> {
    let metadata = fs::metadata(path)?;
    Ok(NetnsId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    })
}

/// What tells one run of the kernel from the next.
fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Where a daemon that listens on `socket` remembers its attachments. Each daemon has a place of
/// its own: what one finds there it serves.
pub fn state_directory(configured: Option<&Path>, socket: &Path) -> PathBuf {
    match configured {
        Some(state) => state.to_owned(),
        None if socket == Path::new(DEFAULT_SOCKET) => DEFAULT_STATE.into(),
        None => {
            let mut beside = socket.as_os_str().to_owned();
            beside.push(".state");
            beside.into()
        }
    }
}
