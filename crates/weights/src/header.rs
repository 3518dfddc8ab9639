//! The header of one safetensors file: read alone, and trusted in nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::{Error, Result};

/// The format's own bound; 1.2 billion parameters take a hundred kilobytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Bytes of the number in front, the header's length.
const LENGTH: u64 = 8;

/// What a file's header says, checked against the file.
pub(crate) struct Header {
    /// The tensors by name.
    pub(crate) tensors: BTreeMap<String, Extent>,
    /// The file's free text.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// One tensor's place in a file.
pub(crate) struct Extent {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// From the file's first byte.
    pub(crate) begin: u64,
    pub(crate) bytes: u64,
}

impl Header {
    /// Reads the header and nothing behind it. Everything that it says of offsets has been checked then: each tensor lies
    /// within the file, takes as many bytes as its shape and dtype, and shares none with another.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`].
    pub(crate) fn read(file: &mut File, path: &Path) -> Result<Self> {
        let length = file.metadata().map_err(Error::io(path, "reading"))?.len();
        let wrong = |field: &str, found: String, expected: &str| Error::Format {
            file: path.to_path_buf(),
            field: field.to_string(),
            found,
            expected: expected.to_string(),
        };
        if length < LENGTH {
            return Err(wrong("the file", format!("{length} bytes long"), "at least 8 bytes"));
        }
        let mut number = [0; LENGTH as usize];
        file.read_exact(&mut number).map_err(Error::io(path, "reading"))?;
        let header = u64::from_le_bytes(number);
        // Checked before a byte is set aside for it.
        if header > LONGEST_HEADER || header > length - LENGTH {
            let bound = LONGEST_HEADER.min(length - LENGTH);
            return Err(wrong(
                "the header's length",
                format!("{header} bytes"),
                &format!("at most {bound}, as the file is {length} bytes long"),
            ));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(Error::io(path, "reading"))?;
        let parsed = parse(&text).map_err(|error| {
            wrong("the header", error.to_string(), "a JSON object of safetensors entries")
        })?;
        Self::checked(parsed, LENGTH + header, length).map_err(|Fault { tensor, found, expected }| {
            wrong(&format!("tensor `{tensor}`"), found, &expected)
        })
    }

    /// The check of what a header says of a file of `length` bytes whose tensors start at `start`.
    fn checked(parsed: Parsed, start: u64, length: u64) -> std::result::Result<Self, Fault> {
        let room = length - start;
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
                let found = format!("{} {:?} in {} bytes", info.dtype, info.shape, to - from);
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

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Parsed, A::Error> {
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
