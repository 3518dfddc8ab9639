//! Steps of a folder that is whole or not there.

use std::ffi::OsString;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use crate::disk;

/// What the name of a folder on its way out ends in.
const REMOVED: &str = "removed";

/// Makes a folder and those above it that are missing; one that is there already is fine.
///
/// # Errors
/// A file in the way, a folder above that cannot be written to.
pub fn make_folder(folder: &Path) -> Result<()> {
    disk::make_folder(folder)
}

/// Gives a file or folder another name at once, as [`std::fs::rename`]; [`sync_folder`] of the folder around it makes
/// that survive a power cut.
///
/// # Errors
/// Nothing at `from`, another file system at `to`, or a folder there that is not empty.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    disk::rename(from, to)
}

/// Makes renames within a folder survive a power cut; only Unix opens folders as files.
///
/// # Errors
/// The system's.
pub fn sync_folder(folder: &Path) -> Result<()> {
    disk::sync_folder(folder)
}

/// Removes a folder and everything in it; whoever looks finds all of it or nothing, even after a kill.
///
/// It is renamed to `.<name>.removed` first and emptied then. A run killed in between leaves that behind, for the next
/// removal of the same name or for [`finish_removals`].
///
/// # Errors
/// A folder that is missing, has no name or is in one that cannot be written to.
pub fn remove_folder(folder: &Path) -> Result<()> {
    let gone = aside(folder, REMOVED)?;
    if gone.symlink_metadata().is_ok() {
        remove_tree(&gone)?;
    }
    disk::rename(folder, &gone)?;
    disk::sync_folder(around(folder))?; // else a power cut could undo the rename alone
    remove_tree(&gone)
}

/// Empties what [`remove_folder`] left in `folder` when its process was killed, and says how many folders that were.
///
/// # Errors
/// The system's; a `folder` that does not exist holds nothing to remove.
pub fn finish_removals(folder: &Path) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut finished = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let left = name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".removed"));
        if left && entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
            finished += 1;
        }
    }
    Ok(finished)
}

/// [`std::fs::remove_dir_all`], whose steps can be told apart; links are removed, never followed.
fn remove_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            disk::remove_file(&entry.path())?;
        }
    }
    disk::remove_empty(folder)
}

/// `.<name>.<ending>` in the same folder.
pub(crate) fn aside(path: &Path, ending: &str) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the path has no name of its own"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(ending);
    Ok(path.with_file_name(hidden))
}

/// The folder that `path` lies in.
pub(crate) fn around(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
