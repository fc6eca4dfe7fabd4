//! A comparison as text: a heading, a table for each measure, notes.

use std::fmt::{self, Write};

use ringlay_control::lab::table::write_table;

use super::figure::{Figure, Figures};
use super::{LegReport, LegResult, MeasureReport, Section, Settings};
use crate::compare::measure::Measure;

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        let tsc = self.tsc.as_ref().map_or_else(
            || "no constant TSC: no cycles".to_owned(),
            |tsc| {
                format!(
                    "cycles: CPU seconds of the whole machine x {:.1} MHz, the TSC's rate ({})",
                    tsc.hertz / 1e6,
                    tsc.source
                )
            },
        );
        writeln!(
            f,
            "{} · kernel {} · {} cores",
            machine.date, machine.kernel, machine.cores
        )?;
        writeln!(f, "{tsc}")?;
        writeln!(
            f,
            "two hosts as network namespaces of one machine, joined by veth: no NIC is involved"
        )?;
        writeln!(f, "Ringlay's workers: {}", self.workers)?;
        writeln!(
            f,
            "traffic: {} · medians of {} alternating rounds of {} s",
            self.traffic, self.rounds, self.seconds
        )?;
        if machine.is_debug_build {
            writeln!(
                f,
                "caution: this is a debug build, much slower than a release build"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.offloads { "on" } else { "off" };
        writeln!(f, "== underlay MTU {}, offloads {state} ==", self.mtu)?;
        if self.background_cores > BUSY {
            writeln!(
                f,
                "caution: other programs kept {:.1} cores busy before the start",
                self.background_cores
            )?;
        }
        for measure in &self.measures {
            writeln!(f, "\n{}", measure.measure)?;
            write_table(f, &measure.rows())?;
        }
        f.write_char('\n')?;
        self.legs.iter().try_for_each(|leg| leg.write_notes(f))
    }
}

impl MeasureReport {
    fn rows(&self) -> Vec<Vec<String>> {
        let columns = columns(self.measure);
        let mut heading = vec![String::new()];
        for column in &columns {
            heading.extend(column.headings());
        }
        let rows = self.results.iter().map(|result| result.row(&columns));
        std::iter::once(heading).chain(rows).collect()
    }
}

impl LegResult {
    fn row(&self, columns: &[Column]) -> Vec<String> {
        let mut row = vec![self.leg.clone()];
        for column in columns {
            row.extend(column.cells(self));
        }
        row
    }
}

impl LegReport {
    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leg = &self.leg;
        if let Some(reason) = &self.absent {
            return writeln!(f, "{leg}: not measured: {reason}");
        }
        if let Some(error) = &self.failed {
            writeln!(f, "{leg}: FAILED: {error}")?;
        }
        if let Some(mode) = &self.mode {
            writeln!(f, "{leg}: {mode}")?;
        }
        writeln!(f, "{leg}: packets dropped: {}", self.drops)
    }
}

/// A figure, and whether its ratios stand beside it.
struct Column {
    figure: Figure,
    is_compared: bool,
}

impl Column {
    fn headings(&self) -> Vec<String> {
        let mut cells = vec![self.figure.heading().to_owned()];
        if self.is_compared {
            cells.extend(["/K".to_owned(), "/loop".to_owned()]);
        }
        cells
    }

    fn cells(&self, result: &LegResult) -> Vec<String> {
        let text = |figures: &Figures, write: fn(Figure, f64) -> String| {
            figures
                .get(&self.figure)
                .map_or_else(|| "-".to_owned(), |value| write(self.figure, *value))
        };
        let mut cells = vec![text(&result.medians, Figure::cell)];
        if self.is_compared {
            let ratio = |_: Figure, value: f64| format!("{value:.2}");
            cells.extend([text(&result.to_kernel, ratio), text(&result.to_loop, ratio)]);
        }
        cells
    }
}

fn columns(measure: Measure) -> Vec<Column> {
    match measure {
        Measure::Tcp { .. } => vec![
            compared(Figure::GbitPerSecond),
            compared(Figure::Cores),
            compared(Figure::CyclesPerByte),
            alone(Figure::SyscallsPerThousandPackets),
        ],
        Measure::Udp { .. } => vec![
            compared(Figure::PacketsPerSecond),
            alone(Figure::Loss),
            compared(Figure::Cores),
            compared(Figure::PacketsPerCpuSecond),
            alone(Figure::CyclesPerByte),
        ],
        Measure::RoundTrips => vec![
            compared(Figure::P50Us),
            compared(Figure::P99Us),
            compared(Figure::Cores),
        ],
    }
}

fn compared(figure: Figure) -> Column {
    Column {
        figure,
        is_compared: true,
    }
}

fn alone(figure: Figure) -> Column {
    Column {
        figure,
        is_compared: false,
    }
}

/// Other programs' load that is worth a word.
const BUSY: f64 = 0.15;
