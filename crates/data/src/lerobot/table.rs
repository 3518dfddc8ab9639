//! A parquet file as named columns, read one row group at a time.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{ReaderProperties, ReaderPropertiesPtr};
use parquet::file::reader::RowGroupReader;
use parquet::file::serialized_reader::SerializedRowGroupReader;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::pages::Pages;
use crate::guarded::guarded;
use crate::{Error, regular};

const MEND: &str = "copy the file again from the data set's source, or write the data set again";

/// Rows of a row group; the usual writers stop at 2^20. A few bytes can claim any number of equal rows.
const MOST_ROWS: usize = 1 << 24;

/// Numbers that one call gives: half a gibibyte.
const MOST_NUMBERS: usize = 1 << 26;

/// Bytes of the texts that one call gives.
const MOST_BYTES: usize = 256 << 20;

/// Records read at once: what the file claims to hold never decides how much is allocated.
const STEP: usize = 4096;

/// A parquet file whose metadata were read.
///
/// The file itself is opened again for each column: clones of a handle share one position, and tables are used by many
/// threads.
pub(super) struct Table {
    file: PathBuf,
    metadata: ParquetMetaData,
    properties: ReaderPropertiesPtr,
}

impl Table {
    /// Opens `file` and reads its schema.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        if !file.is_file() {
            let mend = "the data set is incomplete, copy its meta and data folders again";
            return Err(Error::MissingFile { file: file.to_owned(), expected: "a parquet file", mend });
        }
        let handle = regular::open(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
        let metadata = guarded(file, || Ok(ParquetMetaDataReader::new().parse_and_finish(&handle)))?;
        let metadata = metadata.map_err(|source| Error::Parquet { file: file.to_owned(), source })?;
        let properties = Arc::new(ReaderProperties::builder().build());
        Ok(Self { file: file.to_owned(), metadata, properties })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Number of row groups.
    pub(super) fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Rows of a row group.
    pub(super) fn rows(&self, group: usize) -> Result<usize, Error> {
        let rows = self.metadata.row_group(group).num_rows();
        usize::try_from(rows).ok().filter(|rows| *rows <= MOST_ROWS).ok_or_else(|| {
            let found = format!("{rows} in row group {group}");
            self.value_error("num_rows", found, format!("0 to {MOST_ROWS}"))
        })
    }

    /// Smallest and largest value of a column of whole numbers, if the file knows them.
    pub(super) fn range(&self, group: usize, name: &str) -> Option<RangeInclusive<u64>> {
        let (leaf, _) = self.leaf(|path| path.first().is_some_and(|root| root == name))?;
        let (least, most) = match self.metadata.row_group(group).columns().get(leaf)?.statistics()? {
            Statistics::Int64(found) => (*found.min_opt()?, *found.max_opt()?),
            Statistics::Int32(found) => (i64::from(*found.min_opt()?), i64::from(*found.max_opt()?)),
            _ => return None,
        };
        Some(u64::try_from(least).ok()?..=u64::try_from(most).ok()?)
    }

    /// A column of whole numbers, one a row, none negative.
    pub(super) fn integers(&self, group: usize, name: &str) -> Result<Vec<u64>, Error> {
        guarded(&self.file, || self.read_integers(group, name))
    }

    /// Some rows of a column of numbers, `width` a row: a list column, or a plain one if `width` is 1.
    pub(super) fn numbers(
        &self,
        group: usize,
        name: &str,
        width: usize,
        rows: Range<usize>,
    ) -> Result<Vec<f64>, Error> {
        if rows.len().saturating_mul(width) > MOST_NUMBERS {
            let found = format!("{width} numbers in each of {} rows", rows.len());
            return Err(self.value_error(name, found, format!("at most {MOST_NUMBERS} numbers at once")));
        }
        guarded(&self.file, || self.read_numbers(group, name, width, rows))
    }

    /// A column of texts, or of lists of them. Those that are null or no UTF-8 are left out.
    pub(super) fn texts(&self, group: usize, name: &str) -> Result<Vec<Vec<String>>, Error> {
        guarded(&self.file, || self.read_texts(group, name))
    }

    fn read_integers(&self, group: usize, name: &str) -> Result<Vec<u64>, Error> {
        let rows = 0..self.rows(group)?;
        let unsigned = |value: i64| {
            u64::try_from(value).map_err(|_| self.value_error(name, value, "a number that is not negative"))
        };
        match self.top_column(group, name)?.1 {
            ColumnReader::Int64ColumnReader(reader) => {
                self.values(reader, name, rows, 1)?.into_iter().map(unsigned).collect()
            }
            ColumnReader::Int32ColumnReader(reader) => {
                self.values(reader, name, rows, 1)?.into_iter().map(|value| unsigned(value.into())).collect()
            }
            other => Err(self.type_error(name, &other, "INT64 or INT32")),
        }
    }

    fn read_numbers(
        &self,
        group: usize,
        name: &str,
        width: usize,
        rows: Range<usize>,
    ) -> Result<Vec<f64>, Error> {
        Ok(match self.top_column(group, name)?.1 {
            ColumnReader::FloatColumnReader(reader) => {
                self.values(reader, name, rows, width)?.into_iter().map(f64::from).collect()
            }
            ColumnReader::DoubleColumnReader(reader) => self.values(reader, name, rows, width)?,
            ColumnReader::Int32ColumnReader(reader) => {
                self.values(reader, name, rows, width)?.into_iter().map(f64::from).collect()
            }
            ColumnReader::Int64ColumnReader(reader) => {
                self.values(reader, name, rows, width)?.into_iter().map(|value| value as f64).collect()
            }
            other => return Err(self.type_error(name, &other, "FLOAT, DOUBLE, INT32 or INT64")),
        })
    }

    fn read_texts(&self, group: usize, name: &str) -> Result<Vec<Vec<String>>, Error> {
        let rows = self.rows(group)?;
        let (column, mut reader) = match self.top_column(group, name)? {
            (column, ColumnReader::ByteArrayColumnReader(reader)) if column.max_rep_level() <= 1 => {
                (column, reader)
            }
            (_, other) => return Err(self.type_error(name, &other, "BYTE_ARRAY, alone or in lists")),
        };
        let mut texts: Vec<Vec<String>> = Vec::new();
        let (mut values, mut present, mut nesting) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        while texts.len() < rows {
            let step = STEP.min(rows - texts.len());
            values.clear();
            present.clear();
            nesting.clear();
            let done = reader.read_records(step, Some(&mut present), Some(&mut nesting), &mut values);
            let (records, found, levels) = done.map_err(|source| self.unreadable(source))?;
            if records == 0 || found != values.len() {
                return Err(self.value_error(name, format!("{} rows", texts.len()), format!("{rows} rows")));
            }
            let mut values = values.iter();
            for level in 0..levels.max(found) {
                if nesting.get(level).is_none_or(|&level| level == 0) {
                    texts.push(Vec::new());
                }
                // Without levels nothing can be null.
                let whole = present.get(level).is_none_or(|&level| level == column.max_def_level());
                let Some(value) = whole.then(|| values.next()).flatten() else { continue };
                bytes += value.len() + size_of::<String>();
                if bytes > MOST_BYTES {
                    return Err(self.value_error(
                        name,
                        "more",
                        format!("at most {MOST_BYTES} bytes of texts"),
                    ));
                }
                if let (Ok(text), Some(texts)) = (str::from_utf8(value.data()), texts.last_mut()) {
                    texts.push(text.to_owned());
                }
            }
        }
        Ok(texts)
    }

    /// The column of values whose path fits: its place and description.
    pub(super) fn leaf(&self, fits: impl Fn(&[String]) -> bool) -> Option<(usize, ColumnDescPtr)> {
        let mut columns = self.metadata.file_metadata().schema_descr().columns().iter().enumerate();
        columns.find(|(_, column)| fits(column.path().parts())).map(|(leaf, column)| (leaf, column.clone()))
    }

    /// A reader of a column of values, to be used within [`guarded`].
    pub(super) fn column(
        &self,
        group: usize,
        (leaf, column): (usize, ColumnDescPtr),
    ) -> Result<ColumnReader, Error> {
        let handle = regular::open(&self.file);
        let handle = handle.map_err(|source| Error::Read { file: self.file.clone(), source })?;
        let pages = self.metadata.page_index_for_row_group(group);
        let group = self.metadata.row_group(group);
        let group = SerializedRowGroupReader::new(Arc::new(handle), group, pages, self.properties.clone());
        let pages = group.and_then(|group| group.get_column_page_reader(leaf));
        let pages = pages.map_err(|source| self.unreadable(source))?;
        Ok(get_column_reader(column, Box::new(Pages(pages))))
    }

    /// The first column of values below the top-level field `name`.
    fn top_column(&self, group: usize, name: &str) -> Result<(ColumnDescPtr, ColumnReader), Error> {
        let leaf = self.leaf(|path| path.first().is_some_and(|root| root == name));
        let leaf = leaf.ok_or_else(|| self.missing(name))?;
        Ok((leaf.1.clone(), self.column(group, leaf)?))
    }

    /// The values of some rows of a column, whose every row holds exactly `width` of them, none null.
    fn values<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        name: &str,
        rows: Range<usize>,
        width: usize,
    ) -> Result<Vec<T::T>, Error> {
        let skipped = reader.skip_records(rows.start).map_err(|source| self.unreadable(source))?;
        let (mut values, mut present, mut nesting) = (Vec::new(), Vec::new(), Vec::new());
        let mut read = 0;
        while read < rows.len() {
            let (step, before) = (STEP.min(rows.len() - read), values.len());
            present.clear();
            nesting.clear();
            let done = reader.read_records(step, Some(&mut present), Some(&mut nesting), &mut values);
            let (records, ..) = done.map_err(|source| self.unreadable(source))?;
            read += records;
            if records == 0 || skipped < rows.start {
                return Err(self.value_error(name, format!("{} rows", skipped + read), format!("{rows:?}")));
            }
            // Levels are there only for columns that can be null or repeat; a null leaves a level without a value.
            let new = values.len() - before;
            let regular = nesting.iter().enumerate().all(|(i, &level)| (level == 0) == (i % width == 0));
            if new != records * width || present.len().max(nesting.len()) > new || !regular {
                let found = format!("{new} values in {records} rows after row {}", skipped + read - records);
                return Err(self.value_error(name, found, format!("{width} in each row, none null")));
            }
        }
        Ok(values)
    }

    pub(super) fn missing(&self, name: &str) -> Error {
        let fields = self.metadata.file_metadata().schema_descr().root_schema().get_fields();
        Error::MissingColumn {
            file: self.file.clone(),
            column: name.to_owned(),
            found: fields.iter().map(|field| field.name().to_owned()).collect(),
        }
    }

    pub(super) fn value_error(&self, name: &str, found: impl ToString, expected: impl ToString) -> Error {
        Error::Field {
            file: self.file.clone(),
            field: format!("column `{name}`"),
            found: found.to_string(),
            expected: expected.to_string(),
            mend: MEND,
        }
    }

    pub(super) fn type_error(&self, name: &str, reader: &ColumnReader, expected: &'static str) -> Error {
        let found = match reader {
            ColumnReader::BoolColumnReader(_) => Type::BOOLEAN,
            ColumnReader::Int32ColumnReader(_) => Type::INT32,
            ColumnReader::Int64ColumnReader(_) => Type::INT64,
            ColumnReader::Int96ColumnReader(_) => Type::INT96,
            ColumnReader::FloatColumnReader(_) => Type::FLOAT,
            ColumnReader::DoubleColumnReader(_) => Type::DOUBLE,
            ColumnReader::ByteArrayColumnReader(_) => Type::BYTE_ARRAY,
            ColumnReader::FixedLenByteArrayColumnReader(_) => Type::FIXED_LEN_BYTE_ARRAY,
        };
        Error::ColumnType {
            file: self.file.clone(),
            column: name.to_owned(),
            found: found.to_string(),
            expected,
        }
    }

    pub(super) fn unreadable(&self, source: ParquetError) -> Error {
        Error::Parquet { file: self.file.clone(), source }
    }
}
