//! Many routes at once, into a table without any. Single routes are the business of `edit`.

use crate::edit::Editor;
use crate::position::Position;
use crate::rib::{Draft, Entry};
use crate::values::Id;
use crate::{Address, Prefix};

impl<A: Address> Editor<'_, A> {
    /// Makes the node for the octet number `at` of routes that are equal before it and end in it
    /// or behind it, without lookup nodes. They are sorted, and none is there twice.
    pub(crate) fn build(&mut self, at: usize, routes: &[(Prefix<A>, Id)]) -> u32 {
        let mut draft = Draft::default();
        let ends_here = |(prefix, _): &(Prefix<A>, Id)| usize::from(prefix.len()) <= at * 8 + 8;
        for (prefix, id) in routes.iter().filter(|route| ends_here(route)) {
            let position = Position::of(prefix).expect("the default route is in no node");
            draft.routes.push(Entry::new(position.index, *id));
        }
        draft.routes.sort_unstable();
        // Of one octet's routes, those that end here come first.
        for group in routes.chunk_by(|(a, _), (b, _)| a.addr().octet(at) == b.addr().octet(at)) {
            let below = &group[group.partition_point(ends_here)..];
            if let Some((prefix, _)) = below.first() {
                let child = self.build(at + 1, below);
                draft.below += self.node(child).weight();
                draft.children.push((prefix.addr().octet(at), child));
            }
        }
        self.create(&draft)
    }
}
