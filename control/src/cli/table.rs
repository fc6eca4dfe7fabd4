//! Tables of words and numbers.

/// Columns of text, the first to the left and numbers to the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Nothing below these words.
    pub(super) fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    /// Adds a line: a cell for each word of the header.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether there is a line.
    pub(super) fn has_rows(&self) -> bool {
        self.rows.len() > 1
    }

    /// All lines.
    pub(super) fn text(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].len()).max();
        let widths: Vec<_> = (0..columns)
            .map(|column| width(column).unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| match cell.parse::<f64>() {
                    _ if column == 0 => format!("{cell:<width$}"),
                    Ok(_) => format!("{cell:>width$}"),
                    Err(_) if self.is_numeric(column) => format!("{cell:>width$}"),
                    Err(_) => format!("{cell:<width$}"),
                });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// Whether a column holds numbers, below its header.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows[1..]
            .iter()
            .any(|row| row[column].parse::<f64>().is_ok())
    }
}
