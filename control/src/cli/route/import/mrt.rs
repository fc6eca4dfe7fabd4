//! Routes from a BGP daemon's dump: MRT files with TABLE_DUMP_V2 records (RFC 6396 section 4.3).
//!
//! Such a dump has, for each prefix, the routes of all peers, and does not say which one is best:
//! the first is taken, or that of one peer. Updates (BGP4MP) and the older TABLE_DUMP are not read.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::IpAddr,
    path::Path,
};

use bgpkit_parser::{
    BgpkitParser,
    models::{
        Attributes, MrtMessage, PeerIndexTable, RibAfiEntries, RibEntry, TableDumpV2Message,
        TableDumpV2Type,
    },
};

use super::{
    input::Input,
    lines::parse_path,
    pack::{Packer, Stop},
};
use crate::{cli::failure::Failure, proto::RoutePath};

/// Where BGP next hops lead.
#[derive(Debug)]
pub(super) enum NextHops {
    /// They are VTEPs themselves.
    Same,
    /// All to one path.
    All(String),
    /// By a list, and what is not in it to the last, if that is there.
    Listed(HashMap<IpAddr, String>, Option<String>),
}

impl NextHops {
    /// Reads a list: `NEXTHOP PATH` a line, with the paths of text files; `*` is any other next
    /// hop.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let bad = |error: &dyn std::fmt::Display| Failure::usage(format_args!("{name}: {error}"));
        let file = std::fs::File::open(path).map_err(|error| bad(&error))?;
        let (mut listed, mut others) = (HashMap::new(), None);
        for (line, number) in BufReader::new(file).lines().zip(1..) {
            let line = line.map_err(|error| bad(&error))?;
            if let Some((next_hop, words)) = list_item(&line)
                .map_err(|problem| Failure::usage(format_args!("{name}:{number}: {problem}")))?
            {
                match next_hop {
                    Some(next_hop) => drop(listed.insert(next_hop, words)),
                    None => others = Some(words),
                }
            }
        }
        Ok(Self::Listed(listed, others))
    }

    /// The path of a next hop, in words.
    fn path(&self, next_hop: IpAddr) -> Option<String> {
        match self {
            Self::Same => Some(next_hop.to_string()),
            Self::All(words) => Some(words.clone()),
            Self::Listed(listed, others) => listed.get(&next_hop).or(others.as_ref()).cloned(),
        }
    }
}

/// A line of a list: the next hop, none if it is any other, and the path.
fn list_item(line: &str) -> Result<Option<(Option<IpAddr>, String)>, String> {
    let content = line.split_once('#').map_or(line, |(content, _)| content);
    let content = content.trim_ascii();
    if content.is_empty() {
        return Ok(None);
    }
    let (next_hop, words) = content
        .split_once([' ', '\t'])
        .ok_or_else(|| format!("{content}: has no path behind the next hop"))?;
    let address = match next_hop {
        "*" => None,
        address => Some(
            address
                .parse()
                .map_err(|_| format!("{address}: no IP address"))?,
        ),
    };
    let words = words.trim_ascii();
    parse_path(words)?;
    Ok(Some((address, words.to_owned())))
}

/// Whether a file begins like one.
pub(super) fn is_mrt(start: &[u8]) -> bool {
    // Type TABLE_DUMP_V2, subtype PEER_INDEX_TABLE, which comes first.
    matches!(start.get(4..8), Some([0, 13, 0, 1]))
}

/// Reads all records.
pub(super) fn read(
    input: Input,
    next_hops: &NextHops,
    peer: Option<IpAddr>,
    packer: &mut Packer,
) -> Result<(), Stop> {
    let mut reader = Reader {
        next_hops,
        peer,
        index: None,
        paths: HashMap::new(),
    };
    let records = BgpkitParser::from_reader(input)
        .disable_warnings()
        .into_fallible_record_iter();
    for (record, number) in records.zip(1..) {
        let bad = |problem: String| Stop::Bad(format!(": MRT record {number}: {problem}"));
        let record = record.map_err(|error| bad(error.error.to_string()))?;
        match record.message {
            MrtMessage::TableDumpV2Message(TableDumpV2Message::PeerIndexTable(table)) => {
                reader.index = reader.index_of_peer(&table).map_err(bad)?;
            }
            MrtMessage::TableDumpV2Message(TableDumpV2Message::RibAfi(entries)) => {
                if let Some(path) = reader.path(&entries, packer).map_err(bad)? {
                    packer.route(entries.prefix.prefix, path, number)?;
                }
            }
            MrtMessage::TableDumpV2Message(_) => {}
            _ => return Err(bad("is none of a RIB dump (TABLE_DUMP_V2)".to_owned())),
        }
    }
    Ok(())
}

