//! What is remembered of an attachment: enough to serve it again after a restart.

use std::{fmt, path::PathBuf};

use ipnet::IpNet;
use ringlay_dataplane::tables::IPV6_MTU_MIN;
use ringlay_encap::MacAddr;
use serde::{Deserialize, Serialize};

use super::kind::AttachKind;
use crate::{
    ipam::hash,
    netlink::veth::Veth,
    object::{
        DeviceName, Guest, GuestRoute, Key, Name, Object, PairEnd, Port, Route, Target, ZeroCopy,
    },
};

/// What distinguishes two attachments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttachmentKey {
    /// The container, as its runtime names it.
    pub container_id: String,
    /// The device inside it.
    pub device: String,
}

/// Which namespace a path leads to: its device and inode numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsId {
    /// Of the file system of namespaces.
    pub dev: u64,
    /// Of the namespace.
    pub ino: u64,
}

/// An attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What distinguishes it.
    pub key: AttachmentKey,
    /// The network.
    pub network: String,
    /// Who asked for it, e.g. the name of the CNI network configuration.
    pub owner: String,
    /// The container's network namespace.
    pub netns: PathBuf,
    /// Which one that is.
    pub netns_id: NetnsId,
    /// Which run of the kernel it belongs to.
    pub boot_id: String,
    /// What sort of device it has.
    #[serde(default)]
    pub kind: AttachKind,
    /// Whether its network is bridged, where Ringlay is no router.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bridged: bool,
    /// The MAC address of an Ethernet device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The device's addresses.
    pub addresses: Vec<IpNet>,
    /// Routes through the device, inside the container.
    pub routes: Vec<GuestRoute>,
}

/// Characters of a container's id that are shown in its port's name.
const SHOWN: usize = 24;

/// What a veth device takes from which XDP programs read: a page less room for headers and metadata
/// (`veth_xdp_set` in drivers/net/veth.c).
const VETH_MTU_MAX: u32 = 3_400;

impl AttachmentKey {
    /// The name of the end on the host, if it has a pair of devices.
    pub(super) fn host_end(&self) -> DeviceName {
        let name = format!("rlv{:012x}", hash(&self.to_string()));
        name.parse().expect("fifteen plain characters")
    }

    /// The MAC address of that.
    pub(super) fn host_mac(&self) -> MacAddr {
        MacAddr::derive_local(self.host_end().as_str().as_bytes())
    }

    /// The name of the port, unique and readable.
    pub fn port(&self) -> Name {
        let plain = |text: &str| -> String {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            text.chars()
                .map(|c| if fits(c) { c } else { '_' })
                .collect()
        };
        let id: String = plain(&self.container_id).chars().take(SHOWN).collect();
        let hash = hash(&self.to_string());
        let name = format!("{id}.{}.{hash:012x}", plain(&self.device));
        name.parse().expect("short and of plain characters")
    }
}

impl fmt::Display for AttachmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {} device {}", self.container_id, self.device)
    }
}

impl Record {
    /// The objects that serve it, its port first; `None` if the record is damaged. `resumed` if
    /// its device may be there already.
    pub fn objects(&self, resumed: bool) -> Option<Vec<Object>> {
        let port = self.port(resumed)?;
        // On Ethernet the container is a host behind the port.
        let is_router = port.kind.is_ethernet() && !self.bridged;
        let hosts = self.addresses.iter().filter(|_| is_router);
        let routes = hosts.map(|net| Route {
            network: port.network.clone(),
            prefix: IpNet::from(net.addr()),
            target: Target::Port(port.name.clone()),
            via: None,
            direct: false,
        });
        let routes: Vec<_> = routes.map(Object::Route).collect();
        let mut objects = vec![Object::Port(port)];
        objects.extend(routes);
        Some(objects)
    }

    /// What to delete when it goes, in order.
    pub fn keys(&self) -> Vec<Key> {
        match self.objects(true) {
            Some(objects) => objects.iter().rev().map(Object::key).collect(),
            None => vec![Key::Port(self.key.port())],
        }
    }

    /// The end on the host and its MAC address, if it has a pair of devices.
    pub fn host_end(&self) -> Option<(DeviceName, MacAddr)> {
        let end = || (self.key.host_end(), self.key.host_mac());
        self.kind.is_pair().then(end)
    }

    /// The pair of devices that there must be before it is served.
    pub(super) fn with_veth<T>(&self, mtu: u32, act: impl FnOnce(&Veth<'_>) -> T) -> Option<T> {
        let port = self.port(true)?;
        let guest = port.guest.filter(|_| self.kind.is_pair())?;
        let has_v6 = self.addresses.iter().any(|net| net.addr().is_ipv6());
        let least = if has_v6 { IPV6_MTU_MIN as u32 } else { 0 };
        let most = match self.kind {
            AttachKind::VethXdp => VETH_MTU_MAX,
            _ => u32::MAX,
        };
        Some(act(&Veth {
            host_end: port.device.as_str(),
            host_mac: self.key.host_mac(),
            netns: &self.netns,
            device: &self.key.device,
            mtu: mtu.clamp(least, most),
            guest: &guest,
        }))
    }

    fn port(&self, resumed: bool) -> Option<Port> {
        let inside = self.key.device.parse::<DeviceName>().ok()?;
        let mut pair = None;
        let (device, netns) = match self.kind {
            AttachKind::Tun | AttachKind::Tap => (inside, Some(self.netns.clone())),
            AttachKind::Veth | AttachKind::VethXdp => {
                pair = Some(PairEnd {
                    netns: self.netns.clone(),
                    device: inside,
                });
                (self.key.host_end(), None)
            }
        };
        let mac = self.mac.as_ref().map(|mac| mac.parse::<MacAddr>());
        Some(Port {
            name: self.key.port(),
            network: self.network.parse().ok()?,
            kind: self.kind.port(),
            device,
            netns,
            addresses: match self.bridged {
                true => Vec::new(),
                false => self.kind.port_addresses(&self.addresses),
            },
            mac: None,
            proxy: self.kind.port().is_ethernet() && !self.bridged,
            zero_copy: ZeroCopy::Auto,
            queues: None,
            routes: false,
            guest: Some(Guest {
                addresses: self.addresses.clone(),
                mac: mac.transpose().ok()?,
                routes: self.routes.clone(),
                resumed,
                pair,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(container_id: &str, device: &str) -> AttachmentKey {
        AttachmentKey {
            container_id: container_id.to_owned(),
            device: device.to_owned(),
        }
    }

    #[test]
    fn ports_have_valid_names_that_differ() {
        let long = "f".repeat(64);
        let names = [
            key("default-c1", "eth0"),
            key("default-c1", "net1"),
            key(&long, "eth0"),
            key(&(long.clone() + "0"), "eth0"),
            key("c", "weird@device#1!"),
        ]
        .map(|key| key.port().to_string());
        assert!(names[0].starts_with("default-c1.eth0."), "{}", names[0]);
        let mut distinct = names.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }
}
