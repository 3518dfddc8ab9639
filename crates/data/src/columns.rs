//! Tables of named columns, written row by row to `.parquet` or `.csv`.

mod csv;
mod parquet;

use std::path::{Path, PathBuf};

use cola_files::AtomicFile;

pub(crate) use self::parquet::plain;

use crate::Error;

/// What the cells of a column hold. No cell is ever empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers, 64 bits.
    Integers,
    /// Numbers of 64 bits.
    Doubles,
    /// Numbers of 32 bits.
    Floats,
    /// UTF-8 text.
    Texts,
    /// Vectors of this many numbers of 32 bits, at least 1. A vector `z` of 3 becomes the columns `z_0`, `z_1`, `z_2`.
    Vectors(usize),
}

/// Name and kind of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in the file.
    pub name: String,
    /// What its cells hold.
    pub kind: ColumnKind,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind }
    }

    /// The names under which the file has it.
    fn names(&self) -> Vec<String> {
        match self.kind {
            ColumnKind::Vectors(width) => (0..width).map(|i| format!("{}_{i}", self.name)).collect(),
            _ => vec![self.name.clone()],
        }
    }
}

/// The cells of one column in consecutive rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// For [`ColumnKind::Integers`].
    Integers(Vec<i64>),
    /// For [`ColumnKind::Doubles`].
    Doubles(Vec<f64>),
    /// For [`ColumnKind::Floats`], and for [`ColumnKind::Vectors`] one vector after the other.
    Floats(Vec<f32>),
    /// For [`ColumnKind::Texts`].
    Texts(Vec<String>),
}

impl Cells {
    /// Number of rows if these cells fit `kind`.
    fn rows(&self, kind: ColumnKind) -> Option<usize> {
        match (self, kind) {
            (Self::Integers(cells), ColumnKind::Integers) => Some(cells.len()),
            (Self::Doubles(cells), ColumnKind::Doubles) => Some(cells.len()),
            (Self::Floats(cells), ColumnKind::Floats) => Some(cells.len()),
            (Self::Texts(cells), ColumnKind::Texts) => Some(cells.len()),
            (Self::Floats(cells), ColumnKind::Vectors(width)) => {
                cells.len().is_multiple_of(width).then(|| cells.len() / width)
            }
            _ => None,
        }
    }
}

/// Writes a table, the format chosen by the file's extension.
///
/// Rows go out in groups, so memory does not grow with their number. The file has its name only after
/// [`finish`](Self::finish): it is written aside, synced and renamed. A writer that is dropped before, or fails, leaves
/// nothing behind and an older file of the name untouched.
///
/// - `.parquet`: zstd; no column can be null; metadata in the footer's key-value list.
/// - `.csv`: a header, commas, line feeds, quotes as in RFC 4180. Metadata come first, as lines `# key: value`, one for
///   each line of the value; read with `comment="#"` (pandas) or `comment_prefix="#"` (polars). Texts may hold `#`: they
///   are quoted then. Numbers have the digits that read back the same;
///   `NaN`, `inf` and `-inf` are written so.
///
/// ```
/// use cola_data::{Cells, Column, ColumnKind, ColumnWriter};
///
/// # let folder = std::env::temp_dir().join(format!("cola-columns-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let file = folder.join("actions.csv");
/// let columns = [Column::new("frame", ColumnKind::Integers), Column::new("z", ColumnKind::Vectors(2))];
/// let mut table = ColumnWriter::create(&file, &columns, &[("video", "film.mp4")])?;
/// table.write_rows(vec![Cells::Integers(vec![0, 1]), Cells::Floats(vec![0.5, 1.0, -0.25, 2.0])])?;
/// table.finish()?;
/// let text = std::fs::read_to_string(&file).unwrap();
/// assert_eq!(text, "# video: film.mp4\nframe,z_0,z_1\n0,0.5,1.0\n1,-0.25,2.0\n");
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), cola_data::Error>(())
/// ```
pub struct ColumnWriter {
    file: PathBuf,
    columns: Vec<Column>,
    /// `None` after a failed write: what follows a gap must not be taken for a whole table.
    format: Option<Format>,
}

enum Format {
    Parquet(Box<parquet::Groups>),
    Csv(AtomicFile),
}