/// What is kept from record to record.
struct Reader<'a> {
    next_hops: &'a NextHops,
    peer: Option<IpAddr>,
    /// The number of the peer, where only its routes count.
    index: Option<u16>,
    /// Numbers of the paths of next hops.
    paths: HashMap<IpAddr, u32>,
}

impl Reader<'_> {
    fn index_of_peer(&self, table: &PeerIndexTable) -> Result<Option<u16>, String> {
        let Some(peer) = self.peer else {
            return Ok(None);
        };
        let found = table.id_peer_map.iter().find(|(_, it)| it.peer_ip == peer);
        let index = found.map(|(index, _)| *index);
        index
            .map(Some)
            .ok_or_else(|| format!("the dump has no peer {peer}"))
    }

    /// The path that a prefix has; none if it is none of ours to forward by.
    fn path(&mut self, of: &RibAfiEntries, packer: &mut Packer) -> Result<Option<u32>, String> {
        use TableDumpV2Type as Type;
        let unicast = [
            Type::RibIpv4Unicast,
            Type::RibIpv6Unicast,
            Type::RibIpv4UnicastAddPath,
            Type::RibIpv6UnicastAddPath,
        ];
        if !unicast.contains(&of.rib_type) {
            return Ok(None);
        }
        let counts = |entry: &&RibEntry| self.index.is_none_or(|index| index == entry.peer_index);
        let Some(entry) = of.rib_entries.iter().find(counts) else {
            return Ok(None);
        };
        let prefix = of.prefix.prefix;
        let next_hop =
            next_hop(&entry.attributes).ok_or_else(|| format!("{prefix} has no next hop"))?;
        if let Some(path) = self.paths.get(&next_hop) {
            return Ok(Some(*path));
        }
        let words = self.next_hops.path(next_hop);
        let words =
            words.ok_or_else(|| format!("{prefix}: next hop {next_hop} is not in the map"))?;
        let path: u32 = packer.path(&words, |words| {
            parse_path(words) as Result<RoutePath, String>
        })?;
        self.paths.insert(next_hop, path);
        Ok(Some(path))
    }
}

