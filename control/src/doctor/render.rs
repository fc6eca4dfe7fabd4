//! The findings as text for people.

use std::fmt;

use super::finding::{Diagnosis, Finding, State};

/// Displays a diagnosis.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) &'a Diagnosis);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let diagnosis = self.0;
        let width = self.name_width();
        for section in &diagnosis.sections {
            writeln!(f, "{}", section.title)?;
            for finding in &section.findings {
                write_finding(f, finding, width)?;
            }
            writeln!(f)?;
        }
        if !diagnosis.can_run() {
            writeln!(f, "Ringlay cannot run here:")?;
            return diagnosis
                .blockers()
                .try_for_each(|blocker| writeln!(f, "  {}: {}", blocker.name, blocker.detail));
        }
        writeln!(f, "Ringlay can run here and will use")?;
        for used in &diagnosis.uses {
            writeln!(
                f,
                "  {:<width$}  {} ({})",
                used.purpose, used.choice, used.reason
            )?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn name_width(&self) -> usize {
        let findings = self.0.sections.iter().flat_map(|section| &section.findings);
        let names = findings.map(|finding| finding.name.chars().count() + MARK_WIDTH);
        let purposes = self.0.uses.iter().map(|used| used.purpose.len());
        names.chain(purposes).max().unwrap_or_default()
    }
}

fn write_finding(f: &mut fmt::Formatter<'_>, finding: &Finding, width: usize) -> fmt::Result {
    let mark = match finding.state {
        State::Ok => "ok  ",
        State::Missing => "-   ",
        State::Blocking => "FAIL",
        State::Caution => "note",
        State::Unknown => "?   ",
    };
    let line = format!(
        "  {mark}  {:<1$}  {2}",
        finding.name,
        width - MARK_WIDTH,
        finding.detail
    );
    writeln!(f, "{}", line.trim_end())
}

/// Mark and the blanks after it.
const MARK_WIDTH: usize = 6;

#[cfg(test)]
mod tests {
    use super::super::finding::{Section, Use};
    use super::*;

    fn diagnosis(tun: State) -> Diagnosis {
        let sections = vec![
            Section {
                title: "TUN devices",
                findings: vec![
                    Finding::new("device", tun, ""),
                    Finding::new("USO4", State::Missing, "Invalid argument"),
                ],
            },
            Section {
                title: "Kernel tunnels",
                findings: vec![Finding::new("VXLAN", State::Unknown, "needs CAP_SYS_ADMIN")],
            },
        ];
        let uses = vec![Use {
            purpose: "driver",
            choice: "epoll".into(),
            reason: "io_uring is forbidden".into(),
        }];
        Diagnosis::new(sections, uses)
    }

    #[test]
    fn a_host_that_can_run_ringlay() {
        let expected = "\
TUN devices
  ok    device
  -     USO4    Invalid argument

Kernel tunnels
  ?     VXLAN   needs CAP_SYS_ADMIN

Ringlay can run here and will use
  driver        epoll (io_uring is forbidden)
";
        assert_eq!(Text(&diagnosis(State::Ok)).to_string(), expected);
    }

    #[test]
    fn a_host_that_cannot() {
        let mut diagnosis = diagnosis(State::Blocking);
        diagnosis.sections[0].findings[0].detail = "Operation not permitted".into();
        assert!(!diagnosis.can_run());
        let text = Text(&diagnosis).to_string();
        assert!(
            text.contains("  FAIL  device  Operation not permitted\n"),
            "{text}"
        );
        assert!(
            text.ends_with("cannot run here:\n  device: Operation not permitted\n"),
            "{text}"
        );
        assert!(!text.contains("epoll"));
    }

    #[test]
    fn json_names_states_in_words() {
        let value = serde_json::to_value(diagnosis(State::Ok)).unwrap();
        assert_eq!(value["can_run"], true);
        assert_eq!(value["sections"][0]["findings"][1]["state"], "missing");
        assert_eq!(value["uses"][0]["choice"], "epoll");
    }
}
