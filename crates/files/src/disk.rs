//! The one place where this crate changes the disk, so that a test can make any of its operations fail.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::Path;

#[cfg(feature = "faults")]
use crate::faults::{self, Answer};

/// What the disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    MakeFolder,
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
    Remove,
}

#[cfg(feature = "faults")]
fn ask(operation: Operation) -> Result<()> {
    match faults::ask(operation) {
        Answer::GoOn => Ok(()),
        Answer::Tear(error) | Answer::Fail(error) => Err(error),
    }
}

#[cfg(not(feature = "faults"))]
#[inline(always)]
fn ask(_operation: Operation) -> Result<()> {
    Ok(())
}

/// A file under creation.
pub(crate) struct DiskFile(File);

/// Creates a file, or empties the one that is there.
pub(crate) fn create(path: &Path) -> Result<DiskFile> {
    ask(Operation::Create)?;
    Ok(DiskFile(File::create(path)?))
}

impl DiskFile {
    /// Brings what was written to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        ask(Operation::Sync)?;
        self.0.sync_all()
    }

    /// The system's file, for its lock.
    pub(crate) fn into_file(self) -> File {
        self.0
    }
}

impl Write for DiskFile {
    #[cfg(feature = "faults")]
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match faults::ask(Operation::Write) {
            Answer::GoOn => self.0.write(bytes),
            Answer::Tear(error) => {
                self.0.write_all(&bytes[..bytes.len() / 2])?;
                Err(error)
            }
            Answer::Fail(error) => Err(error),
        }
    }

    #[cfg(not(feature = "faults"))]
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        ask(Operation::Write)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    ask(Operation::MakeFolder)?;
    fs::create_dir_all(folder)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    ask(Operation::Rename)?;
    fs::rename(from, to)
}

pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    ask(Operation::SyncFolder)?;
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(crate) fn remove_file(file: &Path) -> Result<()> {
    ask(Operation::Remove)?;
    fs::remove_file(file)
}

pub(crate) fn remove_empty(folder: &Path) -> Result<()> {
    ask(Operation::Remove)?;
    fs::remove_dir(folder)
}
