//! DIR-24-8 (Gupta, Lin and McKeown, INFOCOM 1998), plainly: the reference that lookup structures
//! are measured by. Built once, never updated.

use std::net::Ipv4Addr;

use crate::routes::Route;

/// An IPv4 table with an entry of two bytes for each of the 2^24 networks of 24 bits, and 256 more
/// for each that has longer routes.
#[derive(Clone, Debug)]
pub struct Dir24 {
    first: Vec<u16>,
    second: Vec<u16>,
}

impl Dir24 {
    /// A table of these routes, whose values are below 2^15 - 1.
    pub fn new(routes: &[Route<Ipv4Addr>]) -> Self {
        let mut routes: Vec<_> = routes.to_vec();
        routes.sort_by_key(|(prefix, _)| prefix.len());
        let (mut first, mut second) = (vec![NONE; 1 << 24], Vec::new());
        for (prefix, value) in routes {
            let (addr, entry) = (prefix.addr().to_bits(), value as u16 + 1);
            let at = (addr >> 8) as usize;
            if prefix.len() <= 24 {
                first[at..at + (1 << (24 - prefix.len()))].fill(entry);
                continue;
            }
            if first[at] & LONG == 0 {
                second.extend([first[at]; 256]);
                first[at] = LONG | (second.len() / 256 - 1) as u16;
            }
            let block = usize::from(first[at] & !LONG) * 256 + (addr & 0xff) as usize;
            second[block..block + (1 << (32 - prefix.len()))].fill(entry);
        }
        Self { first, second }
    }

    /// The value of the longest route that covers `addr`.
    #[inline]
    pub fn lookup(&self, addr: Ipv4Addr) -> Option<u32> {
        let addr = addr.to_bits();
        let mut entry = self.first[(addr >> 8) as usize];
        if entry & LONG != 0 {
            entry = self.second[usize::from(entry & !LONG) * 256 + (addr & 0xff) as usize];
        }
        u32::from(entry).checked_sub(1)
    }

    /// Bytes of both tables.
    pub fn memory(&self) -> usize {
        2 * (self.first.len() + self.second.len())
    }
}

const NONE: u16 = 0;
const LONG: u16 = 1 << 15;

#[cfg(test)]
mod tests {
    use ringlay_lpm::Ipv4Table;

    use super::*;
    use crate::addresses::{announced, anywhere};
    use crate::routes::ipv4_routes;

    #[test]
    fn it_answers_as_the_table_does() {
        let routes = ipv4_routes(20_000);
        let (dir24, table) = (
            Dir24::new(&routes),
            routes.iter().copied().collect::<Ipv4Table<u32>>(),
        );
        for addr in announced(&routes, 20_000)
            .into_iter()
            .chain(anywhere(20_000))
        {
            assert_eq!(dir24.lookup(addr), table.lookup(addr).copied(), "{addr}");
        }
    }
}
