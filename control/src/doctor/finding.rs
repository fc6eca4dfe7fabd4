//! What an examination yields.

use serde::Serialize;

/// How a thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It is there, or it is a plain fact.
    Ok,
    /// It is not there; Ringlay does without it.
    Missing,
    /// It is not there, and Ringlay cannot run without it.
    Blocking,
    /// It is there, but worth a look.
    Caution,
    /// It could not be looked at.
    Unknown,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) state: State,
    /// Its value, or why it is missing and what to do about it.
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn new(name: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            detail: detail.into(),
        }
    }
}

/// Findings that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) findings: Vec<Finding>,
}

/// What Ringlay will use for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Use {
    pub(super) purpose: &'static str,
    pub(super) choice: String,
    pub(super) reason: String,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Diagnosis {
    can_run: bool,
    pub(super) sections: Vec<Section>,
    pub(super) uses: Vec<Use>,
}

impl Diagnosis {
    /// Ringlay can run unless a finding is blocking.
    pub(super) fn new(sections: Vec<Section>, uses: Vec<Use>) -> Self {
        let mut findings = sections.iter().flat_map(|section| &section.findings);
        let can_run = findings.all(|finding| finding.state != State::Blocking);
        Self {
            can_run,
            sections,
            uses,
        }
    }

    pub(super) fn can_run(&self) -> bool {
        self.can_run
    }

    /// What keeps Ringlay from running.
    pub(super) fn blockers(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.sections.iter().flat_map(|section| &section.findings);
        findings.filter(|finding| finding.state == State::Blocking)
    }
}
