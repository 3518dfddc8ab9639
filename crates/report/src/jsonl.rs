//! A log of JSON objects, one a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::Error;

/// A log that is appended to, one JSON object a line.
///
/// Each record is handed to the system whole, in one write. A run killed in the middle of one leaves a last line
/// without an end; opening drops it, or ends it where only the line feed was lost. A line that has its end and is no
/// object is damage of another kind and is never dropped silently.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens a log to append to; a missing one is made, a torn last line mended.
    ///
    /// # Errors
    /// A file that cannot be opened, or a whole line that is no JSON object.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::resume(path, |_| true)
    }

    /// Opens a log to append to, with only the records that `keep` wants; those after the step of a checkpoint, say,
    /// would be written a second time.
    ///
    /// The kept lines stay byte for byte as they are. A log that changes is replaced atomically.
    ///
    /// # Errors
    /// As [`JsonLines::open`], or a file that cannot be replaced.
    pub fn resume(path: impl AsRef<Path>, keep: impl Fn(&Value) -> bool) -> Result<Self, Error> {
        let path = path.as_ref();
        let old = bytes_of(path)?;
        let mut new = Vec::with_capacity(old.len());
        for (line, value) in records(path, &old)? {
            if keep(&value) {
                new.extend_from_slice(line);
                new.push(b'\n');
            }
        }
        if new != old {
            cola_files::write_atomically(path, &new).map_err(Error::io(path, "write"))?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path, "open"))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one record. Numbers that are not finite become `null`, since JSON has none.
    ///
    /// # Errors
    /// What does not serialize to one JSON object, or a full disk.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), Error> {
        let malformed = |source| Error::Record { file: self.path.clone(), source };
        let mut line = serde_json::to_vec(record).map_err(malformed)?;
        if !line.starts_with(b"{") {
            serde_json::from_slice::<Map<String, Value>>(&line).map_err(malformed)?;
        }
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io(&self.path, "append to"))
    }

    /// All records of a log, without a torn last line; the file is left as it is.
    ///
    /// # Errors
    /// A file that cannot be read, or a whole line that is no JSON object.
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<Value>, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
        Ok(records(path, &bytes)?.into_iter().map(|(_, value)| value).collect())
    }
}

/// The content of a log; none where there is no log yet.
fn bytes_of(path: &Path) -> Result<Vec<u8>, Error> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(Error::io(path, "read")),
    }
}

/// Each line with what it says. Only the last one, and only if nothing ends it, may be no object.
fn records<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<(&'a [u8], Value)>, Error> {
    let mut records = Vec::new();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let ended = line.strip_suffix(b"\n");
        let content = ended.unwrap_or(line);
        match serde_json::from_slice::<Map<String, Value>>(content) {
            Ok(object) => records.push((content, Value::Object(object))),
            Err(_) if ended.is_none() => (),
            Err(source) => return Err(Error::JsonLine { file: path.to_owned(), line: index + 1, source }),
        }
    }
    Ok(records)
}
