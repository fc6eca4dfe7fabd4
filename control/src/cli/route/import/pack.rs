//! Packs routes into the messages of a load, each path once.

use std::{collections::HashMap, fmt, net::IpAddr};

use ipnet::IpNet;
use tokio::sync::mpsc;

use crate::proto::{
    LoadCommit, LoadPiece, LoadRoutesRequest, RoutePath, load_routes_request::Part,
};

/// Bytes of records in a message: some 16,000 routes, so that the daemon works while more is read.
const PIECE_BYTES: usize = 160 << 10;

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something is wrong with the file; the text goes on after its name.
    Bad(String),
    /// Nobody takes what is read any more.
    Unread,
}

impl Stop {
    /// Something is wrong with a line.
    pub(super) fn line(number: u64, text: &str, problem: impl fmt::Display) -> Self {
        Self::Bad(format!(":{number}: {}: {problem}", text.trim()))
    }
}

/// Which line each record comes from: lines without a record shift those behind.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// First record and line of each stretch of lines that all have one.
    stretches: Vec<(u64, u64)>,
}

impl Numbering {
    fn note(&mut self, record: u64, line: u64) {
        let goes_on = |(first, at): &(u64, u64)| record - first == line - at;
        if !self.stretches.last().is_some_and(goes_on) {
            self.stretches.push((record, line));
        }
    }

    /// The line of a record, both counted from one on.
    pub(super) fn line(&self, record: u64) -> u64 {
        let next = self
            .stretches
            .partition_point(|(first, _)| *first <= record);
        match next.checked_sub(1).and_then(|at| self.stretches.get(at)) {
            Some((first, line)) => line + (record - first),
            None => record,
        }
    }
}

/// Collects routes and sends them in pieces.
#[derive(Debug)]
pub(super) struct Packer {
    sender: mpsc::Sender<LoadRoutesRequest>,
    piece: LoadPiece,
    paths: HashMap<Box<str>, u32>,
    records: u64,
    numbering: Numbering,
}

impl Packer {
    pub(super) fn new(sender: mpsc::Sender<LoadRoutesRequest>) -> Self {
        Self {
            sender,
            piece: LoadPiece::default(),
            paths: HashMap::new(),
            records: 0,
            numbering: Numbering::default(),
        }
    }

    /// The number of a path that was described in these words before, or is now.
    pub(super) fn path<E>(
        &mut self,
        words: &str,
        parse: impl FnOnce(&str) -> Result<RoutePath, E>,
    ) -> Result<u32, E> {
        if let Some(number) = self.paths.get(words) {
            return Ok(*number);
        }
        let path = parse(words)?;
        let number = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
        self.piece.paths.push(path);
        self.paths.insert(words.into(), number);
        Ok(number)
    }

    /// Adds a route, from a line of the file.
    pub(super) fn route(&mut self, prefix: IpNet, path: u32, line: u64) -> Result<(), Stop> {
        let packed = &mut self.piece.packed;
        match prefix.addr() {
            IpAddr::V4(address) => {
                packed.extend([4, prefix.prefix_len()]);
                packed.extend(address.octets());
            }
            IpAddr::V6(address) => {
                packed.extend([6, prefix.prefix_len()]);
                packed.extend(address.octets());
            }
        }
        packed.extend(path.to_be_bytes());
        self.records += 1;
        self.numbering.note(self.records, line);
        if self.piece.packed.len() < PIECE_BYTES {
            return Ok(());
        }
        self.flush()
    }

    /// Sends what is left, and that it is all.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        self.flush()?;
        self.send(Part::Commit(LoadCommit {}))
    }

    pub(super) fn into_numbering(self) -> Numbering {
        self.numbering
    }

    pub(super) fn send(&self, part: Part) -> Result<(), Stop> {
        let request = LoadRoutesRequest { part: Some(part) };
        self.sender.blocking_send(request).map_err(|_| Stop::Unread)
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let next = LoadPiece {
            packed: Vec::with_capacity(PIECE_BYTES + 64),
            ..LoadPiece::default()
        };
        let piece = std::mem::replace(&mut self.piece, next);
        self.send(Part::Piece(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_know_their_lines() {
        let mut numbering = Numbering::default();
        for (record, line) in [(1, 3), (2, 4), (3, 5), (4, 9), (5, 10)] {
            numbering.note(record, line);
        }
        assert_eq!(numbering.stretches.len(), 2);
        let lines: Vec<_> = (1..=6).map(|record| numbering.line(record)).collect();
        assert_eq!(lines, [3, 4, 5, 9, 10, 11]);
    }
}
