//! Folders with one writer.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::claim_error::ClaimError;
use crate::disk;
use crate::folder::make_folder;
use crate::holder::{FILE, Holder};

/// A folder held by this program alone until it is dropped or the process ends, however it ends.
///
/// The lock is the system's, on the file `.lock` in the folder, so a killed program leaves nothing to clean up. It binds
/// those who claim the folder, too, and nobody else. The holder's name stands beside it in `.holder`.
///
/// ```
/// use cola_files::{ClaimError, FolderLock};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("cola-files-lock-{}", std::process::id()));
/// let lock = FolderLock::claim(&folder, "coevolve")?;
/// let error = FolderLock::claim(&folder, "evaluate").unwrap_err();
/// assert!(matches!(error, ClaimError::Held { .. }));
/// // ".../run: coevolve, process 1234 on HOST, since 2026-11-23 10:12:05 UTC, works in this folder; wait for it, ..."
/// assert!(error.to_string().contains("coevolve, process"));
/// drop(lock);
/// FolderLock::claim(&folder, "evaluate")?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    _lock: File,
}

impl FolderLock {
    /// Makes the folder if it is missing and takes it for `program`.
    ///
    /// # Errors
    /// [`ClaimError::Held`] by another program or by this one, [`ClaimError::ReadOnly`], [`ClaimError::Unusable`].
    pub fn claim(folder: impl AsRef<Path>, program: &str) -> Result<Self, ClaimError> {
        let folder = folder.as_ref();
        make_folder(folder).map_err(ClaimError::io(folder, "making the folder"))?;
        let lock = disk::create(&folder.join(".lock"));
        let lock = lock.map_err(ClaimError::io(folder, "making its lock file"))?.into_file();
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = Holder::read(folder).map(Box::new);
                return Err(ClaimError::Held { folder: folder.to_path_buf(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(ClaimError::io(folder, "locking it")(source)),
        }
        let name = Holder::here(program).write(folder);
        name.map_err(ClaimError::io(folder, "writing who works in it"))?;
        Ok(Self { folder: folder.to_path_buf(), _lock: lock })
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Before the lock goes, or the next holder's name could be hit. A name that stays does no harm: the next holder
        // writes its own.
        let _ = disk::remove_file(&self.folder.join(FILE));
    }
}
