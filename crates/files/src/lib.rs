//! Files that are either the old or the new one, never a part.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let file = std::env::temp_dir().join(format!("cola-files-{}", std::process::id()));
//! cola_files::write_atomically(&file, b"first")?;
//! cola_files::write_atomically(&file, b"second")?;
//! assert_eq!(std::fs::read(&file)?, b"second");
//! # std::fs::remove_file(file)
//! # }
//! ```
//!
//! One function, which checkpoints, pictures and logs share. What a failure means is for the caller to say.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::Path;

/// Replaces `path` by a file with these bytes; whoever opens it finds the old content or the new, never a part.
///
/// The bytes go to `.<name>.partial` in the same folder (a rename is atomic only within a file system), reach the
/// disk, and are renamed. A run killed in between leaves that one file behind, and the next write to the same path
/// takes it over, so that kills pile nothing up. A path must have one writer at a time.
///
/// # Errors
/// A path without file name, a folder that is missing or full; the old file is then untouched.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let name =
        path.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    let partial = path.with_file_name(partial);
    if let Err(error) = write_through(&partial, bytes).and_then(|()| fs::rename(&partial, path)) {
        // The first error is the one to tell; what is left of the partial file costs nothing but room.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes renames within a folder survive a power cut; only Unix opens folders as files.
///
/// # Errors
/// The system's.
pub fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn write_through(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
