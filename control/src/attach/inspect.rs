//! Compares an attachment with what is inside the container. Changes nothing.

use ringlay_dataplane::sys::netns;

use super::{AttachmentKey, Attachments, CheckError, Record, netns_id};
use crate::{
    app::Engine,
    netlink::{self, Found},
    object::Name,
};

impl Attachments {
    /// What there should be of an attachment to `network`, and the MTU it should have.
    ///
    /// # Errors
    ///
    /// If it is not there, or not served.
    pub fn expected(
        &self,
        engine: &Engine,
        key: &AttachmentKey,
        network: &Name,
    ) -> Result<(Record, u32), CheckError> {
        let missing = || CheckError::Missing(key.clone());
        let attachment = self.entries.get(key).ok_or_else(missing)?;
        let (key, record) = (key.clone(), attachment.record.clone());
        if record.network != network.as_str() {
            let network = record.network;
            return Err(CheckError::OtherNetwork { key, network });
        }
        let problem = attachment.problem.clone();
        if let Some(problem) = problem {
            return Err(CheckError::Unserved { key, problem });
        }
        match engine.ports().get(&key.port()) {
            Some(entry) => Ok((record, entry.open.mtu)),
            None => {
                let problem = "its port is gone".to_owned();
                Err(CheckError::Unserved { key, problem })
            }
        }
    }
}

/// Looks whether the inside of a container is as the record says. Takes a while: no lock should be
/// held.
///
/// # Errors
///
/// If it differs.
pub fn inspect(record: &Record, mtu: u32) -> Result<(), CheckError> {
    let failed = |source| CheckError::Netns {
        path: record.netns.clone(),
        source,
    };
    let differs = |what: String| {
        let key = record.key.clone();
        CheckError::Differs { key, what }
    };
    if netns_id(&record.netns).map_err(failed)? != record.netns_id {
        let path = record.netns.display();
        return Err(differs(format!("{path} is another namespace")));
    }
    let looked = netns::run_in(&record.netns, || netlink::look(&record.key.device));
    let found = looked.map_err(failed)??;
    match difference(record, mtu, found.as_ref()) {
        Some(what) => Err(differs(what)),
        None => Ok(()),
    }
}

fn difference(record: &Record, mtu: u32, found: Option<&Found>) -> Option<String> {
    let Some(found) = found else {
        return Some("the device is gone".to_owned());
    };
    if !found.up {
        return Some("the device is down".to_owned());
    }
    if found.mtu != mtu {
        return Some(format!("the MTU is {} and not {mtu}", found.mtu));
    }
    if let Some(mac) = &record.mac
        && found.mac.map(|mac| mac.to_string()).as_ref() != Some(mac)
    {
        return Some(format!("the MAC address is not {mac}"));
    }
    let mut addresses = record.addresses.iter();
    if let Some(address) = addresses.find(|it| !found.addresses.contains(it)) {
        return Some(format!("address {address} is gone"));
    }
    let mut routes = record.routes.iter().map(|route| route.prefix);
    let route = routes.find(|it| !found.routes.contains(it))?;
    Some(format!("the route to {route} is gone"))
}
