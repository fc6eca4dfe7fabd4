//! Settings that stay as they were at the start: which of them a configuration file has changed.

use std::mem::discriminant;

use crate::config::Settings;

impl Settings {
    /// The key of the first setting that differs, as in the configuration file.
    pub(super) fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let differences = [
            ("node.name", self.name != other.name),
            ("node.socket", self.socket != other.socket),
            ("node.state", self.state != other.state),
            ("dataplane.workers", self.workers != other.workers),
            ("dataplane.driver", self.driver != other.driver),
            (
                "dataplane.poll",
                discriminant(&self.poll) != discriminant(&other.poll),
            ),
            ("dataplane.spin", self.poll != other.poll),
            ("underlay.address", self.local != other.local),
            (
                "underlay.driver",
                self.underlay_driver != other.underlay_driver,
            ),
            ("underlay.zero_copy", self.zero_copy != other.zero_copy),
            ("underlay.df", self.df != other.df),
            ("underlay.probe", self.probe != other.probe),
            (
                "underlay.accept_unknown_vteps",
                self.accept_unknown_vteps != other.accept_unknown_vteps,
            ),
        ];
        differences
            .into_iter()
            .find(|(_, differs)| *differs)
            .map(|(key, _)| key)
    }
}
