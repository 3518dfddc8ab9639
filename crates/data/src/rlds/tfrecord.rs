//! TFRecord: length (u64), its checksum (u32), data, their checksum (u32), all little endian; then the next record.

use std::io::{BufRead, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::{Error, regular};

/// Largest record that is read: 2 GiB, beyond which protobuf has no message.
const LARGEST: u64 = 1 << 31;
/// Bytes before and after the data.
const HEAD: u64 = 12;
const TAIL: u64 = 4;

/// Where a record lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where the record begins.
    pub(super) at: u64,
    /// Bytes of its data.
    pub(super) length: u64,
}

impl Span {
    /// Where its data begin.
    pub(super) fn data(&self) -> u64 {
        self.at + HEAD
    }

    /// Where the next record begins.
    pub(super) fn end(&self) -> u64 {
        self.at + HEAD + self.length + TAIL
    }
}

/// The record at `at` of a file of `size` bytes, whose data are not touched; `None` at the end of the file.
pub(super) fn next(
    file: &Path,
    source: &mut (impl BufRead + Seek),
    at: u64,
    size: u64,
) -> Result<Option<Span>, Error> {
    if at == size {
        return Ok(None);
    }
    let failed = |source| Error::Read { file: file.to_owned(), source };
    if size - at < HEAD + TAIL {
        return Err(error(
            file,
            at,
            "",
            format!("{} bytes", size - at),
            "at least 16: the file is cut off".into(),
        ));
    }
    let mut head = [0; HEAD as usize];
    let here = source.stream_position().map_err(failed)?;
    source
        .seek_relative(at.wrapping_sub(here) as i64)
        .and_then(|()| source.read_exact(&mut head))
        .map_err(failed)?;
    let [a, b, c, d, e, f, g, h, checksum @ ..] = head;
    let bytes = [a, b, c, d, e, f, g, h];
    check(file, at, "checksum of its length", &bytes, checksum)?;
    let length = u64::from_le_bytes(bytes);
    let left = size - at - HEAD - TAIL;
    if length > left || length > LARGEST {
        let expected = format!("at most {}, the file has {size}", left.min(LARGEST));
        return Err(error(file, at, "length", format!("{length} bytes"), expected));
    }
    Ok(Some(Span { at, length }))
}

/// The data of a record that [`next`] found. Both checksums are compared.
pub(super) fn read(file: &Path, span: Span) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { file: file.to_owned(), source };
    let mut source = regular::open(file).map_err(failed)?;
    let size = source.metadata().map_err(failed)?.len();
    // Nothing is allocated for bytes that are no longer there.
    if span.end() > size {
        let expected = format!("at least {}, as when the data set was opened", span.end());
        return Err(error(file, span.at, "end", format!("a file of {size} bytes"), expected));
    }
    let mut bytes = vec![0; span.length as usize];
    let mut checksum = [0; 4];
    let mut fill = || {
        source.seek(SeekFrom::Start(span.data()))?;
        source.read_exact(&mut bytes)?;
        source.read_exact(&mut checksum)
    };
    fill().map_err(failed)?;
    check(file, span.at, "checksum of its data", &bytes, checksum)?;
    Ok(bytes)
}

/// Compares the masked CRC32C of `bytes` with the stored one.
fn check(file: &Path, at: u64, field: &str, bytes: &[u8], stored: [u8; 4]) -> Result<(), Error> {
    let (found, stored) =
        (crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8), u32::from_le_bytes(stored));
    if found != stored {
        return Err(error(
            file,
            at,
            field,
            format!("bytes with {found:08x}"),
            format!("bytes with {stored:08x}"),
        ));
    }
    Ok(())
}

fn error(file: &Path, at: u64, field: &str, found: String, expected: String) -> Error {
    let field = if field.is_empty() { String::new() } else { format!(", {field}") };
    Error::Field {
        file: PathBuf::from(file),
        field: format!("record at byte {at}{field}"),
        found,
        expected,
        mend: "the file is damaged or no TFRecord file; copy it again from the data set's source",
    }
}
