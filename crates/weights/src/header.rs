//! The header of one file, with this crate's errors.

use std::fs::File;
use std::path::Path;

use cola_nn::{Header, HeaderError};

use crate::{Error, Result};

/// Reads the header and nothing behind it, see [`Header::read`].
///
/// # Errors
/// [`Error::Io`], [`Error::Pickle`], [`Error::Format`].
pub(crate) fn read(file: &mut File, path: &Path) -> Result<Header> {
    Header::read(file).map_err(|error| match error {
        HeaderError::Io(error) => Error::io(path, "reading")(error),
        HeaderError::Pickle => Error::Pickle {
            origin: path.display().to_string(),
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        },
        HeaderError::Fault { field, found, expected } => {
            Error::Format { file: path.to_path_buf(), field, found, expected }
        }
    })
}
