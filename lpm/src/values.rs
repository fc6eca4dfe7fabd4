//! The distinct values of a table, numbered: nodes hold small numbers instead of values. Knows no
//! prefixes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::mem;
use std::sync::Arc;

/// The number of a value, from 1; zero stands for the default route, whether there is one or not.
pub(crate) type Id = u32;

/// No route but perhaps the default route.
pub(crate) const NONE: Id = 0;

/// Values by number.
pub(crate) type Values<V> = Arc<[Option<V>]>;

/// The writer's account of the values in use.
#[derive(Debug)]
pub(crate) struct Interner<V> {
    ids: HashMap<V, Id, BuildHasherDefault<Mixer>>,
    /// Routes that have the value, by number.
    users: Vec<u32>,
    free: Vec<Id>,
}

impl<V> Default for Interner<V> {
    fn default() -> Self {
        Self {
            ids: HashMap::default(),
            users: vec![0],
            free: Vec::new(),
        }
    }
}

impl<V: Clone + Eq + Hash> Interner<V> {
    /// The number of `value`, for one more route.
    pub(crate) fn acquire(&mut self, values: &mut Values<V>, value: V) -> Id {
        if let Some(id) = self.ids.get(&value) {
            self.users[*id as usize] += 1;
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.users.push(0);
            (self.users.len() - 1) as Id
        });
        assert!(id < LIMIT, "a table has less than {LIMIT} distinct values");
        self.users[id as usize] = 1;
        self.ids.insert(value.clone(), id);
        set(values, id, Some(value));
        id
    }

    /// One route less has the value `id`.
    pub(crate) fn release(&mut self, values: &mut Values<V>, id: Id) {
        self.users[id as usize] -= 1;
        if self.users[id as usize] == 0 {
            if let Some(value) = set(values, id, None) {
                self.ids.remove(&value);
            }
            self.free.push(id);
        }
    }
}

impl<V> Interner<V> {
    /// Bytes of the account, without what values own.
    pub(crate) fn heap_size(&self) -> usize {
        // A hash map takes its entries and a byte of control for each.
        self.ids.capacity() * (size_of::<(V, Id)>() + 1)
            + (self.users.capacity() + self.free.capacity()) * size_of::<Id>()
    }
}

/// Changes the value at `id`, in a copy if snapshots share the values; returns the one before.
pub(crate) fn set<V: Clone>(values: &mut Values<V>, id: Id, value: Option<V>) -> Option<V> {
    let at = id as usize;
    if at >= values.len() {
        let len = (at + 1).next_power_of_two();
        let mut old = values.iter().cloned();
        *values = (0..len).map(|_| old.next().flatten()).collect();
    }
    if Arc::get_mut(values).is_none() {
        *values = values.iter().cloned().collect();
    }
    let slot = Arc::get_mut(values).and_then(|values| values.get_mut(at));
    mem::replace(slot.expect("there is room, and nobody shares it"), value)
}

/// A hash for values that are small numbers mostly: multiply, and fold the high bits down.
#[derive(Debug, Default)]
pub(crate) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// Numbers have 23 bits: a route is one word, of which 9 say where in its node it is.
pub(crate) const LIMIT: Id = 1 << 23;
