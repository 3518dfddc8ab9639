//! One record in memory, and those used last.

use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::example::{self, Fault, Values};
use super::tfrecord::{self, Span};
use crate::Error;

pub(super) const MEND: &str = "the file is damaged or features.json belongs to another version; copy the data set again from \
                               its source";

/// Bytes of records that are kept for the next clip of the same episode.
const KEPT: usize = 256 << 20;

/// One episode as it lies in its file.
pub(super) struct Record {
    file: PathBuf,
    span: Span,
    bytes: Vec<u8>,
    /// Name -> its `Feature` in `bytes`.
    fields: BTreeMap<String, Range<u64>>,
}

impl Record {
    /// Reads the record and compares its checksums.
    pub(super) fn read(file: &Path, span: Span) -> Result<Self, Error> {
        let bytes = tfrecord::read(file, span)?;
        let fields = example::index(&mut Cursor::new(bytes.as_slice()), 0..span.length);
        let fields = fields.map_err(|fault| told(file, span, span.data(), "", fault))?;
        Ok(Self { file: file.to_owned(), span, bytes, fields })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// The list of this name, of at most `most` values; empty if there is none.
    pub(super) fn values(&self, name: &str, most: usize) -> Result<Values<'_>, Error> {
        let Some(range) = self.fields.get(name) else { return Ok(Values::Empty) };
        // The index made sure that the range lies in the bytes.
        let feature = self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        let base = self.span.data() + range.start;
        example::values(feature, most).map_err(|fault| told(&self.file, self.span, base, name, fault))
    }

    /// One blob for each of `frames` steps.
    pub(super) fn blobs(&self, name: &str, frames: usize) -> Result<Vec<&[u8]>, Error> {
        match self.values(name, frames)? {
            Values::Blobs(blobs) if blobs.len() == frames => Ok(blobs),
            other => Err(self.unfit(name, &other, format!("{frames} pictures"))),
        }
    }

    /// `width` numbers for each of `frames` steps.
    pub(super) fn numbers(&self, name: &str, frames: usize, width: usize) -> Result<Vec<f32>, Error> {
        let count = frames.saturating_mul(width);
        match self.values(name, count)? {
            Values::Floats(values) if values.len() == count => Ok(values),
            Values::Integers(values) if values.len() == count => {
                Ok(values.into_iter().map(|value| value as f32).collect())
            }
            other => Err(self.unfit(name, &other, format!("{frames} x {width} numbers"))),
        }
    }

    fn unfit(&self, name: &str, found: &Values<'_>, expected: String) -> Error {
        let kind = match found {
            Values::Empty => "no list",
            Values::Blobs(_) => "byte strings",
            Values::Floats(_) => "floats",
            Values::Integers(_) => "integers",
        };
        let found = format!("{} {kind}", found.len());
        Error::Field { file: self.file.clone(), field: place(self.span, name), found, expected, mend: MEND }
    }

    /// Its file and, for messages, a field of one step.
    pub(super) fn origin(&self, name: &str, frame: usize) -> (PathBuf, String) {
        (self.file.clone(), format!("{}, step {frame}", place(self.span, name)))
    }
}

/// The error that a fault means. Its place counts from byte `base` of the file.
pub(super) fn told(file: &Path, span: Span, base: u64, name: &str, fault: Fault) -> Error {
    match fault {
        Fault::Read(source) => Error::Read { file: file.to_owned(), source },
        Fault::Wire { at, found, expected } => Error::Field {
            file: file.to_owned(),
            field: format!("{}, byte {}", place(span, name), base.saturating_add(at)),
            found,
            expected: expected.to_owned(),
            mend: MEND,
        },
    }
}

/// What a message calls a field of a record.
pub(super) fn place(span: Span, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!(", `{name}`") };
    format!("record at byte {}{name}", span.at)
}

/// The records used last, by number.
#[derive(Default)]
pub(super) struct Kept(Mutex<VecDeque<(usize, Arc<Record>)>>);

impl Kept {
    /// Record `number`; `read` makes it if it is not kept. Two threads may both read one: neither waits.
    pub(super) fn get(
        &self,
        number: usize,
        read: impl FnOnce() -> Result<Record, Error>,
    ) -> Result<Arc<Record>, Error> {
        if let Some(record) = self.take(number) {
            return Ok(record);
        }
        let record = Arc::new(read()?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(found, _)| *found != number);
        kept.push_back((number, record.clone()));
        let mut bytes: usize = kept.iter().map(|(_, record)| record.bytes.len()).sum();
        while bytes > KEPT {
            let Some((_, oldest)) = kept.pop_front() else { break };
            bytes -= oldest.bytes.len();
        }
        Ok(record)
    }

    /// Finds a record and makes it the last to go.
    fn take(&self, number: usize) -> Option<Arc<Record>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(found, _)| *found == number)?;
        let found = kept.remove(place)?;
        let record = found.1.clone();
        kept.push_back(found);
        Some(record)
    }
}
