//! Network devices of the calling thread's namespace: make them, address them, raise them.
//!
//! A thin wrapper that keeps rtnetlink's asynchronous interface, which changes often, in one
//! place. It watches nothing and caches nothing.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage, State};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder};
use tokio_stream::StreamExt;

use super::LabError;
use super::namespace::Namespace;

/// A device as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Name.
    pub name: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Ready to send: it is up and so is its other end, and the kernel has taken that up.
    pub operational: bool,
}

/// Joins this thread's namespace to `far` by a veth pair; each end is down until [`set_up`].
///
/// # Errors
/// What the kernel says.
pub fn add_veth(name: &str, far: &Namespace, far_name: &str) -> Result<(), LabError> {
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(far_name)
        .setns_by_fd(far.file().as_raw_fd())
        .build();
    let message = LinkVeth::new(name, far_name)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    add(message, format!("add veth {name}"))
}

/// Adds a VXLAN device with one fixed far end, no outer MTU set (the kernel takes the route's).
///
/// # Errors
/// [`LabError::Unsupported`] where the kernel has none; otherwise what it says.
pub fn add_vxlan(
    name: &str,
    vni: u32,
    local: Ipv4Addr,
    remote: Ipv4Addr,
    port: u16,
    device: &str,
) -> Result<(), LabError> {
    let message = LinkVxlan::new(name, vni)
        .local(local)
        .remote(remote)
        .port(port)
        .dev(index(device)?)
        .up()
        .build();
    add(message, format!("add vxlan {name}")).map_err(|error| {
        if is_unsupported(&error) {
            LabError::unsupported("this kernel has no VXLAN device")
        } else {
            error
        }
    })
}

/// Adds a device from a ready message.
///
/// # Errors
/// What the kernel says.
pub fn add(message: LinkMessage, what: String) -> Result<(), LabError> {
    block_on(|handle| async move { handle.link().add(message).execute().await })?
        .map_err(LabError::netlink(what))
}

/// Whether an error means that the kernel does not know the kind of device.
pub fn is_unsupported(error: &LabError) -> bool {
    let LabError::Netlink { source, .. } = error else {
        return false;
    };
    matches!(&**source, rtnetlink::Error::NetlinkError(message)
        if message.to_io().raw_os_error() == Some(nix::libc::EOPNOTSUPP))
}

/// Removes a device.
///
/// # Errors
/// What the kernel says.
pub fn remove(name: &str) -> Result<(), LabError> {
    let index = index(name)?;
    block_on(|handle| async move { handle.link().del(index).execute().await })?
        .map_err(LabError::netlink(format!("remove {name}")))
}

/// Raises a device.
///
/// # Errors
/// What the kernel says.
pub fn set_up(name: &str) -> Result<(), LabError> {
    let message = LinkUnspec::new_with_index(index(name)?).up().build();
    block_on(|handle| async move { handle.link().set(message).execute().await })?
        .map_err(LabError::netlink(format!("set {name} up")))
}

/// Waits until a device that is up, like its other end, is operational. The kernel may take a while
/// to make it so, and until then loses what is sent.
///
/// # Errors
/// What the kernel says; [`LabError::TimedOut`] if it is not so within `limit`.
pub fn wait_until_operational(name: &str, limit: Duration) -> Result<(), LabError> {
    let deadline = Instant::now() + limit;
    while !list()?.iter().any(|it| it.name == name && it.operational) {
        if Instant::now() > deadline {
            let what = format!("{name} to become operational");
            let seconds = limit.as_secs();
            return Err(LabError::TimedOut { what, seconds });
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Sets a device's MTU in bytes.
///
/// # Errors
/// What the kernel says.
pub fn set_mtu(name: &str, mtu: u32) -> Result<(), LabError> {
    let message = LinkUnspec::new_with_index(index(name)?).mtu(mtu).build();
    block_on(|handle| async move { handle.link().set(message).execute().await })?
        .map_err(LabError::netlink(format!("set the MTU of {name} to {mtu}")))
}

/// Sets a device's MAC address.
///
/// # Errors
/// What the kernel says.
pub fn set_mac(name: &str, mac: [u8; 6]) -> Result<(), LabError> {
    let message = LinkUnspec::new_with_index(index(name)?)
        .address(mac.to_vec())
        .build();
    block_on(|handle| async move { handle.link().set(message).execute().await })?
        .map_err(LabError::netlink(format!("set the MAC address of {name}")))
}

/// Gives a device an address.
///
/// # Errors
/// What the kernel says.
pub fn add_address(name: &str, address: IpNet) -> Result<(), LabError> {
    let index = index(name)?;
    block_on(|handle| async move {
        handle
            .address()
            .add(index, address.addr(), address.prefix_len())
            .execute()
            .await
    })?
    .map_err(LabError::netlink(format!("add {address} to {name}")))
}

/// Sends everything that has no better route out of a device.
///
/// # Errors
/// What the kernel says.
pub fn add_default_route(name: &str) -> Result<(), LabError> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .output_interface(index(name)?)
        .scope(RouteScope::Link)
        .build();
    block_on(|handle| async move { handle.route().add(route).execute().await })?
        .map_err(LabError::netlink(format!("add a default route by {name}")))
}

/// Sends everything that has no better route to a router on a link.
///
/// # Errors
/// What the kernel says.
pub fn add_default_route_via(router: Ipv4Addr) -> Result<(), LabError> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(router)
        .build();
    block_on(|handle| async move { handle.route().add(route).execute().await })?.map_err(
        LabError::netlink(format!("add a default route via {router}")),
    )
}

/// The devices of this namespace.
///
/// # Errors
/// What the kernel says.
pub fn list() -> Result<Vec<Link>, LabError> {
    block_on(|handle| async move {
        let mut links = Vec::new();
        let mut stream = std::pin::pin!(handle.link().get().execute());
        while let Some(message) = stream.next().await {
            links.push(parse(&message?));
        }
        Ok(links)
    })?
    .map_err(LabError::netlink("list devices"))
}

fn parse(message: &LinkMessage) -> Link {
    use rtnetlink::packet_route::link::LinkFlags;
    let mut link = Link {
        name: String::new(),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        operational: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::OperState(state) => link.operational = *state == State::Up,
            _ => {}
        }
    }
    link
}

pub(super) fn index(name: &str) -> Result<u32, LabError> {
    if_nametoindex(name).map_err(LabError::io(format!("find device {name}")))
}

/// The netlink socket belongs to the namespace of the thread that opens it: this one.
pub(super) fn block_on<T, F>(work: impl FnOnce(Handle) -> F) -> Result<T, LabError>
where
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(LabError::io("start a netlink runtime"))?;
    runtime.block_on(async {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(LabError::io("open a netlink socket"))?;
        let pump = tokio::spawn(connection);
        let result = work(handle).await;
        pump.abort();
        Ok(result)
    })
}

const LOOK_INTERVAL: Duration = Duration::from_millis(1);
