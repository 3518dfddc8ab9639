//! Files that are either the old or the new one, never half of each.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::Error;

/// Writes `bytes` aside, syncs them to the disk and renames the result to `path`.
///
/// # Errors
/// [`Error::Io`]; `path` is untouched then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.part", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| {
        // The part file is of no use to anybody; the first error is the one to report.
        let _ = fs::remove_file(&aside);
        Error::Io { file: path.to_path_buf(), doing: "writing", source }
    })
}
