//! Many routes at once: over gRPC and by the command, on a machine that only remembers, and between
//! two real nodes while traffic runs. The latter needs root and iproute2.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it by panicking"
)]
#![allow(
    dead_code,
    reason = "what is shared with other tests has more than these need"
)]

#[path = "../direct/fake_host.rs"]
mod fake_host;
mod generate;
#[path = "../netns/hosts.rs"]
mod hosts;
mod import;
mod list;
mod load;
#[path = "../direct/node.rs"]
mod node;
#[path = "../support/ping.rs"]
mod ping;
mod traffic;

/// A network with a port and three VTEPs, and one route.
const CONFIG: &str = r#"
[underlay]
address = "192.0.2.100"

[[network]]
name = "blue"
vni = 42

[[port]]
network = "blue"
device = "rl0"
addresses = ["10.0.1.1/24"]
routes = false

[[vtep]]
network = "blue"
address = "192.0.2.1"

[[vtep]]
network = "blue"
address = "192.0.2.2"

[[vtep]]
network = "blue"
address = "192.0.2.3"

[[route]]
network = "blue"
prefix = "10.0.2.0/24"
vtep = "192.0.2.1"
"#;
