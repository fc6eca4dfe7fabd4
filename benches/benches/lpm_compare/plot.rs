//! The comparison as a picture: bars of lookups a second, with the memory beside them.

use std::fmt::Write;

use crate::stats::mib;

/// The structures of one address family.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// One structure.
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Million lookups a second.
    pub(crate) rate: f64,
    /// Bytes that lookups may read.
    pub(crate) memory: Option<usize>,
    /// Cycles a lookup, measured as `dpdk-test-fib` does.
    pub(crate) fenced: Option<f64>,
}

impl Bar {
    pub(crate) fn new(name: &str, rate: f64, memory: Option<usize>) -> Self {
        Self {
            name: name.into(),
            rate,
            memory,
            fenced: None,
        }
    }
}

/// An SVG document with all charts, one below the other.
pub(crate) fn draw(charts: &[Chart]) -> String {
    let rows: usize = charts.iter().map(|chart| chart.bars.len() + 2).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        rows * ROW
    );
    let most = charts
        .iter()
        .flat_map(|chart| &chart.bars)
        .map(|bar| bar.rate)
        .fold(1.0, f64::max);
    let mut row = 1;
    for chart in charts {
        text(
            &mut svg,
            10,
            row,
            &format!(
                "{}: million lookups a second, announced addresses",
                chart.title
            ),
        );
        for bar in &chart.bars {
            row += 1;
            draw_bar(&mut svg, row, bar, most);
        }
        row += 2;
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_bar(svg: &mut String, row: usize, bar: &Bar, most: f64) {
    let width = (bar.rate / most * BARS as f64).max(1.0) as usize;
    let colour = if bar.name.starts_with("ringlay") {
        "#1b6e3c"
    } else {
        "#8a9299"
    };
    let top = row * ROW - 14;
    writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"16\" fill=\"{colour}\"/>"
    )
    .expect("a string takes all that is written");
    text(svg, 10, row, &bar.name);
    let memory = bar
        .memory
        .map_or(String::new(), |memory| format!(", {:.1} MiB", mib(memory)));
    text(
        svg,
        LEFT + width + 6,
        row,
        &format!("{:.0}{memory}", bar.rate),
    );
}

fn text(svg: &mut String, x: usize, row: usize, text: &str) {
    let y = row * ROW;
    writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{text}</text>")
        .expect("a string takes all that is written");
}

const WIDTH: usize = 900;
const LEFT: usize = 180;
const BARS: usize = 560;
const ROW: usize = 22;
