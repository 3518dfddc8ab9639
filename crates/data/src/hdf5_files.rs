//! Which files below a folder are HDF5, without reading more of them than their first bytes.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Error, Format, regular};

/// The first bytes of an HDF5 file that has nothing in front of its superblock.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Folders between the one that was named and a file: a suite, a task, and one to spare.
const DEPTH: usize = 3;

/// `path` itself if it is an HDF5 file, or the first one below it; `None` if there is none.
pub(crate) fn first(path: &Path) -> Result<Option<PathBuf>, Error> {
    if path.is_file() {
        let mut start = Vec::new();
        let file = regular::open(path).map(|file| file.take(SIGNATURE.len() as u64).read_to_end(&mut start));
        file.and_then(|read| read).map_err(|source| Error::Read { file: path.to_owned(), source })?;
        return Ok((named(path) || start == SIGNATURE).then(|| path.to_owned()));
    }
    let mut found = Vec::new();
    walk(path, DEPTH, true, &mut found)?;
    Ok(found.pop())
}

/// `path` itself if it is a file, or all HDF5 files below it in the order of their paths.
#[cfg(feature = "hdf5")]
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(Error::MissingFolder { path: path.to_owned() });
    }
    let mut found = Vec::new();
    walk(path, DEPTH, false, &mut found)?;
    if found.is_empty() {
        let file = path.join("*.hdf5");
        let mend = "name an HDF5 file or a folder that holds some";
        return Err(Error::MissingFile { file, expected: "files *.hdf5 or *.h5", mend });
    }
    Ok(found)
}

/// The format of an HDF5 file: LIBERO's if it can be read and says so.
pub(crate) fn format(file: &Path) -> Format {
    #[cfg(feature = "hdf5")]
    if crate::robomimic::is_libero(file) {
        return Format::Libero;
    }
    #[cfg(not(feature = "hdf5"))]
    let _ = file;
    Format::Robomimic
}

/// Whether the name is that of an HDF5 file.
fn named(file: &Path) -> bool {
    let extension = file.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("hdf5" | "h5"))
}

/// Collects files in the order of their paths; a link that leads back up ends at `depth`.
fn walk(folder: &Path, depth: usize, one: bool, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let read = |source| Error::Read { file: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(read)?;
    let mut entries =
        entries.map(|entry| Ok(entry.map_err(read)?.path())).collect::<Result<Vec<_>, Error>>()?;
    entries.sort();
    for entry in entries {
        if one && !found.is_empty() {
            break;
        }
        if entry.is_dir() {
            if depth > 0 {
                walk(&entry, depth - 1, one, found)?;
            }
        } else if named(&entry) && !regular::is_other(&entry) {
            found.push(entry);
        }
    }
    Ok(())
}
