//! A parquet file as named columns, read one row group at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::Error;
use crate::guarded::guarded;

const MEND: &str = "copy the file again from the data set's source, or write the data set again";

/// An open parquet file.
pub(super) struct Table {
    file: PathBuf,
    reader: SerializedFileReader<File>,
}

impl Table {
    /// Opens `file` and reads its schema.
    ///
    /// parquet 60.1 checks most of what a file claims, but not all: a column chunk with a negative offset or a page with
    /// too few bytes for its encoding panics (`metadata/mod.rs`, `byte_stream_split_decoder.rs`). So its calls are guarded.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        if !file.is_file() {
            let mend = "the data set is incomplete, copy its meta and data folders again";
            return Err(Error::MissingFile { file: file.to_owned(), expected: "a parquet file", mend });
        }
        let handle = File::open(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
        let reader = guarded(file, || Ok(SerializedFileReader::new(handle)))?;
        let reader = reader.map_err(|source| Error::Parquet { file: file.to_owned(), source })?;
        Ok(Self { file: file.to_owned(), reader })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Number of row groups.
    pub(super) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// A column of whole numbers, one a row, none negative.
    pub(super) fn integers(&self, group: usize, name: &str) -> Result<Vec<u64>, Error> {
        guarded(&self.file, || self.read_integers(group, name))
    }

    /// A column of numbers, `width` a row: a list column, or a plain one if `width` is 1.
    pub(super) fn numbers(&self, group: usize, name: &str, width: usize) -> Result<Vec<f64>, Error> {
        guarded(&self.file, || self.read_numbers(group, name, width))
    }

    fn read_integers(&self, group: usize, name: &str) -> Result<Vec<u64>, Error> {
        let (rows, reader) = self.column(group, name)?;
        let unsigned = |value: i64| {
            u64::try_from(value).map_err(|_| self.value_error(name, value, "a number that is not negative"))
        };
        match reader {
            ColumnReader::Int64ColumnReader(reader) => {
                self.values(reader, name, rows, 1)?.into_iter().map(unsigned).collect()
            }
            ColumnReader::Int32ColumnReader(reader) => {
                self.values(reader, name, rows, 1)?.into_iter().map(|value| unsigned(value.into())).collect()
            }
            other => Err(self.type_error(name, &other, "INT64 or INT32")),
        }
    }

    fn read_numbers(&self, group: usize, name: &str, width: usize) -> Result<Vec<f64>, Error> {
        let (rows, reader) = self.column(group, name)?;
        Ok(match reader {
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

    /// Rows of the group and a reader of the column below the top-level field `name`.
    fn column(&self, group: usize, name: &str) -> Result<(usize, ColumnReader), Error> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root(leaf).name() == name);
        let leaf = leaf.ok_or_else(|| Error::MissingColumn {
            file: self.file.clone(),
            column: name.to_owned(),
            found: schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()).collect(),
        })?;
        let group = self.reader.get_row_group(group).map_err(|source| self.unreadable(source))?;
        let rows = group.metadata().num_rows();
        let rows =
            usize::try_from(rows).map_err(|_| self.value_error("num_rows", rows, "a number of rows"))?;
        Ok((rows, group.get_column_reader(leaf).map_err(|source| self.unreadable(source))?))
    }

    /// All values of a column whose every row holds exactly `width` of them, none null.
    fn values<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        name: &str,
        rows: usize,
        width: usize,
    ) -> Result<Vec<T::T>, Error> {
        // Records asked for at once: what the file claims to hold never decides how much is allocated.
        const STEP: usize = 4096;
        let (mut values, mut present, mut nesting) = (Vec::new(), Vec::new(), Vec::new());
        let mut read = 0;
        while read < rows {
            let step = STEP.min(rows - read);
            let done = reader.read_records(step, Some(&mut present), Some(&mut nesting), &mut values);
            let (records, ..) = done.map_err(|source| self.unreadable(source))?;
            read += records;
            // Levels are there only for columns that can be null or repeat; a null leaves a level without a value.
            let regular = nesting.iter().enumerate().all(|(i, &level)| (level == 0) == (i % width == 0));
            if values.len() != read * width || present.len().max(nesting.len()) > values.len() || !regular {
                let found = format!("{} values in rows 0..{read}", values.len());
                return Err(self.value_error(name, found, format!("{width} in each row, none null")));
            }
            if records == 0 {
                return Err(self.value_error(name, format!("{read} rows"), format!("{rows} rows")));
            }
        }
        Ok(values)
    }

    fn value_error(&self, name: &str, found: impl ToString, expected: impl ToString) -> Error {
        Error::Field {
            file: self.file.clone(),
            field: format!("column `{name}`"),
            found: found.to_string(),
            expected: expected.to_string(),
            mend: MEND,
        }
    }

    fn type_error(&self, name: &str, reader: &ColumnReader, expected: &'static str) -> Error {
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

    fn unreadable(&self, source: ParquetError) -> Error {
        Error::Parquet { file: self.file.clone(), source }
    }
}
