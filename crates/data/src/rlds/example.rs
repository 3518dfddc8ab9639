//! `tf.train.Example`: named lists in protobuf's wire format.
//!
//! ```text
//! Example   { features: Features = 1 }
//! Features  { feature: map<string, Feature> = 1 }        an entry is { key: string = 1, value: Feature = 2 }
//! Feature   { BytesList = 1 | FloatList = 2 | Int64List = 3 }, each { value = 1, repeated }
//! ```
//!
//! Read by hand: what is wanted is to step over pictures in a file without reading them, and a generated reader takes a
//! whole message or nothing. The nesting is fixed, so there is no recursion that an input could drive.

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Seek, SeekFrom};
use std::ops::Range;

/// Most names in an example, and the longest.
const NAMES: usize = 4096;
const NAME_BYTES: u64 = 4096;

/// Bytes that do not follow the format, or could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// What stands `at` a byte of the source.
    Wire { at: u64, found: String, expected: &'static str },
    /// The system's.
    Read(std::io::Error),
}

impl From<std::io::Error> for Fault {
    fn from(source: std::io::Error) -> Self {
        Self::Read(source)
    }
}

/// The list of one name.
#[derive(Debug, PartialEq)]
pub(super) enum Values<'a> {
    Empty,
    Blobs(Vec<&'a [u8]>),
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

impl Values<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Blobs(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }
}

/// Name -> where its `Feature` lies in `source`, for the example in bytes `range`. Values are stepped over.
pub(super) fn index(
    source: &mut (impl BufRead + Seek),
    range: Range<u64>,
) -> Result<BTreeMap<String, Range<u64>>, Fault> {
    let mut names = BTreeMap::new();
    let mut wire = Wire::new(source, range.start)?;
    while let Some(features) = wire.message(1, range.end)? {
        while let Some(entry) = wire.message(1, features.end)? {
            let (mut name, mut value) = (String::new(), entry.end..entry.end);
            while let Some(part) = wire.field(entry.end)? {
                match (part.number, part.kind) {
                    (1, LENGTH) => {
                        name = String::from_utf8_lossy(&wire.bytes(&part.range, NAME_BYTES)?).into_owned();
                    }
                    (2, LENGTH) => value = part.range.clone(),
                    _ => {}
                }
                wire.to(part.range.end)?;
            }
            names.insert(name, value);
            if names.len() > NAMES {
                let found = format!("more than {NAMES} names");
                return Err(Fault::Wire { at: entry.start, found, expected: "an example with fewer" });
            }
        }
    }
    Ok(names)
}

/// The first value of the bytes list in a `Feature`; `None` if there is none.
pub(super) fn first_blob(
    source: &mut (impl BufRead + Seek),
    feature: Range<u64>,
    most: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut wire = Wire::new(source, feature.start)?;
    let Some(list) = wire.message(1, feature.end)? else { return Ok(None) };
    let Some(blob) = wire.message(1, list.end)? else { return Ok(None) };
    Ok(Some(wire.bytes(&blob, most)?))
}

/// The values of a `Feature`, at most `most`. Places in faults count from its start.
pub(super) fn values(feature: &[u8], most: usize) -> Result<Values<'_>, Fault> {
    let mut values = Values::Empty;
    let mut source = Cursor::new(feature);
    let mut wire = Wire::new(&mut source, 0)?;
    while let Some(list) = wire.field(feature.len() as u64)? {
        if list.kind != LENGTH || !(1..=3).contains(&list.number) {
            wire.to(list.range.end)?;
            continue;
        }
        // Only one list can be there; of several, protobuf keeps the last kind.
        match (list.number, &values) {
            (1, Values::Blobs(_)) | (2, Values::Floats(_)) | (3, Values::Integers(_)) => {}
            (1, _) => values = Values::Blobs(Vec::new()),
            (2, _) => values = Values::Floats(Vec::new()),
            _ => values = Values::Integers(Vec::new()),
        }
        while let Some(item) = wire.field(list.range.end)? {
            if item.number == 1 {
                // The range was checked to lie in the list, and the list in the feature.
                let bytes =
                    feature.get(item.range.start as usize..item.range.end as usize).unwrap_or_default();
                append(&mut values, item.kind, bytes, item.range.start)?;
            }
            if values.len() > most {
                let found = format!("more than {most} values");
                return Err(Fault::Wire { at: item.range.start, found, expected: "one for each step" });
            }
            wire.to(item.range.end)?;
        }
    }
    Ok(values)
}

