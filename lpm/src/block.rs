//! A small shared array that is copied when it is changed while shared. Knows nothing of tries.

use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

/// Zero or more items behind one reference-counted allocation, or none.
///
/// Cloning shares the items. A mutation works in place, or moves the items, if nobody shares them;
/// otherwise it clones them first.
pub(crate) struct Block<T>(Option<Arc<[T]>>);

impl<T> Block<T> {
    pub(crate) const EMPTY: Self = Self(None);

    /// The item at `at`, if there are so many.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.0.as_ref()?.get(at)
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Bytes of the allocation: two reference counts and the items.
    pub(crate) fn heap_size(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        self.0
            .as_deref()
            .map_or(0, |items| counts.max(align_of::<T>()) + size_of_val(items))
    }

    /// Bytes of the allocation and of what each item says it has allocated.
    pub(crate) fn deep_heap_size(&self, of_item: fn(&T) -> usize) -> usize {
        self.heap_size() + self.as_slice().iter().map(of_item).sum::<usize>()
    }
}

impl<T: Clone> Block<T> {
    pub(crate) fn single(item: T) -> Self {
        Self(Some(Arc::new([item])))
    }

    /// The item at `at`, for changing. The caller knows that there is one.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(self.0.as_mut()?).get_mut(at)
    }

    /// Replaces the item at `at` if it is the one meant, else puts `item` before it. Returns what
    /// was replaced.
    pub(crate) fn put(&mut self, at: usize, replace: bool, item: T) -> Option<T> {
        if replace {
            return self.get_mut(at).map(|old| mem::replace(old, item));
        }
        self.insert(at, item, |item| item.clone());
        None
    }

    /// Puts `item` before the one at `at`. `take` moves an item out of a slot that is not used
    /// again; cloning is a valid way to do that.
    pub(crate) fn insert(&mut self, at: usize, item: T, take: fn(&mut T) -> T) {
        let Some(items) = &mut self.0 else {
            debug_assert_eq!(at, 0);
            *self = Self::single(item);
            return;
        };
        let mut item = Some(item);
        let mut next = |old: Option<T>| old.or_else(|| item.take()).expect("one item is new");
        let indices = 0..=items.len();
        let source = |index: usize| match index.cmp(&at) {
            Ordering::Less => Some(index),
            Ordering::Equal => None,
            Ordering::Greater => Some(index - 1),
        };
        self.0 = Some(match Arc::get_mut(items) {
            Some(own) => indices
                .map(|i| next(source(i).map(|i| take(&mut own[i]))))
                .collect(),
            None => indices
                .map(|i| next(source(i).map(|i| items[i].clone())))
                .collect(),
        });
    }

    /// Takes out the item at `at`, with `take` as for [`Block::insert`]. The caller knows that
    /// there is one.
    pub(crate) fn remove(&mut self, at: usize, take: fn(&mut T) -> T) -> Option<T> {
        let items = self.0.as_mut()?;
        let rest = 0..items.len() - 1;
        let source = |index: usize| if index < at { index } else { index + 1 };
        let (item, rest): (T, Arc<[T]>) = match Arc::get_mut(items) {
            Some(own) => (
                take(own.get_mut(at)?),
                rest.map(|i| take(&mut own[source(i)])).collect(),
            ),
            None => (
                items.get(at)?.clone(),
                rest.map(|i| items[source(i)].clone()).collect(),
            ),
        };
        self.0 = Some(rest).filter(|rest| !rest.is_empty());
        Some(item)
    }
}

impl<T> FromIterator<T> for Block<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(Some(items.into_iter().collect::<Arc<[T]>>()).filter(|items| !items.is_empty()))
    }
}

impl<T> Clone for Block<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_go_in_and_out_in_place() {
        let mut block = Block::EMPTY;
        for (at, item) in [(0, 'b'), (0, 'a'), (2, 'd'), (2, 'c')] {
            block.insert(at, item, |c| *c);
        }
        assert_eq!(block.as_slice(), ['a', 'b', 'c', 'd']);
        *block.get_mut(1).unwrap() = 'x';
        assert_eq!(block.remove(2, |c| *c), Some('c'));
        assert_eq!(block.as_slice(), ['a', 'x', 'd']);
        for _ in 0..3 {
            block.remove(0, |c| *c).unwrap();
        }
        assert!(block.get(0).is_none() && block.remove(0, |c| *c).is_none());
        assert_eq!(block.heap_size(), 0);
    }

    #[test]
    fn a_shared_block_is_copied_and_its_items_are_not_taken() {
        let take: fn(&mut String) -> String = mem::take;
        let mut block = Block::single(String::from("a"));
        block.insert(1, String::from("b"), take);
        let old = block.clone();
        block.get_mut(0).unwrap().push('!');
        let mut inserted = old.clone();
        inserted.insert(1, String::from("c"), take);
        let mut removed = old.clone();
        removed.remove(0, take);
        assert_eq!(old.as_slice(), ["a", "b"]);
        assert_eq!(block.as_slice(), ["a!", "b"]);
        assert_eq!(inserted.as_slice(), ["a", "c", "b"]);
        assert_eq!(removed.as_slice(), ["b"]);
    }
}
