//! Files that are whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::Error;

/// Replaces `path` by a file with these bytes; whoever opens it finds the old content or the new, never a part.
///
/// The bytes go to `.<name>.partial` in the same folder (a rename is atomic only within a file system), reach the
/// disk, and are renamed. A run killed in between leaves that one file behind, and the next write to the same path
/// takes it over, so that kills pile nothing up. A path must have one writer at a time.
///
/// # Errors
/// A path without file name, a folder that is missing or full; the old file is then untouched.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    let path = path.as_ref();
    let name = path.file_name().ok_or_else(|| Error::NoFileName { file: path.to_owned() })?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    let partial = path.with_file_name(partial);

    if let Err(source) = write_through(&partial, bytes).and_then(|()| fs::rename(&partial, path)) {
        // The first error is the one to tell; what is left of the partial file costs nothing but room.
        let _ = fs::remove_file(&partial);
        return Err(Error::Io { file: path.to_owned(), action: "write", source });
    }
    sync_folder(path).map_err(Error::io(path, "sync the folder of"))
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the rename itself survive a power cut; only Unix opens folders as files.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
