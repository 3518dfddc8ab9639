//! The row groups of a `.parquet` table.

use std::io::{Error, Result};
use std::sync::Arc;

use cola_files::AtomicFile;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::{Cells, Column, ColumnKind};

/// Rows after which a group is written.
const ROWS: usize = 1 << 16;
/// Bytes of cells after which a group is written, however few its rows.
const BYTES: usize = 32 << 20;

/// Collects rows into groups and writes those.
pub(super) struct Groups {
    writer: SerializedFileWriter<AtomicFile>,
    /// Batches of the group to come.
    pending: Vec<Vec<Cells>>,
    rows: usize,
    bytes: usize,
}

impl Groups {
    pub(super) fn new(target: AtomicFile, columns: &[Column], metadata: &[(&str, &str)]) -> Result<Self> {
        let pair = |(key, value): &(&str, &str)| KeyValue::new((*key).to_owned(), (*value).to_owned());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(metadata.iter().map(pair).collect()));
        let open = || {
            let fields = columns.iter().flat_map(|column| {
                column.names().into_iter().map(|name| Ok(Arc::new(field(&name, column.kind)?)))
            });
            let fields = fields.collect::<ParquetResult<_>>()?;
            let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
            SerializedFileWriter::new(target, Arc::new(schema), Arc::new(properties.build()))
        };
        let writer = open().map_err(plain)?;
        Ok(Self { writer, pending: Vec::new(), rows: 0, bytes: 0 })
    }

    /// Takes rows, and writes a group if there are enough.
    pub(super) fn append(&mut self, columns: &[Column], batch: Vec<Cells>, rows: usize) -> Result<()> {
        self.bytes += batch.iter().map(bytes).sum::<usize>();
        self.rows += rows;
        self.pending.push(batch);
        if self.rows < ROWS && self.bytes < BYTES {
            return Ok(());
        }
        self.write_group(columns)
    }

    /// Writes what is left and the footer.
    pub(super) fn finish(mut self, columns: &[Column]) -> Result<AtomicFile> {
        if self.rows > 0 {
            self.write_group(columns)?;
        }
        self.writer.into_inner().map_err(plain)
    }

    fn write_group(&mut self, columns: &[Column]) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        (self.rows, self.bytes) = (0, 0);
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for (place, column) in columns.iter().enumerate() {
                let cells = || pending.iter().map(|batch| &batch[place]);
                write_column(&mut group, column.kind, cells)?;
            }
            group.close().map(drop)
        };
        write().map_err(plain)
    }
}

/// Writes the cells of one column, batch after batch; for vectors, component after component.
fn write_column<'a, I: Iterator<Item = &'a Cells>>(
    group: &mut SerializedRowGroupWriter<'_, AtomicFile>,
    kind: ColumnKind,
    cells: impl Fn() -> I,
) -> ParquetResult<()> {
    // Batches were checked to hold the cells of their columns, so the filters drop nothing.
    let floats = || cells().filter_map(|cells| if let Cells::Floats(v) = cells { Some(v) } else { None });
    match kind {
        ColumnKind::Integers => write_leaf::<Int64Type, _>(
            group,
            cells().filter_map(|cells| if let Cells::Integers(v) = cells { Some(v.clone()) } else { None }),
        ),
        ColumnKind::Doubles => write_leaf::<DoubleType, _>(
            group,
            cells().filter_map(|cells| if let Cells::Doubles(v) = cells { Some(v.clone()) } else { None }),
        ),
        ColumnKind::Texts => write_leaf::<ByteArrayType, _>(
            group,
            cells().filter_map(|cells| {
                let Cells::Texts(texts) = cells else { return None };
                Some(texts.iter().map(|text| ByteArray::from(text.as_str())).collect())
            }),
        ),
        ColumnKind::Floats => write_leaf::<FloatType, _>(group, floats().cloned()),
        ColumnKind::Vectors(width) => (0..width).try_for_each(|component| {
            let strided = |v: &Vec<f32>| v.iter().skip(component).step_by(width).copied().collect();
            write_leaf::<FloatType, _>(group, floats().map(strided))
        }),
    }
}

fn write_leaf<T: DataType, I: Iterator<Item = Vec<T::T>>>(
    group: &mut SerializedRowGroupWriter<'_, AtomicFile>,
    batches: I,
) -> ParquetResult<()> {
    let missing = || ParquetError::General("the schema has fewer columns than the table".into());
    let mut writer = group.next_column()?.ok_or_else(missing)?;
    for batch in batches {
        writer.typed::<T>().write_batch(&batch, None, None)?;
    }
    writer.close()
}

fn field(name: &str, kind: ColumnKind) -> ParquetResult<Type> {
    let (physical, logical) = match kind {
        ColumnKind::Integers => (Physical::INT64, None),
        ColumnKind::Doubles => (Physical::DOUBLE, None),
        ColumnKind::Floats | ColumnKind::Vectors(_) => (Physical::FLOAT, None),
        ColumnKind::Texts => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
    field.with_logical_type(logical).build()
}

/// Bytes that cells occupy, about.
fn bytes(cells: &Cells) -> usize {
    match cells {
        Cells::Integers(cells) => size_of_val(cells.as_slice()),
        Cells::Doubles(cells) => size_of_val(cells.as_slice()),
        Cells::Floats(cells) => size_of_val(cells.as_slice()),
        Cells::Texts(cells) => cells.iter().map(|text| text.len() + size_of::<String>()).sum(),
    }
}

/// The system's error where the parquet writer only passes it on.
pub(crate) fn plain(error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<Error>() {
            Ok(source) => *source,
            Err(source) => Error::other(source),
        },
        other => Error::other(other),
    }
}
