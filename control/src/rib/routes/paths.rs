//! The paths that a network's routes share, counted. Does not know prefixes.

use std::{collections::HashMap, num::NonZeroU32};

use crate::object::Path;

/// Names a path among those of its network, while a route goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathId(NonZeroU32);

/// Each distinct path once.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    /// With the number of routes that go by it; none if the entry is free.
    entries: Vec<(Path, u32)>,
    index: HashMap<Path, PathId>,
    free: Vec<PathId>,
}

impl PathId {
    /// A number below that of the paths which [`super::RouteDelta::paths`] has.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    fn at(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer than 2^32 distinct paths fit into memory"))
    }
}

impl Paths {
    /// The name of a path. It holds only if routes are added to it before any is taken away.
    pub(super) fn name(&mut self, path: &Path) -> PathId {
        if let Some(&id) = self.index.get(path) {
            return id;
        }
        let entry = (path.clone(), 0);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.index()] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                PathId::at(self.entries.len() - 1)
            }
        };
        self.index.insert(path.clone(), id);
        id
    }

    /// Notes one more route.
    pub(super) fn add(&mut self, id: PathId) {
        self.entries[id.index()].1 += 1;
    }

    /// Notes one route less.
    pub(super) fn subtract(&mut self, id: PathId) {
        let (path, users) = &mut self.entries[id.index()];
        *users -= 1;
        if *users == 0 {
            self.index.remove(path);
            self.free.push(id);
        }
    }

    /// Takes a name back that no route was added to.
    pub(super) fn forget_unused(&mut self, id: PathId) {
        if self.entries[id.index()].1 == 0
            && self.index.remove(&self.entries[id.index()].0).is_some()
        {
            self.free.push(id);
        }
    }

    /// The path of this name. The name may have been taken back since the latest [`Self::name`].
    pub(super) fn get(&self, id: PathId) -> &Path {
        &self.entries[id.index()].0
    }

    /// Every path, at its index; those of free names too.
    pub(super) fn all(&self) -> Vec<Path> {
        self.entries.iter().map(|(path, _)| path.clone()).collect()
    }

    /// The names of the paths that fit.
    pub(super) fn find(&self, fits: impl Fn(&Path) -> bool) -> Vec<PathId> {
        let found = self.index.iter().filter(|(path, _)| fits(path));
        found.map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Target;

    fn path(end: u8) -> Path {
        Path {
            target: Target::Vteps(vec![[192, 0, 2, end].into()]),
            via: None,
            direct: false,
        }
    }

    #[test]
    fn equal_paths_share_a_name_until_the_last_route_goes() {
        let mut paths = Paths::default();
        let one = paths.name(&path(1));
        paths.add(one);
        assert_eq!(paths.name(&path(1)), one);
        paths.add(one);
        paths.subtract(one);
        assert_eq!(paths.find(|_| true), [one]);
        paths.subtract(one);
        assert_eq!(paths.find(|_| true), []);
        assert_eq!(paths.name(&path(2)), one, "free names are used again");
        assert_eq!(paths.get(one), &path(2));
        paths.forget_unused(one);
        assert_eq!(paths.find(|_| true), []);
        assert_eq!(paths.name(&path(3)), one);
    }
}
