//! The header of one safetensors file: read alone, and trusted in nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::Error;
use crate::pickle::is_pickle;

/// The format's own bound; 1.2 billion parameters take a hundred kilobytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Bytes of the number in front, the header's length.
const LENGTH: u64 = 8;

/// Sides of a shape that a message tells.
const SIDES_TOLD: usize = 8;

/// What the header of a safetensors file says, checked against the file: names, dtypes and shapes without their numbers.
#[derive(Clone, Debug)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Extent>,
    /// The file's free text.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor's place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its dtype in the file.
    pub dtype: Dtype,
    /// Its shape; the product of the sides can be counted.
    pub shape: Vec<usize>,
    /// Its first byte, from the file's first.
    pub begin: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Why a file has no header that can be trusted.
#[derive(Debug)]
pub enum HeaderError {
    /// The operating system refused.
    Io(io::Error),
    /// It is a pickle, which is a program and is not run here.
    Pickle,
    /// It contradicts itself or the file.
    Fault {
        /// Which part of it, e.g. "tensor `a.weight`".
        field: String,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
}

impl HeaderError {
    /// As an error about this file.
    pub(crate) fn of(self, file: &Path) -> Error {
        let file = file.to_path_buf();
        match self {
            Self::Io(source) => Error::Io { file, doing: "reading", source },
            Self::Pickle => Error::pickle(file),
            Self::Fault { field, found, expected } => {
                Error::Format { file, reason: format!("{field} is {found}, expected {expected}") }
            }
        }
    }
}

impl Header {
    /// The header of the file at this path; the numbers behind it are not read.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Pickle`], [`Error::Format`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(HeaderError::Io);
        file.and_then(|mut file| Self::read(&mut file)).map_err(|error| error.of(path))
    }

    /// Reads the header and nothing behind it. Everything that it says of offsets has been checked then: each tensor lies
    /// within the file, takes as many bytes as its shape and dtype, and shares none with another. No more memory is set
    /// aside than a small multiple of the file's own bytes, whatever it claims.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn read(file: &mut File) -> Result<Self, HeaderError> {
        let length = file.metadata().map_err(HeaderError::Io)?.len();
        let wrong = |field: &str, found: String, expected: &str| HeaderError::Fault {
            field: field.to_string(),
            found,
            expected: expected.to_string(),
        };
        // A byte more: the header's own first one tells a header from a pickle.
        let mut start = Vec::with_capacity(LENGTH as usize + 1);
        file.take(LENGTH + 1).read_to_end(&mut start).map_err(HeaderError::Io)?;
        if is_pickle(&start) {
            return Err(HeaderError::Pickle);
        }
        let Some((number, first)) = start.split_first_chunk() else {
            return Err(wrong("the file", format!("{length} bytes long"), "at least 8 bytes"));
        };
        let header = u64::from_le_bytes(*number);
        // Checked before a byte is set aside for it.
        if header > LONGEST_HEADER || header > length.saturating_sub(LENGTH) {
            let bound = LONGEST_HEADER.min(length.saturating_sub(LENGTH));
            return Err(wrong(
                "the header's length",
                format!("{header} bytes"),
                &format!("at most {bound}, as the file is {length} bytes long"),
            ));
        }
        let mut text = Vec::with_capacity(header as usize);
        text.extend_from_slice(&first[..first.len().min(header as usize)]);
        file.take(header - text.len() as u64).read_to_end(&mut text).map_err(HeaderError::Io)?;
        let parsed = parse(&text).map_err(|error| {
            wrong("the header", error.to_string(), "a JSON object of safetensors entries")
        })?;
        Self::checked(parsed, LENGTH + header, length).map_err(|Fault { tensor, found, expected }| {
            wrong(&format!("tensor `{tensor}`"), found, &expected)
        })
    }

    /// The check of what a header says of a file of `length` bytes whose tensors start at `start`.
    fn checked(parsed: Parsed, start: u64, length: u64) -> Result<Self, Fault> {
        let room = length.saturating_sub(start);
        let mut order: Vec<(&String, &TensorInfo)> = parsed.tensors.iter().collect();
        order.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        let mut last = "the header";
        for (name, info) in &order {
            let (from, to) = info.data_offsets;
            let fault = |found: String, expected: String| Fault { tensor: (*name).clone(), found, expected };
            let place = format!("at bytes {from}..{to}");
            if from > to || to as u64 > room {
                return Err(fault(place, format!("a place within the {room} bytes of data")));
            }
            if from != end {
                return Err(fault(
                    place,
                    format!("byte {end}, where {last} ends: tensors neither overlap nor leave holes"),
                ));
            }
            let expected = size(info.dtype, &info.shape).filter(|&bytes| bytes == to - from);
            if expected.is_none() {
                // Of a shape with millions of sides the first ones say enough.
                let sides = &info.shape[..info.shape.len().min(SIDES_TOLD)];
                let found = format!("{} {sides:?} in {} bytes", info.dtype, to - from);
                return Err(fault(found, "as many bytes as dtype and shape make".into()));
            }
            (end, last) = (to, name);
        }
        if end as u64 != room {
            return Err(Fault {
                tensor: last.to_string(),
                found: format!("the last and ends at byte {end}"),
                expected: format!("the file's end, {room} bytes behind the header"),
            });
        }
        let extent = |info: TensorInfo| Extent {
            dtype: info.dtype,
            begin: start + info.data_offsets.0 as u64,
            bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
            shape: info.shape,
        };
        let tensors = parsed.tensors.into_iter().map(|(name, info)| (name, extent(info))).collect();
        Ok(Self { tensors, metadata: parsed.metadata })
    }
}

/// Why a header cannot be right.
struct Fault {
    tensor: String,
    found: String,
    expected: String,
}

/// Bytes of a tensor, if they can be counted and are whole.
fn size(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    // Strides are products of some of the sides, so a side of 0 does not excuse others that cannot be multiplied.
    shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side.max(1)))?;
    let count: usize = shape.iter().product();
    let bits = count.checked_mul(dtype.bitsize())?;
    (bits % 8 == 0).then_some(bits / 8)
}

struct Parsed {
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

fn parse(text: &[u8]) -> serde_json::Result<Parsed> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Parsed;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of tensors")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
            let mut parsed = Parsed { tensors: BTreeMap::new(), metadata: BTreeMap::new() };
            while let Some(name) = map.next_key::<String>()? {
                if name == "__metadata__" {
                    parsed.metadata = map.next_value()?;
                    continue;
                }
                let info = map.next_value()?;
                match parsed.tensors.entry(name) {
                    Entry::Vacant(entry) => entry.insert(info),
                    // serde would keep the later one without a word.
                    Entry::Occupied(entry) => {
                        return Err(A::Error::custom(format_args!("two tensors named `{}`", entry.key())));
                    }
                };
            }
            Ok(parsed)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed = json.deserialize_map(Entries)?;
    json.end()?;
    Ok(parsed)
}
