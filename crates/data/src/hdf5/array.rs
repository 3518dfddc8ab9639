//! One dataset: what it claims is held against its storage, then it is read in windows of rows.

use hdf5_pure::{DType, Dataset, Layout, VlenStringReadOptions};

use super::Archive;
use crate::Error;

/// Largest chunk after decoding, bytes.
const CHUNK: u64 = 256 << 20;

/// Most bytes of one dataset of numbers once they are read, 8 for each, and of the texts of one dataset.
const NUMBERS: u64 = 256 << 20;
const TEXTS: usize = 16 << 20;

/// Most bytes of one text of fixed length.
const TEXT: u64 = 4096;

/// Most that a byte of the densest filter here (deflate) expands to.
pub(crate) const EXPANSION: u64 = 1032;

/// What the reader can undo, and how it is called. Scale-offset and others are refused by name.
const FILTERS: [(u16, &str); 4] = [(1, "gzip"), (2, "shuffle"), (3, "fletcher32"), (32_000, "lzf")];

/// Names of filters that users meet.
const FOREIGN: [(u16, &str); 7] = [
    (4, "szip"),
    (5, "nbit"),
    (6, "scale-offset"),
    (307, "bzip2"),
    (32_001, "blosc"),
    (32_004, "lz4"),
    (32_015, "zstd"),
];

/// A dataset that is there and may be read.
pub(crate) struct Array<'a> {
    archive: &'a Archive,
    path: String,
    dataset: Dataset,
    shape: Vec<usize>,
    kind: DType,
    /// Bytes of all elements.
    bytes: u64,
}

impl<'a> Array<'a> {
    /// Reads what the dataset claims to be.
    pub(super) fn new(archive: &'a Archive, path: String, dataset: Dataset) -> Result<Self, Error> {
        let refuse = |source| archive.error(&path, source);
        let sides = dataset.shape().map_err(refuse)?;
        let width = dataset.element_size().map_err(refuse)?;
        let kind = dataset.dtype().map_err(refuse)?;
        let bytes = sides.iter().try_fold(width, |bytes, &side| bytes.checked_mul(side));
        let shape = sides.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<Vec<_>>>();
        let (Some(bytes), Some(shape)) = (bytes, shape) else {
            return Err(archive.field(&path, format!("shape {sides:?}"), "a size that exists"));
        };
        Ok(Self { archive, path, dataset, shape, kind, bytes })
    }

