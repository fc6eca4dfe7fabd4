//! The sockets of local tunnel endpoints: opened before tables name them, and closed after.

use std::collections::{BTreeMap, BTreeSet};

use ringlay_dataplane::endpoint::Endpoint;

use super::Engine;
use crate::app::error::ChangeError;

impl Engine {
    /// Closes endpoints whose UDP port is to be of another kind: there cannot be both.
    pub(super) fn make_way(&mut self) {
        let place = |endpoint: &Endpoint| (endpoint.local, endpoint.protocols());
        let wanted: BTreeMap<_, _> = self.compiler.underlays().collect();
        let fresh = wanted
            .iter()
            .filter(|(id, _)| !self.underlays.contains_key(id));
        let fresh: Vec<_> = fresh.map(|(_, endpoint)| place(endpoint)).collect();
        let host = &self.host;
        self.underlays.retain(|id, endpoint| {
            let keep = wanted.contains_key(id) || !fresh.contains(&place(endpoint));
            if !keep {
                host.close_underlay(*id);
            }
            keep
        });
    }

    /// Opens the endpoints that the compiled tables name and that are not open.
    pub(super) fn open_underlays(&mut self) -> Result<(), ChangeError> {
        let wanted: Vec<_> = self.compiler.underlays().collect();
        for (id, endpoint) in wanted {
            if !self.underlays.contains_key(&id) {
                let object = || format!("underlay {endpoint}");
                self.host
                    .open_underlay(id, endpoint)
                    .map_err(|source| ChangeError::Host {
                        object: object(),
                        source,
                    })?;
                self.underlays.insert(id, endpoint);
            }
        }
        Ok(())
    }

    /// Has those endpoints report outer times to live whose networks take them over: it costs
    /// something for each datagram.
    pub(super) fn follow_ttls(&mut self) {
        let wanted = self.compiler.copied_ttls();
        for id in wanted.symmetric_difference(&self.ttls) {
            self.host.report_ttl(*id, wanted.contains(id));
        }
        self.ttls = wanted;
    }

    /// Closes what the compiled tables do not name.
    pub(super) fn close_unused(&mut self) {
        let wanted: BTreeSet<_> = self.compiler.underlays().map(|(id, _)| id).collect();
        let host = &self.host;
        self.underlays.retain(|id, _| {
            let keep = wanted.contains(id);
            if !keep {
                host.close_underlay(*id);
            }
            keep
        });
        self.ports.close_unused(&self.compiler);
    }
}