/// Appends one item of a list, which is a value or, packed, many.
fn append<'a>(values: &mut Values<'a>, kind: u8, bytes: &'a [u8], at: u64) -> Result<(), Fault> {
    match (values, kind) {
        (Values::Blobs(values), LENGTH) => values.push(bytes),
        (Values::Floats(values), LENGTH | FIXED_32) => {
            let (whole, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                let found = format!("{} bytes", bytes.len());
                return Err(Fault::Wire { at, found, expected: "4 for each number" });
            }
            values.extend(whole.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        (Values::Integers(values), LENGTH | VARINT) => {
            let mut source = Cursor::new(bytes);
            let mut wire = Wire { source: &mut source, at };
            let end = at + bytes.len() as u64;
            while wire.at < end {
                values.push(wire.varint(end)? as i64);
            }
        }
        (_, kind) => {
            let found = format!("wire type {kind}");
            return Err(Fault::Wire { at, found, expected: "the wire type of the list's values" });
        }
    }
    Ok(())
}

/// Wire types.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED_32: u8 = 5;

/// Number, wire type and value bytes of a field; the reader stands at or after their start.
struct Field {
    number: u64,
    kind: u8,
    range: Range<u64>,
}

/// A place in wire format.
struct Wire<'a, R> {
    source: &'a mut R,
    at: u64,
}

impl<'a, R: BufRead + Seek> Wire<'a, R> {
    fn new(source: &'a mut R, at: u64) -> Result<Self, Fault> {
        let from = source.stream_position()?;
        let mut wire = Self { source, at: from };
        wire.to(at)?;
        Ok(wire)
    }

    /// Goes to a place. Short ways stay in the buffer.
    fn to(&mut self, at: u64) -> Result<(), Fault> {
        match i64::try_from(i128::from(at) - i128::from(self.at)) {
            Ok(0) => {}
            Ok(distance) => self.source.seek_relative(distance)?,
            Err(_) => self.source.seek(SeekFrom::Start(at)).map(drop)?,
        }
        self.at = at;
        Ok(())
    }

    fn varint(&mut self, end: u64) -> Result<u64, Fault> {
        let start = self.at;
        let fault = |found: &str| {
            let expected = "a number of at most 10 bytes and 64 bits";
            Fault::Wire { at: start, found: found.to_owned(), expected }
        };
        let mut value = 0;
        for place in 0..10 {
            if self.at >= end {
                return Err(fault("a number that the end cuts off"));
            }
            let mut byte = [0];
            self.source.read_exact(&mut byte)?;
            self.at += 1;
            if place == 9 && byte[0] > 1 {
                break;
            }
            value |= u64::from(byte[0] & 0x7f) << (7 * place);
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(fault("a number that runs on"))
    }

    /// The next field before `end`.
    fn field(&mut self, end: u64) -> Result<Option<Field>, Fault> {
        if self.at >= end {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint(end)?;
        let (number, kind) = (tag >> 3, (tag & 7) as u8);
        let mut from = self.at;
        let length = match kind {
            VARINT => {
                self.varint(end)?;
                self.at - from
            }
            FIXED_64 => 8,
            FIXED_32 => 4,
            LENGTH => {
                let length = self.varint(end)?;
                from = self.at;
                length
            }
            _ => {
                let found = format!("wire type {kind}");
                return Err(Fault::Wire { at: start, found, expected: "wire type 0, 1, 2 or 5" });
            }
        };
        if length > end - from || number == 0 {
            let found = format!("field {number} of {length} bytes, {} left", end - from);
            return Err(Fault::Wire { at: start, found, expected: "a numbered field inside its message" });
        }
        Ok(Some(Field { number, kind, range: from..from + length }))
    }

    /// The next field of this number before `end`, a message or bytes; others are stepped over.
    fn message(&mut self, number: u64, end: u64) -> Result<Option<Range<u64>>, Fault> {
        while let Some(field) = self.field(end)? {
            if field.number == number && field.kind == LENGTH {
                return Ok(Some(field.range));
            }
            self.to(field.range.end)?;
        }
        Ok(None)
    }

    /// The bytes of a range that begins here.
    fn bytes(&mut self, range: &Range<u64>, most: u64) -> Result<Vec<u8>, Fault> {
        let length = range.end - range.start;
        if length > most {
            let found = format!("a text of {length} bytes");
            let expected = "at most 4096 bytes in a name, 65536 in an instruction";
            return Err(Fault::Wire { at: range.start, found, expected });
        }
        let mut bytes = vec![0; length as usize];
        self.source.read_exact(&mut bytes)?;
        self.at = range.end;
        Ok(bytes)
    }
}
