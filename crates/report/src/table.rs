//! Rows of numbers for a page, a terminal or a spreadsheet.

use std::fmt;

use crate::Error;

/// A header and rows of cells.
///
/// Shown as text, columns are aligned: to the right where every cell is a number (with a sign, a unit such as `%`, an
/// error such as `± 0.1`) or empty, to the left elsewhere.
///
/// ```
/// let mut table = cola_report::Table::new(["start", "PSNR"]);
/// table.row(["scratch", "9.5"])?;
/// table.row(["warm", "21.0"])?;
/// assert_eq!(table.to_string(), "start    PSNR\n-------  ----\nscratch   9.5\nwarm     21.0\n");
/// # Ok::<(), cola_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Not one cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) -> Result<(), Error> {
        let row: Vec<String> = cells.into_iter().map(Into::into).collect();
        let (expected, found) = (self.header.len(), row.len());
        if found != expected {
            return Err(Error::Row { expected, found, row });
        }
        self.rows.push(row);
        Ok(())
    }

    /// A Markdown table, readable as it is too.
    pub fn to_markdown(&self) -> String {
        let columns = self.columns(|cell| cell.replace('|', "\\|").replace('\n', " "));
        let rule: Vec<String> = columns
            .iter()
            .map(|column| {
                let dashes = "-".repeat(column.width.max(3) - usize::from(column.right));
                dashes + if column.right { ":" } else { "" }
            })
            .collect();
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let cells = |row: usize| columns.iter().map(|column| column.cell(row, 3)).collect::<Vec<_>>();
        let rows: String = (1..=self.rows.len()).map(|row| line(&cells(row))).collect();
        line(&cells(0)) + &line(&rule) + &rows
    }

    /// Comma-separated values after RFC 4180, but with line feeds only.
    pub fn to_csv(&self) -> String {
        let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let line = |cells: &Vec<String>| cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
        std::iter::once(&self.header).chain(&self.rows).map(line).collect()
    }

    fn columns(&self, escape: impl Fn(&str) -> String) -> Vec<Column> {
        let column = |index: usize| {
            let cells: Vec<String> =
                std::iter::once(&self.header).chain(&self.rows).map(|row| escape(&row[index])).collect();
            let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
            let numbers = cells[1..].iter().filter(|cell| !cell.is_empty());
            let right = numbers.clone().count() > 0 && numbers.clone().all(|cell| is_number(cell));
            Column { cells, width, right }
        };
        (0..self.header.len()).map(column).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns(|cell| cell.replace('\n', " "));
        let rule: Vec<String> = columns.iter().map(|column| "-".repeat(column.width)).collect();
        for row in 0..=self.rows.len() {
            let cells: Vec<String> = columns.iter().map(|column| column.cell(row, 0)).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
            if row == 0 {
                writeln!(f, "{}", rule.join("  "))?;
            }
        }
        Ok(())
    }
}

/// A column, its name first.
struct Column {
    cells: Vec<String>,
    width: usize,
    right: bool,
}

impl Column {
    fn cell(&self, row: usize, at_least: usize) -> String {
        let (cell, width) = (&self.cells[row], self.width.max(at_least));
        if self.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }
}

/// Whether a cell starts as a number and says nothing but numbers and short units.
fn is_number(cell: &str) -> bool {
    let first = cell.split_whitespace().next().unwrap_or("");
    let bare = first.trim_end_matches(|letter: char| letter == '%' || letter.is_ascii_alphabetic());
    matches!(first, "-" | "–" | "NaN" | "inf" | "-inf")
        || first.parse::<f64>().is_ok()
        || (bare.parse::<f64>().is_ok() && first.len() - bare.len() <= 2)
}
