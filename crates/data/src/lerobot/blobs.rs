//! Pictures in the rows of a parquet file, as the files they were.

use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};

use super::table::Table;
use crate::Error;
use crate::guarded::guarded;

/// A picture in a row.
pub(super) enum Blob {
    /// The content of a PNG or JPEG file.
    Bytes(ByteArray),
    /// Where the file is, seen from the data set's folder.
    Path(String),
}

/// Reads the pictures of one row group, row after row.
pub(super) struct Blobs<'a> {
    table: &'a Table,
    name: &'a str,
    bytes: Cells,
    /// Absent in files that have the content alone.
    path: Option<Cells>,
}

/// One column and the row it stands at.
struct Cells {
    reader: ColumnReaderImpl<ByteArrayType>,
    at: usize,
}

impl<'a> Blobs<'a> {
    /// Looks for the feature `name`: a struct with `bytes` and `path`, or a column of bytes.
    pub(super) fn open(table: &'a Table, group: usize, name: &'a str) -> Result<Self, Error> {
        let cells = |part: Option<&str>| -> Result<Option<Cells>, Error> {
            let wanted = || [name].into_iter().chain(part);
            let Some(leaf) = table.leaf(|path| path.iter().eq(wanted())) else { return Ok(None) };
            match guarded(table.file(), || table.column(group, leaf))? {
                ColumnReader::ByteArrayColumnReader(reader) => Ok(Some(Cells { reader, at: 0 })),
                other => Err(table.type_error(name, &other, "BYTE_ARRAY")),
            }
        };
        let bytes = match cells(Some("bytes"))? {
            Some(bytes) => Some(bytes),
            None => cells(None)?,
        };
        let bytes = bytes.ok_or_else(|| table.missing(name))?;
        Ok(Self { table, name, bytes, path: cells(Some("path"))? })
    }

    /// The picture in `row`; rows are asked for in ascending order.
    pub(super) fn get(&mut self, row: usize) -> Result<Blob, Error> {
        if let Some(bytes) = self.bytes.get(self.table, self.name, row)? {
            return Ok(Blob::Bytes(bytes));
        }
        let path = match &mut self.path {
            Some(path) => path.get(self.table, self.name, row)?,
            None => None,
        };
        let path = path.and_then(|path| Some(path.as_utf8().ok()?.to_owned()));
        path.map(Blob::Path).ok_or_else(|| {
            self.table.value_error(
                self.name,
                format!("nothing in row {row}"),
                "`bytes` or `path` of a picture",
            )
        })
    }
}

impl Cells {
    /// The value in `row`, unless it is null.
    fn get(&mut self, table: &Table, name: &str, row: usize) -> Result<Option<ByteArray>, Error> {
        let ahead = row.checked_sub(self.at);
        let ahead =
            ahead.ok_or_else(|| Error::setting("frames", row, "each row once, in ascending order"))?;
        let (mut values, mut present) = (Vec::new(), Vec::new());
        let (skipped, read) = guarded(table.file(), || {
            let skipped = self.reader.skip_records(ahead).map_err(|source| table.unreadable(source))?;
            let read = self.reader.read_records(1, Some(&mut present), None, &mut values);
            Ok((skipped, read.map_err(|source| table.unreadable(source))?.0))
        })?;
        self.at = row + 1;
        match (skipped == ahead, read, values.len()) {
            (true, 1, 0 | 1) => Ok(values.pop()),
            _ => {
                Err(table.value_error(name, format!("{} values for row {row}", values.len()), "one, or null"))
            }
        }
    }
}

/// The file of a picture that is not in the row itself; `most` bytes at most.
pub(super) fn read_file(file: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let read = |source| Error::Read { file: file.to_owned(), source };
    if !file.is_file() {
        let mend = "the data set is incomplete, copy its pictures again";
        return Err(Error::MissingFile { file: file.to_owned(), expected: "the picture of a frame", mend });
    }
    let length = std::fs::metadata(file).map_err(read)?.len();
    if length > most {
        return Err(Error::Field {
            file: file.to_owned(),
            field: "length".into(),
            found: format!("{length} bytes"),
            expected: format!("at most {most} for a picture of this size"),
            mend: "copy the file again from the data set's source",
        });
    }
    std::fs::read(file).map_err(read)
}
