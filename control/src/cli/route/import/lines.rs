//! Routes as text, one a line: `PREFIX NEXTHOP`.

use std::{
    io::{BufRead, ErrorKind},
    net::IpAddr,
    str,
};

use ipnet::IpNet;

use super::{
    input::Input,
    pack::{Packer, Stop},
};
use crate::proto::{RoutePath, VtepList, route_path::Target};

/// Reads all lines.
pub(super) fn read(mut input: Input, packer: &mut Packer) -> Result<(), Stop> {
    let (mut text, mut number) = (Vec::new(), 0);
    loop {
        text.clear();
        match input.read_until(b'\n', &mut text) {
            Ok(0) => return Ok(()),
            Ok(_) => number += 1,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::Bad(format!(": {error}"))),
        }
        let Ok(text) = str::from_utf8(&text) else {
            let text = String::from_utf8_lossy(&text);
            return Err(Stop::line(number, &text, "is no text"));
        };
        line(text, number, packer)?;
    }
}

/// Takes one line.
fn line(text: &str, number: u64, packer: &mut Packer) -> Result<(), Stop> {
    let content = text
        .split_once('#')
        .map_or(text, |(content, _)| content)
        .trim_ascii();
    if content.is_empty() {
        return Ok(());
    }
    let bad = |problem: String| Stop::line(number, text, problem);
    let Some((prefix, next_hop)) = content.split_once([' ', '\t']) else {
        return Err(bad("has no next hop behind the prefix".to_owned()));
    };
    let prefix = parse_prefix(prefix).map_err(bad)?;
    let path = packer
        .path(next_hop.trim_ascii_start(), parse_path)
        .map_err(bad)?;
    packer.route(prefix, path, number)
}

fn parse_prefix(text: &str) -> Result<IpNet, String> {
    let Some((address, length)) = text.split_once('/') else {
        return Err(format!("{text}: no prefix; write ADDRESS/LENGTH"));
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("{address}: no IP address"))?;
    let length = length
        .parse()
        .ok()
        .filter(|_| length.bytes().all(|it| it.is_ascii_digit()));
    let prefix = length.and_then(|length| IpNet::new(address, length).ok());
    let prefix = prefix.ok_or_else(|| format!("{text}: no prefix length"))?;
    if prefix.network() == address {
        Ok(prefix)
    } else {
        Err(format!("{text} has host bits; write {}", prefix.trunc()))
    }
}

/// What stands behind a prefix: where the route leads.
pub(super) fn parse_path(text: &str) -> Result<RoutePath, String> {
    let mut words = text.split_ascii_whitespace();
    let target = match words.next() {
        Some("drop") => Target::Drop(true),
        Some("port") => {
            let name = words.next();
            Target::Port(name.ok_or("names no port")?.to_owned())
        }
        Some(addresses) => Target::Vteps(VtepList {
            addresses: parse_vteps(addresses)?,
        }),
        None => return Err("has no next hop behind the prefix".to_owned()),
    };
    let (via, direct) = match (words.next(), words.next()) {
        (None, _) => (String::new(), false),
        (Some("via"), Some(address)) => (parse_address(address)?, false),
        (Some("direct"), None) => (String::new(), true),
        (Some("direct"), Some(other)) | (Some(other), _) => {
            return Err(format!("{other:?} is not understood"));
        }
    };
    match words.next() {
        None => Ok(RoutePath {
            target: Some(target),
            via,
            direct,
        }),
        Some(other) => Err(format!("{other:?} is not understood")),
    }
}

fn parse_vteps(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(parse_address).collect()
}

/// Addresses are sent as text, in their usual notation.
fn parse_address(text: &str) -> Result<String, String> {
    let address = text.parse::<IpAddr>();
    address.map(|address| address.to_string()).map_err(|_| {
        format!("{text:?} is no next hop; use ADDRESS[,ADDRESS...], `port NAME` or `drop`")
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::proto::{LoadPiece, load_routes_request::Part};

    fn pack(text: &str) -> Result<LoadPiece, String> {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut packer = Packer::new(sender);
        let done = read(Input::of(text.as_bytes()), &mut packer).and_then(|()| packer.finish());
        if let Err(Stop::Bad(problem)) = done {
            return Err(problem);
        }
        match receiver.try_recv().unwrap().part {
            Some(Part::Piece(piece)) => Ok(piece),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_become_records_and_each_path_is_sent_once() {
        let text = "# routes\n\n10.0.0.0/8 192.0.2.1\n  fd00::/16\tdrop # none\r\n\
                    10.1.0.0/16 192.0.2.1\n0.0.0.0/0 192.0.2.1,192.0.2.2\n\
                    10.2.0.0/16   port rl0\n10.3.0.0/16 192.0.2.1 via 10.0.2.254";
        let piece = pack(text).unwrap();
        assert_eq!(piece.packed.len(), 5 * 10 + 22);
        assert_eq!(piece.packed[..10], [4, 8, 10, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(piece.packed[10..14], [6, 16, 0xfd, 0]);
        assert_eq!(piece.packed[32..42], [4, 16, 10, 1, 0, 0, 0, 0, 0, 0]);
        let targets: Vec<_> = piece
            .paths
            .iter()
            .map(|path| path.target.clone().unwrap())
            .collect();
        let vteps = |addresses: &[&str]| {
            Target::Vteps(VtepList {
                addresses: addresses.iter().map(|it| (*it).to_owned()).collect(),
            })
        };
        let expected = [
            vteps(&["192.0.2.1"]),
            Target::Drop(true),
            vteps(&["192.0.2.1", "192.0.2.2"]),
            Target::Port("rl0".to_owned()),
            vteps(&["192.0.2.1"]),
        ];
        assert_eq!(targets, expected);
        assert_eq!(piece.paths[4].via, "10.0.2.254");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, problem) in [
            (
                "10.0.0.0/8",
                ":1: 10.0.0.0/8: has no next hop behind the prefix",
            ),
            (
                "\n10.0.0.1/8 drop",
                ":2: 10.0.0.1/8 drop: 10.0.0.1/8 has host bits; write 10.0.0.0/8",
            ),
            (
                "10.0.0.0/33 drop",
                ":1: 10.0.0.0/33 drop: 10.0.0.0/33: no prefix length",
            ),
            (
                "10.0.0.0/+8 drop",
                ":1: 10.0.0.0/+8 drop: 10.0.0.0/+8: no prefix length",
            ),
            (
                "10.0.0.0 drop",
                ":1: 10.0.0.0 drop: 10.0.0.0: no prefix; write ADDRESS/LENGTH",
            ),
            ("x/8 drop", ":1: x/8 drop: x: no IP address"),
            ("fd00::/8 port", ":1: fd00::/8 port: names no port"),
            (
                "fd00::/8 drop it",
                ":1: fd00::/8 drop it: \"it\" is not understood",
            ),
            (
                "::/0 1.2.3.4 via 1.2.3.4 x",
                ":1: ::/0 1.2.3.4 via 1.2.3.4 x: \"x\" is not understood",
            ),
        ] {
            assert_eq!(pack(text).unwrap_err(), problem);
        }
        let problem = pack("::/0 1.2.3.4,blue").unwrap_err();
        assert!(problem.contains("\"blue\" is no next hop"), "{problem}");
    }
}
