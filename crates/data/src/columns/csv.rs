//! The lines of a `.csv` table.

use std::borrow::Cow;
use std::io::{Result, Write};

use super::{Cells, Column, ColumnKind};

/// Metadata and the line of names.
pub(super) fn write_head(to: &mut impl Write, columns: &[Column], metadata: &[(&str, &str)]) -> Result<()> {
    for (key, value) in metadata {
        // A carriage return alone would end the comment for some readers.
        for line in value.replace('\r', "").split('\n') {
            writeln!(to, "# {key}: {line}")?;
        }
    }
    let names: Vec<String> = columns.iter().flat_map(Column::names).collect();
    let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    writeln!(to, "{}", names.join(","))
}

/// One line a row.
pub(super) fn write_rows(
    to: &mut impl Write,
    columns: &[Column],
    batch: &[Cells],
    rows: usize,
) -> Result<()> {
    for row in 0..rows {
        for (place, (cells, column)) in batch.iter().zip(columns).enumerate() {
            if place > 0 {
                write!(to, ",")?;
            }
            // `{:?}` writes numbers with the fewest digits that read back the same, and with an exponent where the
            // digits would be many.
            match cells {
                Cells::Integers(cells) => write!(to, "{}", cells[row])?,
                Cells::Doubles(cells) => write!(to, "{:?}", cells[row])?,
                Cells::Texts(cells) => write!(to, "{}", quoted(&cells[row]))?,
                Cells::Floats(cells) => {
                    let width = if let ColumnKind::Vectors(width) = column.kind { width } else { 1 };
                    for (component, cell) in cells[row * width..(row + 1) * width].iter().enumerate() {
                        let comma = if component > 0 { "," } else { "" };
                        write!(to, "{comma}{cell:?}")?;
                    }
                }
            }
        }
        writeln!(to)?;
    }
    Ok(())
}

/// A text as a cell. Quoted where RFC 4180 asks for it, where a reader might take it for a comment, and if empty,
/// which readers take for a missing value otherwise.
fn quoted(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.trim() != text || text.contains([',', '"', '\n', '\r', '#']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}
