//! Routers behind one VTEP, over which the routes of a table are spread: each is a next hop of its
//! own, and they differ by the inner destination MAC address alone. With one next hop only, a table
//! could join neighbouring routes.

use std::net::Ipv4Addr;

/// Router `number` as a route file names it.
pub(crate) fn next_hop(vtep: Ipv4Addr, number: u16) -> String {
    format!("{vtep} via {}", router(number))
}

/// So many of them, as a config file of a node has them.
pub(crate) fn neighbours(network: &str, vtep: Ipv4Addr, count: u16) -> String {
    let neighbour = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let router = router(number);
        format!(
            r#"
[[neighbour]]
network = "{network}"
address = "{router}"
vtep = "{vtep}"
mac = "02:00:00:01:{high:02x}:{low:02x}"
"#
        )
    };
    (0..count).map(neighbour).collect()
}

fn router(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 43, high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_are_routers_behind_one_vtep() {
        let vtep = Ipv4Addr::new(192, 168, 77, 2);
        assert_eq!(next_hop(vtep, 258), "192.168.77.2 via 10.43.1.2");
        let text = neighbours("blue", vtep, 259);
        assert_eq!(text.matches("[[neighbour]]").count(), 259);
        let last =
            "address = \"10.43.1.2\"\nvtep = \"192.168.77.2\"\nmac = \"02:00:00:01:01:02\"\n";
        assert!(text.ends_with(last), "{text}");
    }
}
