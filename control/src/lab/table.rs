//! Text tables.

use std::fmt::{self, Write};

/// First column to the left, the others to the right, each as wide as its widest cell.
///
/// # Errors
/// What `f` fails with.
pub fn write_table(f: &mut impl Write, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            if column == 0 {
                write!(line, "{cell:<width$}")?;
            } else {
                write!(line, "  {cell:>width$}")?;
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_and_figures_right() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut text = String::new();
        let rows = [row(["", "kpps", ""]), row(["leg·1", "7", "12.5"])];
        write_table(&mut text, &rows).unwrap();
        assert_eq!(text, "       kpps\nleg·1     7  12.5\n");
    }
}
