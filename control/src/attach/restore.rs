//! Serves attachments again that an earlier run of the daemon made.

use super::{Attachments, Record, netns_id, serve};
use crate::app::{Engine, HostError};

impl Attachments {
    /// Serves again what is remembered. What cannot be served is kept, with its addresses, until
    /// somebody detaches it: its container may still be there.
    pub fn restore(&mut self, engine: &mut Engine) {
        let records: Vec<_> = self.entries.values().map(|it| it.record.clone()).collect();
        let (mut served, all) = (0, records.len());
        for record in records {
            let problem = restore_one(engine, &record).err();
            match &problem {
                None => served += 1,
                Some(problem) => {
                    tracing::warn!(attachment = %record.key, problem, "attachment not served");
                }
            }
            if let Some(entry) = self.entries.get_mut(&record.key) {
                entry.problem = problem;
            }
        }
        if all > 0 {
            tracing::info!(served, all, "attachments of the last run");
        }
    }
}

fn restore_one(engine: &mut Engine, record: &Record) -> Result<(), String> {
    let path = record.netns.display();
    match netns_id(&record.netns) {
        Ok(id) if id == record.netns_id => {}
        Ok(_) => return Err(format!("{path} is another namespace by now")),
        Err(error) => return Err(format!("{path}: {error}")),
    }
    serve(engine, record, true)
        .map(drop)
        .map_err(|error| HostError::chain(&error))
}