fn next_hop(attributes: &Attributes) -> Option<IpAddr> {
    let multiprotocol = || {
        let reachable = attributes.get_reachable_nlri()?;
        reachable.next_hop.as_ref().map(|next_hop| next_hop.addr())
    };
    attributes.next_hop().or_else(multiprotocol)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::proto::{LoadPiece, load_routes_request::Part, route_path::Target};

    fn record(subtype: u16, body: &[u8]) -> Vec<u8> {
        let mut record = vec![0, 0, 0, 1, 0, 13];
        record.extend(subtype.to_be_bytes());
        record.extend((body.len() as u32).to_be_bytes());
        record.extend(body);
        record
    }

    /// Two peers: 198.51.100.1 and 2001:db8::1.
    fn peers() -> Vec<u8> {
        let mut body = vec![192, 0, 2, 7, 0, 0, 0, 2];
        body.extend([2, 1, 1, 1, 1, 198, 51, 100, 1, 0, 0, 0xfd, 0xe8]);
        body.extend([3, 1, 1, 1, 2, 0x20, 1, 0xd, 0xb8]);
        body.extend([0; 11]);
        body.extend([1, 0, 0, 0xfd, 0xe9]);
        record(1, &body)
    }

    fn rib(subtype: u16, prefix: &[u8], entries: &[(u8, &[u8])]) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 0];
        body.extend(prefix);
        body.extend([0, entries.len() as u8]);
        for (peer, attribute) in entries {
            // Origin IGP and an empty AS path come before it.
            let fixed = [0x40, 1, 1, 0, 0x40, 2, 0];
            body.extend([
                0,
                *peer,
                0,
                0,
                0,
                0,
                0,
                (fixed.len() + attribute.len()) as u8,
            ]);
            body.extend(fixed);
            body.extend(*attribute);
        }
        record(subtype, &body)
    }

    fn via(end: u8) -> [u8; 7] {
        [0x40, 3, 4, 203, 0, 113, end]
    }

    fn dump() -> Vec<u8> {
        let mut v6 = vec![0x80, 14, 17, 16, 0x20, 1, 0xd, 0xb8];
        v6.extend([0; 11]);
        v6.push(9);
        [
            peers(),
            rib(2, &[8, 10], &[(0, &via(1)), (1, &via(2))]),
            rib(2, &[24, 10, 1, 2], &[(1, &via(2))]),
            rib(4, &[32, 0x20, 1, 0xd, 0xb8], &[(0, &v6)]),
            // Multicast.
            rib(3, &[8, 11], &[(0, &via(1))]),
        ]
        .concat()
    }

    fn pack(next_hops: &NextHops, peer: Option<&str>, bytes: &[u8]) -> Result<LoadPiece, String> {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut packer = Packer::new(sender);
        let peer = peer.map(|peer| peer.parse().unwrap());
        let done = read(Input::of(bytes), next_hops, peer, &mut packer);
        if let Err(Stop::Bad(problem)) = done.and_then(|()| packer.finish()) {
            return Err(problem);
        }
        match receiver.try_recv().unwrap().part {
            Some(Part::Piece(piece)) => Ok(piece),
            other => panic!("{other:?}"),
        }
    }

    fn vteps(piece: &LoadPiece) -> Vec<String> {
        let targets = piece.paths.iter().map(|path| path.target.clone().unwrap());
        let texts = targets.map(|target| match target {
            Target::Vteps(list) => list.addresses.join(","),
            other => format!("{other:?}"),
        });
        texts.collect()
    }

    #[test]
    fn unicast_routes_of_the_first_peer_are_read() {
        assert!(is_mrt(&dump()));
        let piece = pack(&NextHops::Same, None, &dump()).unwrap();
        assert_eq!(piece.packed.len(), 10 + 10 + 22);
        assert_eq!(piece.packed[..10], [4, 8, 10, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(piece.packed[10..20], [4, 24, 10, 1, 2, 0, 0, 0, 0, 1]);
        assert_eq!(piece.packed[20..26], [6, 32, 0x20, 1, 0xd, 0xb8]);
        assert_eq!(vteps(&piece), ["203.0.113.1", "203.0.113.2", "2001:db8::9"]);
    }

    #[test]
    fn one_peer_alone_may_count() {
        let piece = pack(&NextHops::Same, Some("2001:db8::1"), &dump()).unwrap();
        assert_eq!(piece.packed.len(), 10 + 10);
        assert_eq!(vteps(&piece), ["203.0.113.2"]);
        let error = pack(&NextHops::Same, Some("192.0.2.1"), &dump()).unwrap_err();
        assert_eq!(error, ": MRT record 1: the dump has no peer 192.0.2.1");
    }

    #[test]
    fn next_hops_are_mapped() {
        let all = NextHops::All("192.0.2.1,192.0.2.2".to_owned());
        assert_eq!(
            vteps(&pack(&all, None, &dump()).unwrap()),
            ["192.0.2.1,192.0.2.2"]
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        let list = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            NextHops::read(file.path())
        };
        let listed =
            list("# exits\n203.0.113.1 192.0.2.1\n203.0.113.2\t192.0.2.2 # other\n").unwrap();
        let error = pack(&listed, None, &dump()).unwrap_err();
        let problem = ": MRT record 4: 2001:db8::/32: next hop 2001:db8::9 is not in the map";
        assert_eq!(error, problem);
        let listed = list("203.0.113.1 192.0.2.1\n* port rl0\n").unwrap();
        let piece = pack(&listed, None, &dump()).unwrap();
        assert_eq!(vteps(&piece), ["192.0.2.1", "Port(\"rl0\")"]);
        assert!(list("203.0.113.1\n").is_err() && list("blue 192.0.2.1\n").is_err());
    }

    #[test]
    fn what_is_damaged_or_no_dump_is_refused() {
        let whole = dump();
        let error = pack(&NextHops::Same, None, &whole[..whole.len() - 3]).unwrap_err();
        assert!(error.starts_with(": MRT record 5: "), "{error}");
        let mut update = dump();
        update[5] = 16;
        update[7] = 4;
        assert!(pack(&NextHops::Same, None, &update).is_err());
    }
}
