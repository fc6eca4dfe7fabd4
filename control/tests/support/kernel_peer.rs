//! The peer: the kernel's own VXLAN device, set up in the two ways that people do.

use ringlay_control::lab::namespace::Namespace;

use super::node::VNI;
use super::pair::{Pair, UNDERLAY_DEVICE, Underlay, ip, number_after, run};

/// Name of the VXLAN device.
pub(crate) const DEVICE: &str = "vx42";
/// Its MAC address.
pub(crate) const MAC: &str = "02:42:00:00:00:02";
/// MAC address of the node's VTEP, where the peer has to know it beforehand.
pub(crate) const NODE_MAC: &str = "02:42:00:00:00:01";
/// Inner addresses of the peer as a router, in [`Style::Routed`].
pub(crate) const ROUTER: [&str; 2] = ["10.42.2.0", "fd42:2::"];

/// How the device is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// One wide prefix on the device: the node's addresses are on its link, found by ARP and ND.
    OnLink,
    /// As flannel does it: a route for each node, with its MAC address and VTEP written down, and
    /// the peer's own addresses behind the device.
    Routed,
}

/// What both ends have to agree on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convention {
    pub(crate) vni: u32,
    pub(crate) port: u16,
}

/// Makes the device in the pair's second host. It has 10.42.2.1 and fd42:2::1 either way.
pub(crate) fn start(pair: &Pair, underlay: Underlay, style: Style) {
    let convention = Convention {
        vni: VNI,
        port: 4789,
    };
    start_by(pair, underlay, style, convention);
}

/// The same by another convention.
pub(crate) fn start_by(pair: &Pair, underlay: Underlay, style: Style, convention: Convention) {
    add(pair, underlay, style, convention, "");
}

/// With these options, and addresses on its link.
pub(crate) fn start_with(pair: &Pair, underlay: Underlay, options: &str) {
    let convention = Convention {
        vni: VNI,
        port: 4789,
    };
    add(pair, underlay, Style::OnLink, convention, options);
}

fn add(pair: &Pair, underlay: Underlay, style: Style, convention: Convention, options: &str) {
    let Convention { vni, port } = convention;
    let host = &pair.peer;
    let (local, remote) = (underlay.peer(), underlay.node());
    let far = if style == Style::OnLink {
        format!("remote {remote}")
    } else {
        "nolearning".into()
    };
    ip(
        host,
        &format!(
            "link add {DEVICE} address {MAC} type vxlan id {vni} dstport {port} \
             dev {UNDERLAY_DEVICE} local {local} {far} {options}"
        ),
    );
    // Routed over IPv6 the kernel cannot derive it, for want of a remote address.
    ip(
        host,
        &format!("link set {DEVICE} mtu {} up", underlay.inner_mtu()),
    );
    match style {
        Style::OnLink => set_up_on_link(host),
        Style::Routed => set_up_routed(host, &remote.to_string()),
    }
}

fn set_up_on_link(host: &Namespace) {
    ip(host, &format!("address add 10.42.2.1/16 dev {DEVICE}"));
    ip(
        host,
        &format!("address add fd42:2::1/16 dev {DEVICE} nodad"),
    );
}

fn set_up_routed(host: &Namespace, node: &str) {
    ip(host, "address add 10.42.2.1/32 dev lo");
    ip(host, "address add fd42:2::1/128 dev lo nodad");
    let [router4, router6] = ROUTER;
    ip(host, &format!("address add {router4}/32 dev {DEVICE}"));
    ip(
        host,
        &format!("address add {router6}/128 dev {DEVICE} nodad"),
    );
    for (prefix, router) in [("10.42.1.0/24", "10.42.1.0"), ("fd42:1::/64", "fd42:1::")] {
        ip(
            host,
            &format!("neigh add {router} lladdr {NODE_MAC} dev {DEVICE} nud permanent"),
        );
        ip(
            host,
            &format!("route add {prefix} via {router} dev {DEVICE} onlink"),
        );
    }
    run(
        host,
        "bridge",
        &format!("fdb append {NODE_MAC} dev {DEVICE} dst {node}"),
    );
}

/// The MTU of `device` in `host`.
pub(crate) fn mtu(host: &Namespace, device: &str) -> u64 {
    let shown = ip(host, &format!("link show dev {device}"));
    number_after(&shown, "mtu").expect("every device has an MTU")
}
