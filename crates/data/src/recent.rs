//! Files that stay open because they will soon be wanted again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Video files whose tables are kept. A table has some 50 bytes for each picture.
pub(crate) const OPEN_VIDEOS: usize = 64;

/// What was read from the files used last.
pub(crate) struct Recent<T> {
    most: usize,
    /// The newest at the end.
    open: Mutex<Vec<(PathBuf, Arc<T>)>>,
}

impl<T> Recent<T> {
    /// Keeps at most `most` of them.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// What belongs to `file`; `read` provides it if it is not kept.
    ///
    /// Two threads that miss the same file both read it, which is better than one waiting for every other's file.
    pub(crate) fn get(&self, file: &Path, read: impl FnOnce() -> Result<T, Error>) -> Result<Arc<T>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.iter().position(|(found, _)| found == file) {
            let kept = open.remove(place);
            let found = kept.1.clone();
            open.push(kept);
            return Ok(found);
        }
        drop(open);
        let found = Arc::new(read()?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.most {
            open.remove(0);
        }
        open.push((file.to_owned(), found.clone()));
        Ok(found)
    }
}
