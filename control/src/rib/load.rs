//! Many routes of one source and network, to be put in force at once.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

use super::{ApplyError, PathId, Problem, Rib, RouteDelta, check};
use crate::object::{Key, Kind, Name, Path, Route, RouteKey, Source};

/// Routes that were received, in the order that the merge wants them.
#[derive(Debug)]
pub struct Load {
    /// The network of all of them.
    pub network: Name,
    /// Who asks for them.
    pub source: Source,
    /// Whether the other routes of this source and network go.
    pub replace: bool,
    pub(super) paths: Vec<Path>,
    pub(super) v4: Vec<Record<Ipv4Net>>,
    pub(super) v6: Vec<Record<Ipv6Net>>,
    /// Up to where each is sorted in runs.
    sorted: (usize, usize),
}

/// One route of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<P> {
    pub(super) prefix: P,
    /// Index of its path.
    pub(super) path: u32,
    /// Its place among all that were received, from one on.
    pub(super) number: u32,
}

/// Why routes were not loaded. Nothing was done.
#[derive(Debug)]
pub struct LoadError {
    /// The first route at fault, counted from one on; none if it is none of them.
    pub record: Option<u32>,
    /// What is wrong.
    pub problem: LoadProblem,
}

/// What is wrong with a load.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadProblem {
    /// A route would make no sense.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A prefix is there twice.
    #[error("{prefix}: record {first} has this prefix already")]
    Twice {
        /// The prefix.
        prefix: IpNet,
        /// The record that has it first.
        first: u32,
    },
    /// A record names a path that was not sent before it.
    #[error("{prefix}: there is no path {path}; {paths} were sent")]
    NoPath {
        /// The prefix.
        prefix: IpNet,
        /// The path's number.
        path: u32,
        /// How many there are.
        paths: usize,
    },
    /// The socket that packets without encapsulation leave by cannot be had.
    #[error("{0}")]
    Socket(String),
    /// More than can be counted.
    #[error("more than 4294967295 routes")]
    TooMany,
}

impl LoadError {
    /// Of no record, but of the socket that direct routes need.
    pub(crate) fn of_socket(error: &impl fmt::Display) -> Self {
        Self {
            record: None,
            problem: LoadProblem::Socket(error.to_string()),
        }
    }

