//! Pairs of Ethernet devices (veth): one end on the host, the other inside a container.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, sync::mpsc, thread};

use ringlay_dataplane::sys::{ethtool, link, netns, rtnetlink::Rtnetlink};
use ringlay_encap::MacAddr;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    },
};

use super::{
    NetlinkError,
    guest::{Talk, failed, furnish},
    vanish,
};
use crate::object::Guest;

/// A pair to make.
#[derive(Clone, Copy, Debug)]
pub struct Veth<'a> {
    /// The end on the host.
    pub host_end: &'a str,
    /// Its MAC address.
    pub host_mac: MacAddr,
    /// The container's namespace.
    pub netns: &'a Path,
    /// The end inside.
    pub device: &'a str,
    /// The MTU of both, in bytes.
    pub mtu: u32,
    /// What the end inside has.
    pub guest: &'a Guest,
}

impl Veth<'_> {
    /// Makes the pair, unless its end on the host is there already. Both are up then.
    ///
    /// # Errors
    ///
    /// If the kernel refuses; then nothing is left of it.
    pub fn make(&self) -> Result<(), NetlinkError> {
        let Self {
            host_end, device, ..
        } = self;
        if link::index(host_end).is_ok() {
            return Ok(());
        }
        let make = format!("make the pair of devices {device} and {host_end}");
        self.request().map_err(failed(make))?;
        let done = self.set_up();
        if done.is_err() {
            let _ = remove(host_end);
        }
        done
    }

    fn request(&self) -> io::Result<()> {
        let namespace = File::open(self.netns)?;
        let mut inside = self.end(self.device);
        inside
            .attributes
            .push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        let mac = self.guest.mac.map(|mac| mac.0.to_vec());
        inside.attributes.extend(mac.map(LinkAttribute::Address));
        let mut message = self.end(self.host_end);
        let mac = self.host_mac.0.to_vec();
        message.attributes.push(LinkAttribute::Address(mac));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]));
        let message = RouteNetlinkMessage::NewLink(message);
        Talk::new()?.request(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    fn end(&self, name: &str) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(self.mtu),
        ];
        message
    }

    fn set_up(&self) -> Result<(), NetlinkError> {
        let host_end = link::index(self.host_end);
        let index = host_end.map_err(failed(format!("find {}", self.host_end)))?;
        // The host has nothing to say there. Where it has no IPv6 this fails, and does not matter.
        let _ = Rtnetlink::open().and_then(|it| it.set_no_link_local(index));
        bring_up(index).map_err(failed(format!("bring up {}", self.host_end)))?;
        let inside = || {
            let index = link::index(self.device);
            let index = index.map_err(failed(format!("find {}", self.device)))?;
            cut_tunnels(self.device);
            bring_up(index).map_err(failed(format!("bring up {}", self.device)))?;
            furnish(index, self.guest)
        };
        let visited = netns::visit(self.netns, inside);
        visited.map_err(failed(format!("enter {}", self.netns.display())))?
    }
}

/// Has the kernel cut super-frames that packet sockets have no word for before they leave: those in
/// tunnels of the container's own, and of SCTP. A kernel without such a feature hands over none.
fn cut_tunnels(device: &str) {
    const UNTOLD: [&str; 7] = [
        "tx-gre-segmentation",
        "tx-gre-csum-segmentation",
        "tx-ipxip4-segmentation",
        "tx-ipxip6-segmentation",
        "tx-udp_tnl-segmentation",
        "tx-udp_tnl-csum-segmentation",
        "tx-sctp-segmentation",
    ];
    let _ = ethtool::set_features(device, &UNTOLD.map(|name| (name, false)));
}

/// Removes a pair by its end on the host. It is fine if there is none. Returns when it is out of
/// sight, long before the kernel is done with it.
///
/// # Errors
///
/// If the kernel refuses.
pub fn remove(host_end: &str) -> Result<(), NetlinkError> {
    let failed = || failed(format!("remove {host_end}"));
    let Ok(index) = link::index(host_end) else {
        return Ok(());
    };
    let (answer, answered) = mpsc::channel();
    // It inherits the namespace of this thread.
    let thread = thread::Builder::new().name("leaving".to_owned());
    let work = move || drop(answer.send(delete(index)));
    thread.spawn(work).map_err(failed())?;
    loop {
        match answered.recv_timeout(vanish::PAUSE) {
            Ok(result) => return result.map_err(failed()),
            Err(_) if link::index(host_end).is_ok() => {}
            Err(_) => return Ok(()),
        }
    }
}

fn delete(index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Talk::new()?.request(RouteNetlinkMessage::DelLink(message), 0)
}

fn bring_up(index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    Talk::new()?.request(RouteNetlinkMessage::SetLink(message), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::look;

    #[test]
    fn a_pair_is_made_once_and_goes_as_one() {
        let test = || {
            let guest = Guest {
                addresses: vec!["10.9.0.1/32".parse().unwrap()],
                mac: Some("02:00:00:00:00:09".parse().unwrap()),
                ..Guest::default()
            };
            let pair = Veth {
                host_end: "rlv0",
                host_mac: "02:00:00:00:00:0a".parse().unwrap(),
                netns: Path::new("/proc/thread-self/ns/net"),
                device: "eth0",
                mtu: 1400,
                guest: &guest,
            };
            pair.make().unwrap();
            pair.make().unwrap();
            let inside = look("eth0").unwrap().expect("the end inside");
            assert!(inside.up && look("rlv0").unwrap().expect("the other").up);
            assert_eq!((inside.mtu, inside.mac), (1400, guest.mac));
            assert_eq!(look("rlv0").unwrap().unwrap().mac, Some(pair.host_mac));
            let features = ethtool::features("eth0").unwrap();
            let on = |name: &str| features.iter().any(|it| it.name == name && it.active);
            assert!(on("tx-tcp-segmentation") && !on("tx-udp_tnl-segmentation"));
            assert!(inside.addresses.contains(&guest.addresses[0]));
            let taken = Veth {
                host_end: "rlv1",
                ..pair
            };
            assert!(taken.make().is_err(), "there is an eth0");
            remove("rlv0").unwrap();
            remove("rlv0").unwrap();
            assert_eq!(look("eth0").unwrap(), None);
        };
        netns::run_in_new(test).expect("this test needs root");
    }
}
