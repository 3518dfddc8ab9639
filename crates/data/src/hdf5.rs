//! HDF5 files, read piece by piece and with nothing believed before it is checked.
//!
//! The file stays on disk: what is read at once is metadata, one window of a dataset, or one chunk.

mod array;
mod folder;
mod source;

use std::path::{Path, PathBuf};

use array::Array;
pub(crate) use array::EXPANSION;
pub(crate) use folder::Folder;
use hdf5_pure::{ChunkCacheConfig, File, FileAccessProperties, FormatError};
use source::Metered;

use crate::Error;
use crate::guarded::guarded;

/// Stack of the thread that reads. Only what is used of it becomes memory. See [`source`] for why it is so large.
const STACK: usize = 256 << 20;

/// Decoded chunks that are kept for the next window of the same dataset, and their bytes.
const CACHED: (usize, usize) = (64, 64 << 20);

/// An open HDF5 file.
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
}

impl Archive {
    /// Opens `path` and hands it to `read`, on a thread with a stack of its own.
    pub(crate) fn with<T: Send>(
        path: &Path,
        read: impl FnOnce(&Self) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        if !path.is_file() {
            let mend = "the data set is incomplete, copy it again from its source";
            return Err(Error::MissingFile { file: path.to_owned(), expected: "an HDF5 file", mend });
        }
        let work = || {
            guarded(path, || {
                let (slots, bytes) = CACHED;
                let cache = ChunkCacheConfig::from_h5p_cache(slots, bytes);
                let properties = FileAccessProperties::new().with_chunk_cache(cache);
                let file = File::from_source_with_options(Metered::open(path)?, properties);
                let file = file.map_err(|source| error(path, "the file", source))?;
                read(&Self { path: path.to_owned(), file })
            })
        };
        let failed = |source| Error::Read { file: path.to_owned(), source };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            let result = thread.map_err(failed)?.join();
            result.unwrap_or_else(|_| Err(failed(std::io::Error::other("the reading thread died"))))
        })
    }

    /// Bytes of the file.
    pub(crate) fn length(&self) -> u64 {
        self.file.file_size()
    }

    /// A dataset, found by its path; `None` if it is not there.
    pub(crate) fn array(&self, path: &str) -> Result<Option<Array<'_>>, Error> {
        match self.file.dataset(path) {
            Ok(dataset) => Array::new(self, path.to_owned(), dataset).map(Some),
            Err(source) if absent(&source) => Ok(None),
            Err(source) => Err(self.error(path, source)),
        }
    }

    /// A group, found by its path; `None` if it is not there.
    pub(crate) fn folder(&self, path: &str) -> Result<Option<Folder<'_>>, Error> {
        match self.file.group(path) {
            Ok(group) => Ok(Some(Folder { archive: self, path: path.to_owned(), group })),
            Err(source) if absent(&source) => Ok(None),
            Err(source) => Err(self.error(path, source)),
        }
    }

    /// Something in the file that the reader cannot read.
    fn error(&self, object: &str, source: hdf5_pure::Error) -> Error {
        if let hdf5_pure::Error::Format(FormatError::InvalidLayoutVersion(version)) = source {
            return Error::Field {
                file: self.path.clone(),
                field: format!("`{object}`"),
                found: format!("layout version {version}"),
                expected: "up to 4, which HDF5 1.8 to 1.14 write".into(),
                mend: "write the file again with h5py's default `libver`, or `h5repack --high=3 in.hdf5 out.hdf5`",
            };
        }
        error(&self.path, &format!("`{object}`"), source)
    }

    /// Something in the file that cannot be right.
    pub(crate) fn field(&self, field: &str, found: impl ToString, expected: impl ToString) -> Error {
        Error::Field {
            file: self.path.clone(),
            field: field.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
            mend: "copy the file again from the data set's source, or write it again",
        }
    }
}

fn error(file: &Path, object: &str, source: hdf5_pure::Error) -> Error {
    Error::Hdf5 { file: file.to_owned(), object: object.to_owned(), source: Box::new(source) }
}

/// Whether nothing has that name, which is not the same as damage.
fn absent(error: &hdf5_pure::Error) -> bool {
    matches!(error, hdf5_pure::Error::Format(FormatError::PathNotFound(_)))
}