    fn at(record: u32, problem: LoadProblem) -> Self {
        let record = Some(record);
        Self { record, problem }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            Some(record) => write!(f, "record {record}: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

impl Load {
    /// A load without routes.
    pub fn new(network: Name, source: Source, replace: bool) -> Self {
        Self {
            network,
            source,
            replace,
            paths: Vec::new(),
            v4: Vec::new(),
            v6: Vec::new(),
            sorted: (0, 0),
        }
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a path; the first has number zero.
    pub fn add_path(&mut self, path: Path) -> u32 {
        self.paths.push(path);
        // As many as records at most, and those are counted.
        (self.paths.len() - 1) as u32
    }

    /// Whether a path is so.
    pub fn has_path(&self, fits: impl Fn(&Path) -> bool) -> bool {
        self.paths.iter().any(fits)
    }

    /// Adds the route of a prefix, which has no host bits, by a path that was added.
    ///
    /// # Errors
    ///
    /// If there is no such path, or there are too many routes.
    #[inline]
    pub fn push(&mut self, prefix: IpNet, path: u32) -> Result<(), LoadError> {
        let Ok(number) = u32::try_from(self.len() + 1) else {
            return Err(LoadError {
                record: None,
                problem: LoadProblem::TooMany,
            });
        };
        let paths = self.paths.len();
        if path as usize >= paths {
            let problem = LoadProblem::NoPath {
                prefix,
                path,
                paths,
            };
            return Err(LoadError::at(number, problem));
        }
        match prefix {
            IpNet::V4(prefix) => self.v4.push(Record {
                prefix,
                path,
                number,
            }),
            IpNet::V6(prefix) => self.v6.push(Record {
                prefix,
                path,
                number,
            }),
        }
        Ok(())
    }

    /// Sorts what came since the last call, so that less is to be done at the end.
    pub fn sort_run(&mut self) {
        self.v4[self.sorted.0..].sort_unstable_by_key(|record| record.prefix);
        self.v6[self.sorted.1..].sort_unstable_by_key(|record| record.prefix);
        self.sorted = (self.v4.len(), self.v6.len());
    }

    /// Sorts all, and refuses prefixes that are there twice.
    ///
    /// # Errors
    ///
    /// If one is; the error names its second record.
    pub fn sort(&mut self) -> Result<(), LoadError> {
        // The stable sort makes use of the runs that are sorted already.
        self.v4.sort_by_key(|record| record.prefix);
        self.v6.sort_by_key(|record| record.prefix);
        self.sorted = (self.v4.len(), self.v6.len());
        let twice = [first_twice(&self.v4), first_twice(&self.v6)];
        match twice.into_iter().flatten().min_by_key(|twice| twice.1) {
            Some((prefix, record, first)) => {
                Err(LoadError::at(record, LoadProblem::Twice { prefix, first }))
            }
            None => Ok(()),
        }
    }

    /// The first record that goes by a path, and its prefix.
    fn first_by(&self, path: u32) -> Option<(u32, IpNet)> {
        let found = [first(&self.v4, path), first(&self.v6, path)];
        found.into_iter().flatten().min()
    }

    /// Whether each path has a route.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.paths.len()];
        let v4 = self.v4.iter().map(|record| record.path);
        let v6 = self.v6.iter().map(|record| record.path);
        v4.chain(v6).for_each(|path| used[path as usize] = true);
        used
    }
}

fn first<P: Copy + Into<IpNet>>(records: &[Record<P>], path: u32) -> Option<(u32, IpNet)> {
    let by_path = records.iter().filter(|record| record.path == path);
    let first = by_path.min_by_key(|record| record.number)?;
    Some((first.number, first.prefix.into()))
}

/// The lowest second record of a prefix, with the prefix and its first record.
fn first_twice<P: Copy + Ord + Into<IpNet>>(records: &[Record<P>]) -> Option<(IpNet, u32, u32)> {
    let twice = records
        .array_windows()
        .filter(|[a, b]| a.prefix == b.prefix)
        .map(|[a, b]| {
            let (first, second) = (a.number.min(b.number), a.number.max(b.number));
            (a.prefix.into(), second, first)
        });
    twice.min_by_key(|(_, second, _)| *second)
}

impl Rib {
    /// Puts all routes of a sorted load in force, or none.
    ///
    /// # Errors
    ///
    /// If one of them would make no sense. The state is then unchanged.
    pub fn load(&mut self, load: &Load) -> Result<RouteDelta, LoadError> {
        self.check_load(load)?;
        let (merged, delta) = self.routes.merged(load);
        self.check_uncovered(&delta)?;
        self.routes.install(&load.network, merged);
        Ok(delta)
    }

    /// What [`Self::load`] would change.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn try_load(&self, load: &Load) -> Result<RouteDelta, LoadError> {
        self.check_load(load)?;
        let (_, delta) = self.routes.merged(load);
        self.check_uncovered(&delta)?;
        Ok(delta)
    }

    /// Checks the routes of other sources that come in force because an overriding one goes.
    fn check_uncovered(&self, delta: &RouteDelta) -> Result<(), LoadError> {
        let mut checked = vec![false; delta.paths.len()];
        for change in delta.iter() {
            let Some(index) = change.after.map(PathId::index) else {
                continue;
            };
            if !std::mem::replace(&mut checked[index], true) {
                let route = delta.paths[index].route(&delta.network, change.prefix);
                let checked = check::route(self, &route).and_then(|()| check::family(self, &route));
                checked.map_err(|(field, problem)| LoadError {
                    record: None,
                    problem: ApplyError::new(Key::Route(route.key()), field, problem).into(),
                })?;
            }
        }
        Ok(())
    }

    fn check_load(&self, load: &Load) -> Result<(), LoadError> {
        if self.network(&load.network).is_none() {
            let key = Key::Network(load.network.clone());
            let problem = ApplyError::new(key, "", Problem::Missing).into();
            return Err(LoadError {
                record: None,
                problem,
            });
        }
        let used = load.used();
        let used = load.paths.iter().zip(0..).zip(used);
        for ((path, number), _) in used.filter(|(_, used)| *used) {
            // Which prefix it is does not matter to the check.
            let route = path.route(&load.network, check::FIRST_PREFIX);
            check::route(self, &route).map_err(|fault| bad_path(load, number, &route, fault))?;
            if check::is_plain(self, &load.network, path.direct, &path.target) {
                self.check_families(load, number)?;
            }
        }
        Ok(())
    }

    /// Checks the prefixes of the routes that go by a path without encapsulation.
    fn check_families(&self, load: &Load, path: u32) -> Result<(), LoadError> {
        let first = if self.local.is_ipv4() {
            first(&load.v6, path)
        } else {
            first(&load.v4, path)
        };
        let Some((record, prefix)) = first else {
            return Ok(());
        };
        let network = load.network.clone();
        let key = Key::Route(RouteKey { network, prefix });
        let problem = ApplyError::new(key, "prefix", Problem::PlainFamily(self.local));
        Err(LoadError::at(record, problem.into()))
    }
}

fn bad_path(load: &Load, number: u32, route: &Route, (field, problem): check::Fault) -> LoadError {
    let first = load.first_by(number);
    let key = first.map_or_else(
        || route.key(),
        |(_, prefix)| RouteKey {
            network: load.network.clone(),
            prefix,
        },
    );
    LoadError {
        record: first.map(|(record, _)| record),
        problem: ApplyError::new(Key::Route(key), field, problem).into(),
    }
}