    /// Lengths of the axes; empty for a single value.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Length of the first axis; 1 for a single value.
    pub(crate) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements of a row.
    pub(crate) fn row(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Type of an element.
    pub(crate) fn kind(&self) -> &DType {
        &self.kind
    }

    /// All elements as numbers, row-major. Whole numbers above 2^53 are rounded.
    pub(crate) fn numbers(&self) -> Result<Vec<f64>, Error> {
        use DType::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        if !matches!(self.kind, F32 | F64 | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64) {
            let expected = "numbers: float32, float64 or integers of 8 to 64 bits";
            return Err(self.field(format!("type {}", self.kind), expected));
        }
        let count = self.shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side as u64));
        if count.is_none_or(|count| count > NUMBERS / 8) {
            let found = format!("{:?} numbers", self.shape);
            return Err(self.field(found, format!("at most {} numbers", NUMBERS / 8)));
        }
        self.check_chunks()?;
        let values = self.dataset.read_f64().map_err(|source| self.archive.error(&self.path, source))?;
        let expected: usize = self.shape.iter().product();
        if values.len() != expected {
            return Err(self.field(format!("{} values", values.len()), format!("{expected}")));
        }
        Ok(values)
    }

    /// All elements as texts, without the bytes of 0 that fill them up.
    pub(crate) fn texts(&self) -> Result<Vec<String>, Error> {
        self.check_chunks()?;
        let refuse = |source| self.archive.error(&self.path, source);
        match self.kind {
            DType::VariableLengthString if self.bytes <= TEXTS as u64 => {
                let options =
                    VlenStringReadOptions::new().with_max_elements(TEXTS).with_max_payload_bytes(TEXTS);
                self.dataset.read_vlen_strings(options).map_err(refuse)
            }
            DType::String if self.bytes <= TEXTS as u64 => {
                let width = self.dataset.element_size().map_err(refuse)?;
                if width == 0 || width > TEXT {
                    return Err(self.field(format!("texts of {width} bytes"), format!("1 to {TEXT}")));
                }
                let raw = self.dataset.read_raw().map_err(refuse)?;
                let text =
                    |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(['\0', ' ']).to_owned();
                Ok(raw.chunks_exact(width as usize).map(text).collect())
            }
            _ => {
                let found = format!("type {}, {} bytes", self.kind, self.bytes);
                Err(self.field(found, format!("texts, at most {TEXTS} bytes")))
            }
        }
    }

    /// The bytes of `count` rows from `start` on. Call [`check_chunks`](Self::check_chunks) once before.
    pub(crate) fn window(&self, start: usize, count: usize) -> Result<Vec<u8>, Error> {
        let read = self.dataset.read_raw_rows(start as u64, count as u64);
        let read = read.map_err(|source| self.archive.error(&self.path, source))?;
        let expected = self.bytes / (self.rows().max(1) as u64) * count as u64;
        if read.len() as u64 != expected {
            let found = format!("{} bytes for {count} rows from {start} on", read.len());
            return Err(self.field(found, format!("{expected} bytes")));
        }
        Ok(read)
    }

    /// Refuses filters that cannot be undone and claims that the file has no bytes for, without reading its chunks.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let filters = self.dataset.filters();
        for (place, filter) in filters.iter().enumerate() {
            let name = |list: &[(u16, &str)]| {
                list.iter().find(|entry| entry.0 == *filter).map(|entry| entry.1.to_owned())
            };
            if name(&FILTERS).is_none() || filters[..place].contains(filter) {
                let name = name(&FILTERS).or_else(|| name(&FOREIGN)).unwrap_or_else(|| "unknown".into());
                return Err(Error::Field {
                    file: self.archive.path.clone(),
                    field: format!("filters of `{}`", self.path),
                    found: format!("{name} ({filter}) at place {place}"),
                    expected: "gzip, shuffle, fletcher32 or lzf, each once".into(),
                    mend: "write the file again with `h5repack -f GZIP=6 in.hdf5 out.hdf5`",
                });
            }
        }
        let length = self.archive.length();
        let claimed = format!("{:?} of {}, {} bytes", self.shape, self.kind, self.bytes);
        match self.dataset.layout().map_err(|source| self.archive.error(&self.path, source))? {
            Layout::Compact { size } if size >= self.bytes => Ok(()),
            Layout::Contiguous { .. } if self.bytes == 0 => Ok(()),
            Layout::Contiguous { address: Some(address), size } => {
                let end = address.checked_add(self.bytes);
                if size >= self.bytes && end.is_some_and(|end| end <= length) {
                    return Ok(());
                }
                let expected =
                    format!("at most the {size} bytes stored from {address} on, in {length} of the file");
                Err(self.field(claimed, expected))
            }
            Layout::Chunked { chunk_shape, .. } => {
                let width = self.bytes.checked_div(self.shape.iter().product::<usize>() as u64).unwrap_or(1);
                let chunk = chunk_shape.iter().try_fold(width, |bytes, &side| bytes.checked_mul(side));
                let legal = chunk.is_some_and(|bytes| (1..=CHUNK).contains(&bytes));
                if chunk_shape.len() != self.shape.len() || !legal {
                    let found = format!("chunks of {chunk_shape:?} for {claimed}");
                    return Err(self.field(found, format!("chunks of the same axes, at most {CHUNK} bytes")));
                }
                if self.bytes > length.saturating_mul(EXPANSION) {
                    return Err(self.field(claimed, format!("what {length} bytes of a file can hold")));
                }
                Ok(())
            }
            layout => Err(self.field(format!("{claimed}, stored as {layout:?}"), "stored in this file")),
        }
    }

    /// Refuses a table of chunks that is not one chunk for each place, within the file and without overlap: neither
    /// pictures that were never written nor more decoding than the shape calls for.
    pub(crate) fn check_chunks(&self) -> Result<(), Error> {
        self.check()?;
        let refuse = |source| self.archive.error(&self.path, source);
        let Layout::Chunked { chunk_shape, .. } = self.dataset.layout().map_err(refuse)? else {
            return Ok(());
        };
        let places =
            self.shape.iter().zip(&chunk_shape).map(|(&side, &step)| (side as u64).div_ceil(step.max(1)));
        let expected = places.fold(1u64, u64::saturating_mul);
        // Tables of chunks have at least 8 bytes for each; the one kind without a table is made up from the shape.
        if expected.saturating_mul(8) > self.archive.length() {
            let found = format!("{expected} chunks in a file of {} bytes", self.archive.length());
            return Err(self.field(found, "as many as the file can hold"));
        }
        let mut chunks = self.dataset.chunks().map_err(refuse)?;
        let placed = chunks.iter().all(|chunk| {
            let within = chunk.offset.iter().zip(&chunk_shape).zip(&self.shape);
            let mut within = within.map(|((&at, &step), &side)| at % step.max(1) == 0 && at < side as u64);
            chunk.offset.len() == chunk_shape.len() && within.all(|legal| legal)
        });
        let stored = chunks.iter().fold(0u64, |sum, chunk| sum.saturating_add(chunk.storage_size));
        chunks.sort_unstable_by(|a, b| a.offset.cmp(&b.offset));
        let twice = chunks.windows(2).any(|pair| pair[0].offset == pair[1].offset);
        if chunks.len() as u64 != expected || !placed || twice || stored > self.archive.length() {
            let found =
                format!("{} chunks of {stored} bytes in a file of {}", chunks.len(), self.archive.length());
            return Err(self.field(found, format!("{expected}, one for each place of the grid")));
        }
        Ok(())
    }

    /// Something about this dataset that cannot be right.
    pub(crate) fn field(&self, found: impl ToString, expected: impl ToString) -> Error {
        self.archive.field(&format!("`{}`", self.path), found, expected)
    }
}
