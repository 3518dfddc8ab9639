//! Numbers of the files of one kind.

use std::path::{Path, PathBuf};

use crate::Error;

/// Files in a chunk.
pub(super) const CHUNK: i64 = 1000;

/// Where a file stands: `chunk-000/file-000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) chunk: i64,
    pub(super) file: i64,
}

impl Number {
    pub(super) fn next(self) -> Self {
        match self.file + 1 {
            CHUNK => Self { chunk: self.chunk + 1, file: 0 },
            file => Self { file, ..self },
        }
    }

    /// The file's path below `folder`; its own folder is made.
    pub(super) fn place(self, folder: &Path, extension: &str) -> Result<PathBuf, Error> {
        let Self { chunk, file } = self;
        let folder = folder.join(format!("chunk-{chunk:03}"));
        std::fs::create_dir_all(&folder).map_err(|source| Error::Write { file: folder.clone(), source })?;
        Ok(folder.join(format!("file-{file:03}.{extension}")))
    }
}