impl ColumnWriter {
    /// Begins the table `file` with these columns and pairs of metadata.
    ///
    /// # Errors
    /// An extension other than `.parquet` or `.csv`, no column, two of the same name, vectors of width 0, a key that is
    /// empty or holds a colon or a line break, a folder that is missing or cannot be written to.
    pub fn create(file: &Path, columns: &[Column], metadata: &[(&str, &str)]) -> Result<Self, Error> {
        let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let parquet = match extension.as_deref() {
            Some("parquet") => true,
            Some("csv") => false,
            found => {
                let found = found.unwrap_or_default().to_owned();
                return Err(Error::TableFormat { file: file.to_owned(), found });
            }
        };
        let mut names: Vec<String> = columns.iter().flat_map(Column::names).collect();
        let empty = columns.iter().any(|column| column.kind == ColumnKind::Vectors(0));
        names.sort();
        if names.is_empty() || empty || names.windows(2).any(|pair| pair[0] == pair[1]) {
            let expected = "at least one column, no two of the same name, vectors of at least 1 number";
            return Err(Error::setting("columns", format!("{names:?}"), expected));
        }
        if let Some((key, _)) =
            metadata.iter().find(|(key, _)| key.is_empty() || key.contains([':', '\n', '\r']))
        {
            let expected = "keys without colons and line breaks, none empty";
            return Err(Error::setting("metadata", format!("{key:?}"), expected));
        }
        let failed = |source| Error::Write { file: file.to_owned(), source };
        let mut target = AtomicFile::create(file).map_err(failed)?;
        let format = if parquet {
            Format::Parquet(Box::new(parquet::Groups::new(target, columns, metadata).map_err(failed)?))
        } else {
            csv::write_head(&mut target, columns, metadata).map_err(failed)?;
            Format::Csv(target)
        };
        Ok(Self { file: file.to_owned(), columns: columns.to_vec(), format: Some(format) })
    }

    /// Appends rows: for each column its cells, all of the same number of rows.
    ///
    /// # Errors
    /// Another number of columns, cells of another kind or number (nothing of them is written and the writer goes on);
    /// a disk that is full or refuses (the table is given up).
    pub fn write_rows(&mut self, batch: Vec<Cells>) -> Result<(), Error> {
        let rows = self.check(&batch)?;
        let mut format = self.format.take().ok_or_else(|| self.given_up())?;
        let written = match &mut format {
            Format::Parquet(groups) => groups.append(&self.columns, batch, rows),
            Format::Csv(target) => csv::write_rows(target, &self.columns, &batch, rows),
        };
        written.map_err(|source| self.failed(source))?;
        self.format = Some(format);
        Ok(())
    }

    /// Brings the table to the disk under its name.
    ///
    /// # Errors
    /// A disk that is full or refuses, or a write that failed before.
    pub fn finish(mut self) -> Result<(), Error> {
        let format = self.format.take().ok_or_else(|| self.given_up())?;
        let target = match format {
            Format::Parquet(groups) => groups.finish(&self.columns),
            Format::Csv(target) => Ok(target),
        };
        target.and_then(AtomicFile::commit).map_err(|source| self.failed(source))
    }

    /// Number of rows in a batch that fits the columns.
    fn check(&self, batch: &[Cells]) -> Result<usize, Error> {
        let refused = |found, expected| Error::Rows { file: self.file.clone(), found, expected };
        if batch.len() != self.columns.len() {
            return Err(refused(format!("{} columns", batch.len()), self.columns.len().to_string()));
        }
        let mut rows = None;
        for (cells, Column { name, kind }) in batch.iter().zip(&self.columns) {
            let expected = || format!("{kind:?} in column `{name}`");
            let found = cells.rows(*kind).ok_or_else(|| refused("other cells".into(), expected()))?;
            let first = *rows.get_or_insert(found);
            if found != first {
                return Err(refused(format!("{found} rows in column `{name}`"), format!("{first}")));
            }
        }
        Ok(rows.unwrap_or(0))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Write { file: self.file.clone(), source }
    }

    fn given_up(&self) -> Error {
        self.failed(std::io::Error::other("an earlier write failed"))
    }
}
