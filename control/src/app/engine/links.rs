//! Ethernet ports: which hosts are there, from what workers hear to the tables.

use std::time::Instant;

use ringlay_dataplane::id::PortId;

use super::Engine;
use crate::{
    neighbour::hosts::{Changed, Host},
    object::Name,
    rib::Delta,
};

impl Engine {
    /// The hosts that are known, or asked for, on the Ethernet ports of a network.
    pub fn hosts_of<'a>(&'a self, network: &'a Name) -> impl Iterator<Item = (&'a Name, Host)> {
        let now = Instant::now();
        self.rib.ports_of(network).flat_map(move |port| {
            let id = self.compiler.port(&port.name);
            let hosts = id.into_iter().flat_map(move |id| self.hosts.of(id, now));
            hosts.map(move |host| (&port.name, host))
        })
    }

    /// The ports that a change closes, or opens anew.
    pub(super) fn closing_links(&self, delta: &Delta) -> Vec<PortId> {
        let changes = delta.ports.iter();
        let closing = changes.filter(|change| match (&change.before, &change.after) {
            (Some(before), Some(after)) => {
                !before.same_device(after) || before.network != after.network
            }
            (Some(_), None) => true,
            (None, _) => false,
        });
        closing
            .filter_map(|change| self.compiler.port(&change.latest().name))
            .collect()
    }

    /// Takes up the ports that a change opens, or says something new of.
    pub(super) fn follow_links(&mut self, closing: &[PortId], delta: &Delta) {
        closing.iter().for_each(|id| self.hosts.remove(*id));
        for port in delta.ports.iter().filter_map(|it| it.after.as_ref()) {
            if let Some((id, view)) = self.compiler.link_view(&port.name) {
                self.hosts.put(id, view);
            }
        }
    }

    /// Puts what is known of hosts now into the tables.
    pub(super) fn learn_hosts(&mut self, changed: &[Changed]) {
        if changed.is_empty() {
            return;
        }
        for &(id, address, mac) in changed {
            if let Some(name) = self.compiler.port_name(id).cloned() {
                match mac {
                    Some(mac) => tracing::debug!(port = %name, %address, %mac, "host resolved"),
                    None => tracing::debug!(port = %name, %address, "host no longer answers"),
                }
                self.compiler.learn_host(&name, address, mac);
            }
        }
        self.host.publish(self.compiler.tables());
    }

    /// Tells the tables how large packets the devices take that are not ours.
    pub(super) fn note_link_mtus(&mut self, delta: &Delta) {
        for port in delta.ports.iter().filter_map(|it| it.after.as_ref()) {
            if let Some(entry) = self.ports.get(&port.name) {
                self.compiler.set_link_mtu(&port.name, entry.open.mtu);
            }
        }
    }

    /// Takes note of what became of devices that are not ours.
    pub(super) fn tend_ports(&mut self) {
        let tended = self.host.tend_ports();
        if tended.is_empty() {
            return;
        }
        for (id, outcome) in tended {
            let Some(name) = self.compiler.port_name(id).cloned() else {
                continue;
            };
            if let Ok(open) = &outcome {
                self.compiler.set_link_mtu(&name, open.mtu);
            }
            self.ports.tended(&name, outcome);
        }
        self.host.publish(self.compiler.tables());
    }

    /// Sends the requests that are due.
    pub(super) fn poll_hosts(&mut self) {
        let (requests, lost) = self.hosts.poll(Instant::now());
        self.learn_hosts(&lost);
        for request in requests {
            self.host.inject_link(request.port, request.frame);
        }
    }
}
