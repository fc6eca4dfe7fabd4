//! Which processors the workers of each host's node are pinned to.
//!
//! Both hosts share one machine. Left to themselves, the nodes have a worker on every processor,
//! and compete; split, each has processors of its own, as on two machines. Traffic and the
//! kernel's interrupts run anywhere either way.

use std::fmt;

use ringlay_dataplane::sys::affinity;

use super::LabError;

/// Value of `dataplane.workers` of the two nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Placement {
    /// `auto` in both.
    #[default]
    Auto,
    /// The processors of host a's node and of host b's.
    Split([Vec<usize>; 2]),
}

impl Placement {
    /// Halves the processors that this process may use; the odd one is host b's. A single one
    /// cannot be halved, and is for both.
    pub fn split() -> Self {
        Self::halves(&affinity::allowed_cpus())
    }

    fn halves(cpus: &[usize]) -> Self {
        if cpus.len() < 2 {
            return Self::Auto;
        }
        let (a, b) = cpus.split_at(cpus.len() / 2);
        Self::Split([a.to_vec(), b.to_vec()])
    }

    /// What the config file of host a's node (0) or host b's (1) says.
    pub fn setting(&self, index: usize) -> String {
        match self {
            Self::Auto => "\"auto\"".to_owned(),
            Self::Split(halves) => format!("{:?}", halves[index]),
        }
    }
}

/// Lets this thread run on `cpu` only.
///
/// # Errors
/// If there is no such processor, or this process may not use it.
pub fn pin(cpu: usize) -> Result<(), LabError> {
    affinity::pin(cpu).map_err(LabError::io(format!("pin a thread to CPU {cpu}")))
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto (each node on every CPU)"),
            Self::Split([a, b]) => write!(f, "split (host a on CPUs {a:?}, host b on {b:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_apart_and_have_every_processor() {
        let two = Placement::halves(&[0, 1]);
        assert_eq!([two.setting(0), two.setting(1)], ["[0]", "[1]"]);
        let odd = Placement::halves(&[2, 3, 7]);
        assert_eq!(odd, Placement::Split([vec![2], vec![3, 7]]));
        assert_eq!(odd.setting(1), "[3, 7]");
    }

    #[test]
    fn one_processor_is_for_both() {
        assert_eq!(Placement::halves(&[0]), Placement::Auto);
    }

    #[test]
    fn left_alone_nodes_choose_themselves() {
        assert_eq!(Placement::default().setting(1), "\"auto\"");
    }
}
