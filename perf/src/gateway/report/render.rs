//! The report as tables.

use std::fmt;

use ringlay_control::lab::machine::BUSY;
use ringlay_control::lab::table::write_table;

use super::super::leg::LegKind;
use super::{Figures, LegReport, LegResult, Report, Settings, TableReport};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.settings)?;
        let wire = |table: &TableReport| table.of(LegKind::Wire).and_then(|wire| wire.full.cores);
        let busiest = self.tables.iter().filter_map(wire).reduce(f64::max);
        if let Some(busy) = busiest.filter(|busy| *busy > 1.0 + BUSY) {
            writeln!(
                f,
                "caution: {busy:.1} cores were busy where one has all to do: other programs ran"
            )?;
        }
        for table in &self.tables {
            writeln!(f, "\n{table}")?;
        }
        self.legs.iter().try_for_each(|leg| write!(f, "{leg}"))?;
        if !self.targets.is_empty() {
            writeln!(f)?;
        }
        for target in &self.targets {
            let verdict = match target.is_met() {
                None => "not measured",
                Some(true) => "reached",
                Some(false) => "missed",
            };
            let reached = cell(target.reached, 1.0, 2);
            let (what, wanted) = (&target.what, target.wanted);
            writeln!(f, "{what}: {reached} of {wanted:.2}: {verdict}")?;
        }
        writeln!(f)?;
        METHOD.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        let (date, kernel, cores) = (&machine.date, &machine.kernel, machine.cores);
        writeln!(f, "{date} · kernel {kernel} · {cores} cores")?;
        let name = |cpu: Option<usize>| {
            cpu.map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"))
        };
        writeln!(
            f,
            "generator on {}, gateway on {} (poll {}; the kernel's on the {}'s)",
            name(self.traffic_cpu),
            name(self.gateway_cpu),
            self.poll,
            self.kernel_cpu
        )?;
        let (access, underlay) = (self.access_mtu, self.underlay_mtu);
        writeln!(
            f,
            "veth, one queue each, MTU {access} inside and {underlay} outside · AF_XDP copies, XDP in the driver"
        )?;
        let (rounds, milliseconds) = (self.rounds, self.milliseconds);
        writeln!(
            f,
            "{} routes, {} next hops, {} far hosts · medians of {rounds} alternating rounds of {milliseconds} ms · loss-free: {}",
            self.routes, self.next_hops, self.destinations, self.tolerance
        )?;
        machine.write_cautions(f)
    }
}

impl fmt::Display for TableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} bytes", self.direction, self.frame)?;
        let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
        rows.extend(self.results.iter().map(row));
        let mut text = String::new();
        write_table(&mut text, &rows)?;
        f.write_str(text.trim_end())?;
        for result in &self.results {
            if let (Some(own), Some(kernel)) = (result.full.worker_ns, result.full.worker_kernel_ns)
            {
                let leg = &result.leg;
                write!(
                    f,
                    "\n{leg}: worker {own:.0} ns a frame itself, {kernel:.0} ns in the kernel"
                )?;
            }
        }
        for result in &self.results {
            if let Some(stages) = &result.stages {
                write!(f, "\n{}: {stages}", result.leg)?;
            }
        }
        let unlimited: Vec<_> = self.results.iter().filter(|it| it.takes_all()).collect();
        if !unlimited.is_empty() {
            let legs: Vec<_> = unlimited.iter().map(|result| &*result.leg).collect();
            let legs = legs.join(", ");
            write!(
                f,
                "\nlimited by the generator at full load, and faster than told: {legs}"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for LegReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leg = &self.leg;
        if let Some(reason) = &self.absent {
            return writeln!(f, "{leg}: not here: {reason}");
        }
        if let Some(error) = &self.failed {
            writeln!(f, "{leg}: FAILED: {error}")?;
        }
        let mode = self.mode.as_deref().unwrap_or("-");
        writeln!(f, "{leg}: {mode}; dropped: {}", self.drops)
    }
}

fn row(result: &LegResult) -> Vec<String> {
    let mut row = vec![result.leg.clone()];
    for figures in [&result.full, &result.loss_free] {
        row.extend(cells(figures));
    }
    row
}

fn cells(figures: &Figures) -> [String; 6] {
    [
        cell(figures.rate, 1e-3, 0),
        cell(figures.rate_to_testpmd, 1.0, 2),
        cell(figures.cores, 1.0, 2),
        cell(figures.per_cpu_second, 1e-3, 0),
        cell(figures.per_cpu_second_to_kernel, 1.0, 2),
        cell(figures.gateway_ns, 1.0, 0),
    ]
}

fn cell(value: Option<f64>, scale: f64, digits: usize) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("{:.digits$}", value * scale),
    )
}

const HEADINGS: [&str; 13] = [
    "",
    "full kpps",
    "/testpmd",
    "cores",
    "kpps/core",
    "/K",
    "ns",
    "loss-free kpps",
    "/testpmd",
    "cores",
    "kpps/core",
    "/K",
    "ns",
];

/// How to read the figures.
const METHOD: [&str; 11] = [
    "wire: no gateway, the ceiling of generator and sinks. testpmd: DPDK in io mode, frames as they are. bridge, routed (K: the",
    "  better of both): kernel VXLAN. Others: Ringlay as ACCESS/UNDERLAY.",
    "full: the generator sends as fast as it can; kpps is what arrives. loss-free: the highest rate, by bisection, at which no",
    "  more than the tolerated part is lost.",
    "cores: processors busy, whole machine, less the time that the paced generator spins. ns: CPU time for each frame, less that",
    "  of the wire.",
    "cycles a frame: of the worker's clock, so with what interrupts it, by stage, in a trial of its own at full load; for each",
    "  frame that it receives, whichever way, so that they add up.",
    "A frame's length is that of the plain frame, Ethernet header included; VXLAN adds 50 bytes. Sinks are XDP programs that",
    "  count and drop. A veth delivers on the sender's CPU: what the gateway receives costs the generator's CPU as far as AF_XDP's",
    "  ring or the kernel's queue, and the sinks' part is on the gateway's.",
];
