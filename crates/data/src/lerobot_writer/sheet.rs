//! Parquet files as LeRobot has them: every field may be null (none is), lists of equal length, Snappy.

use std::io::Error as IoError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cola_files::AtomicFile;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use crate::Error;
use crate::columns::plain;

/// What a field holds in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Double,
    Text,
    /// Bytes of a picture file and the name it would have.
    Picture,
}

/// How the values of a row are nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    /// One value.
    Plain,
    /// A list of this many.
    List(usize),
    /// A list of this many, each in two lists of its own: the shape (n, 1, 1) of statistics of pictures.
    Deep(usize),
}

/// A field of a sheet.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nesting: Nesting,
}

impl Field {
    pub(super) fn new(name: impl Into<String>, kind: Kind, nesting: Nesting) -> Self {
        Self { name: name.into(), kind, nesting }
    }
}

/// The values of one field in the rows of a group, in the order of the rows.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Texts(Vec<String>),
    PictureStore(Vec<(Vec<u8>, String)>),
}

impl Values {
    /// Appends values of the same kind.
    pub(super) fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Integers(all), Self::Integers(more)) => all.extend(more),
            (Self::Floats(all), Self::Floats(more)) => all.extend(more),
            (Self::Doubles(all), Self::Doubles(more)) => all.extend(more),
            (Self::Texts(all), Self::Texts(more)) => all.extend(more),
            (Self::PictureStore(all), Self::PictureStore(more)) => all.extend(more),
            // Each field has one kind from its first row on.
            (all, more) => *all = more,
        }
    }
}

/// A parquet file that takes its name when it is complete.
pub(super) struct Sheet {
    file: PathBuf,
    fields: Vec<Field>,
    writer: SerializedFileWriter<AtomicFile>,
}

impl Sheet {
    /// Begins `file`, with one pair of metadata if any.
    pub(super) fn create(
        file: &Path,
        fields: &[Field],
        metadata: Option<(&str, String)>,
    ) -> Result<Self, Error> {
        let open = || {
            let target = AtomicFile::create(file)?;
            let pair = |(key, value): (&str, String)| vec![KeyValue::new(key.to_owned(), value)];
            let mut properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_key_value_metadata(metadata.map(pair));
            for field in fields.iter().filter(|field| field.kind == Kind::Picture) {
                // No two pictures are the same, and they are compressed.
                let path = ColumnPath::new(vec![field.name.clone(), "bytes".into()]);
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            let schema = fields.iter().map(|field| Ok(Arc::new(tree(field)?)));
            let schema = schema.collect::<ParquetResult<_>>().map_err(plain)?;
            let schema = Type::group_type_builder("schema").with_fields(schema).build().map_err(plain)?;
            SerializedFileWriter::new(target, Arc::new(schema), Arc::new(properties.build())).map_err(plain)
        };
        let failed = |source: IoError| Error::Write { file: file.to_owned(), source };
        Ok(Self { file: file.to_owned(), fields: fields.to_vec(), writer: open().map_err(failed)? })
    }

    /// Writes rows as one group: for each field its values.
    pub(super) fn write(&mut self, rows: &[Values]) -> Result<(), Error> {
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for (field, values) in self.fields.iter().zip(rows) {
                write_field(&mut group, field.nesting, values)?;
            }
            group.close().map(drop)
        };
        write().map_err(|source| Error::Write { file: self.file.clone(), source: plain(source) })
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Brings the file to the disk under its name.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Self { file, writer, .. } = self;
        let done = writer.into_inner().map_err(plain).and_then(AtomicFile::commit);
        done.map_err(|source| Error::Write { file, source })
    }
}

fn write_field(
    group: &mut SerializedRowGroupWriter<'_, AtomicFile>,
    nesting: Nesting,
    values: &Values,
) -> ParquetResult<()> {
    match values {
        Values::Integers(values) => write_leaf::<Int64Type>(group, nesting, values),
        Values::Floats(values) => write_leaf::<FloatType>(group, nesting, values),
        Values::Doubles(values) => write_leaf::<DoubleType>(group, nesting, values),
        Values::Texts(texts) => {
            let texts: Vec<ByteArray> = texts.iter().map(|text| text.as_str().into()).collect();
            write_leaf::<ByteArrayType>(group, nesting, &texts)
        }
        Values::PictureStore(pictures) => {
            let bytes: Vec<ByteArray> = pictures.iter().map(|(bytes, _)| bytes.clone().into()).collect();
            let names: Vec<ByteArray> = pictures.iter().map(|(_, name)| name.as_str().into()).collect();
            write_levels::<ByteArrayType>(group, &bytes, 2, 1)?;
            write_levels::<ByteArrayType>(group, &names, 2, 1)
        }
    }
}

fn write_leaf<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, AtomicFile>,
    nesting: Nesting,
    values: &[T::T],
) -> ParquetResult<()> {
    match nesting {
        Nesting::Plain => write_levels::<T>(group, values, 1, 1),
        Nesting::List(width) => write_levels::<T>(group, values, 3, width),
        Nesting::Deep(width) => write_levels::<T>(group, values, 7, width),
    }
}

/// Writes values of which none is null, `width` a row; `depth` counts the optional and repeated groups around each.
fn write_levels<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, AtomicFile>,
    values: &[T::T],
    depth: i16,
    width: usize,
) -> ParquetResult<()> {
    let missing = || ParquetError::General("the schema has fewer columns than the table".into());
    let mut writer = group.next_column()?.ok_or_else(missing)?;
    let present = vec![depth; values.len()];
    // All but the first of a row repeat the outermost list; inner lists hold one value each.
    let repeated: Vec<i16> = (0..values.len()).map(|place| i16::from(place % width != 0)).collect();
    let listed = depth > 2;
    writer.typed::<T>().write_batch(values, Some(&present), listed.then_some(repeated.as_slice()))?;
    writer.close()
}

/// A field's part of the schema.
fn tree(field: &Field) -> ParquetResult<Type> {
    let name = |top: &'static str| if field.nesting == Nesting::Plain { field.name.as_str() } else { top };
    let text = Some(LogicalType::String);
    let leaf = match field.kind {
        Kind::Integer => leaf(name("element"), Physical::INT64, None)?,
        Kind::Float => leaf(name("element"), Physical::FLOAT, None)?,
        Kind::Double => leaf(name("element"), Physical::DOUBLE, None)?,
        Kind::Text => leaf(name("element"), Physical::BYTE_ARRAY, text)?,
        Kind::Picture => {
            let parts =
                [leaf("bytes", Physical::BYTE_ARRAY, None)?, leaf("path", Physical::BYTE_ARRAY, text)?];
            let group = Type::group_type_builder(name("element")).with_repetition(Repetition::OPTIONAL);
            group.with_fields(parts.map(Arc::new).to_vec()).build()?
        }
    };
    match field.nesting {
        Nesting::Plain => Ok(leaf),
        Nesting::List(_) => list(&field.name, leaf),
        Nesting::Deep(_) => list(&field.name, list("element", list("element", leaf)?)?),
    }
}

fn leaf(name: &str, physical: Physical, logical: Option<LogicalType>) -> ParquetResult<Type> {
    let leaf = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    leaf.with_logical_type(logical).build()
}

fn list(name: &str, element: Type) -> ParquetResult<Type> {
    let inner = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
    let inner = inner.with_fields(vec![Arc::new(element)]).build()?;
    let outer = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
    outer.with_logical_type(Some(LogicalType::List)).with_fields(vec![Arc::new(inner)]).build()
}
