//! Files that take their name when they are complete.

use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskFile};
use crate::folder::{around, aside};

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
    let mut file = AtomicFile::create(path)?;
    write(&mut file)?;
    file.commit()
}

/// A buffered file that takes its name when it is complete; dropped before, it leaves nothing behind.
///
/// Written aside, synced and renamed as [`write_atomically`] does.
///
/// ```
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("cola-files-piecewise-{}", std::process::id()));
/// let mut file = cola_files::AtomicFile::create(&path)?;
/// writeln!(file, "one line")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "one line\n");
/// # std::fs::remove_file(path)
/// # }
/// ```
pub struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<DiskFile>,
    committed: bool,
}

impl AtomicFile {
    /// Begins the file that will be `path`.
    ///
    /// # Errors
    /// A path without file name, a folder that is missing or cannot be written to.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let partial = aside(path, "partial")?;
        let file = BufWriter::new(disk::create(&partial)?);
        Ok(Self { path: path.to_owned(), partial, file, committed: false })
    }

    /// Brings what was written to the disk and gives the file its name.
    ///
    /// # Errors
    /// The system's; a file that had the name before is then untouched.
    pub fn commit(mut self) -> Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync()?;
        disk::rename(&self.partial, &self.path)?;
        self.committed = true;
        disk::sync_folder(around(&self.path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Whoever dropped the file has an error to tell; what is left of it costs nothing but room.
            let _ = disk::remove_file(&self.partial);
        }
    }
}
