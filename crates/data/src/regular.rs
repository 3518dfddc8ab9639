//! Opening files that must not block.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Whether `path` is there and is, or links to, something else than a plain file. A link that leads nowhere is not: whoever
/// opens it tells that it is broken.
pub(crate) fn is_other(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Opens `file`, or what it links to, if that is a plain file. To open a pipe is to wait for its writer, maybe for ever,
/// and a device has no end.
pub(crate) fn open(file: &Path) -> Result<File> {
    match std::fs::metadata(file)?.is_file() {
        true => File::open(file),
        false => Err(Error::new(ErrorKind::InvalidInput, "a folder, a pipe or a device, not a file")),
    }
}
