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
//! What checkpoints, pictures and logs share: [`write_atomically`] for bytes at hand, [`write_atomically_with`] for what
//! is too large to be held. What a failure means is for the caller to say.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
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
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], for a file that is written piece by piece: `write` gets a buffered file.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let file = std::env::temp_dir().join(format!("cola-files-pieces-{}", std::process::id()));
/// cola_files::write_atomically_with(&file, |to| (0..3).try_for_each(|line| writeln!(to, "{line}")))?;
/// assert_eq!(std::fs::read_to_string(&file)?, "0\n1\n2\n");
/// # std::fs::remove_file(file)
/// # }
/// ```
///
/// # Errors
/// Those of [`write_atomically`] and of `write`; the old file is then untouched.
pub fn write_atomically_with(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let name =
        path.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    let partial = path.with_file_name(partial);
    if let Err(error) = write_through(&partial, write).and_then(|()| fs::rename(&partial, path)) {
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

fn write_through(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(&mut file)?;
    // Flushes what is buffered, and tells if that failed.
    file.into_inner().map_err(|error| error.into_error())?.sync_all()
}
