//! Iteration over a table in prefix order. Does not change the table.

use std::fmt;
use std::iter::FusedIterator;

use crate::node::Node;
use crate::position::{MAX_NODES, STRIDE};
use crate::{Address, Prefix};

/// The prefixes of a [`Table`](crate::Table) with their values, ordered by address and then by
/// length.
pub struct Iter<'t, A, V> {
    /// The nodes on the path to the next prefix, each with the step to take in it next.
    path: Vec<(&'t Node<A, V>, u8)>,
    left: usize,
}

impl<'t, A: Address, V> Iter<'t, A, V> {
    pub(crate) fn new(root: &'t Node<A, V>, left: usize) -> Self {
        let mut path = Vec::with_capacity(MAX_NODES);
        path.push((root, FIRST));
        Self { path, left }
    }
}

impl<'t, A: Address, V> Iterator for Iter<'t, A, V> {
    type Item = (Prefix<A>, &'t V);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((node, step)) = self.path.last_mut() {
            let (node, here) = (*node, *step);
            if here == END {
                self.path.pop();
                continue;
            }
            *step = after(here);
            if here >= CHILDREN {
                self.path
                    .extend(node.child_at(here - CHILDREN).map(|child| (child, FIRST)));
            } else if let Some(value) = node.value_at(here) {
                self.left -= 1;
                return Some((node.prefix_at(here), value));
            }
        }
        None
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
            left: self.left,
        }
    }
}

impl<A: Address, V: fmt::Debug> fmt::Debug for Iter<'_, A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// The step that follows in the walk of a node: the binary tree of its prefixes (1 to 63), whose
/// leaves are its children (64 to 127), in preorder.
fn after(step: u8) -> u8 {
    if step < CHILDREN {
        return 2 * step;
    }
    let up = step >> step.trailing_ones();
    if up == 0 { END } else { up + 1 }
}

const FIRST: u8 = 1;
const CHILDREN: u8 = 1 << STRIDE;
const END: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_visits_every_step_once_and_each_before_those_below() {
        let mut seen = Vec::new();
        let mut step = FIRST;
        while step != END {
            assert!(step == FIRST || seen.contains(&(step / 2)));
            seen.push(step);
            step = after(step);
        }
        assert_eq!(seen.len(), 127);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 127);
    }
}
