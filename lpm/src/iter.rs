//! Iteration over a table in prefix order. Does not change the table.

use std::fmt;
use std::iter::FusedIterator;

use crate::node::Node;
use crate::position::{MAX_NODES, ROOT_STRIDE, STRIDE};
use crate::root::Root;
use crate::{Address, Prefix};

/// The prefixes of a [`Table`](crate::Table) with their values, ordered by address and then by
/// length.
pub struct Iter<'t, A, V> {
    root: &'t Root<A, V>,
    /// The step to take in the root when `path` has ended.
    root_step: u8,
    /// The nodes on the path to the next prefix, each with the step to take in it next.
    path: Vec<(&'t Node<A, V>, u8)>,
    left: usize,
}

impl<'t, A: Address, V> Iter<'t, A, V> {
    pub(crate) fn new(root: &'t Root<A, V>, left: usize) -> Self {
        Self {
            root,
            root_step: FIRST,
            path: Vec::with_capacity(MAX_NODES),
            left,
        }
    }

    /// The next prefix below the root's present child.
    fn next_below(&mut self) -> Option<(Prefix<A>, &'t V)> {
        while let Some((node, step)) = self.path.last_mut() {
            let (node, here) = (*node, *step);
            if here == END {
                self.path.pop();
                continue;
            }
            *step = after(here, CHILDREN);
            if here >= CHILDREN {
                self.path
                    .extend(node.child_at(here - CHILDREN).map(|child| (child, FIRST)));
            } else if let Some(value) = node.value_at(here) {
                return Some((node.prefix_at(here), value));
            }
        }
        None
    }

    /// Takes a step in the root; it leads to a prefix, to a child, or to nothing.
    fn step_in_root(&mut self) -> Option<(Prefix<A>, &'t V)> {
        let here = self.root_step;
        self.root_step = after(here, ROOT_CHILDREN);
        if here >= ROOT_CHILDREN {
            self.path.extend(
                self.root
                    .child_at(here - ROOT_CHILDREN)
                    .map(|child| (child, FIRST)),
            );
            return None;
        }
        Some((self.root.prefix_at(here), self.root.value_at(here)?))
    }
}

impl<'t, A: Address, V> Iterator for Iter<'t, A, V> {
    type Item = (Prefix<A>, &'t V);

    fn next(&mut self) -> Option<Self::Item> {
        let mut found = self.next_below();
        while found.is_none() && self.root_step != END {
            found = self.step_in_root().or_else(|| self.next_below());
        }
        self.left -= usize::from(found.is_some());
        found
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<A: Address, V> ExactSizeIterator for Iter<'_, A, V> {}

impl<A: Address, V> FusedIterator for Iter<'_, A, V> {}

impl<A, V> Clone for Iter<'_, A, V> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            ..*self
        }
    }
}

impl<A: Address, V: fmt::Debug> fmt::Debug for Iter<'_, A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// The step that follows in the walk of a node: the binary tree of its prefixes (from 1), whose
/// leaves are its `children` (from that number to its double), in preorder.
fn after(step: u8, children: u8) -> u8 {
    if step < children {
        return 2 * step;
    }
    match step.checked_shr(step.trailing_ones()) {
        None | Some(0) => END,
        Some(up) => up + 1,
    }
}

const FIRST: u8 = 1;
const CHILDREN: u8 = 1 << STRIDE;
const ROOT_CHILDREN: u8 = 1 << ROOT_STRIDE;
const END: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn visits_every_step(children: u8) {
        let mut seen = Vec::new();
        let mut step = FIRST;
        while step != END {
            assert!(
                step == FIRST || seen.contains(&(step / 2)),
                "{step} comes too early"
            );
            seen.push(step);
            step = after(step, children);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(1..=children - 1 + children));
    }

    #[test]
    fn a_walk_visits_every_step_once_and_each_before_those_below() {
        visits_every_step(CHILDREN);
        visits_every_step(ROOT_CHILDREN);
    }
}
