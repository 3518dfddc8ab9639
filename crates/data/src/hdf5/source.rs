//! The bytes of a file as the HDF5 reader gets them: counted, so that a file that leads in circles comes to an end.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{FormatError, ReadSeekSource, Source};

use crate::Error;

/// Bytes that may be read beside twice the file's length. What the reader keeps of its tables is about three times
/// what it reads of them.
const ALLOWANCE: u64 = 32 << 20;

/// What a read costs at least, so that many small ones are bounded as well.
const COST: u64 = 512;

/// Longest piece of metadata. A datatype nested in itself takes 8 bytes a level and the reader recurses through it
/// (hdf5-pure 0.47, `Datatype::parse` has no limit): this and [`super::STACK`] keep it from overflowing the stack.
const LONGEST: usize = 512 << 10;

/// A file that can be read only so much.
pub(super) struct Metered {
    inner: ReadSeekSource<File>,
    left: AtomicU64,
}

impl Metered {
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { file: file.to_owned(), source };
        let handle = File::open(file).map_err(read)?;
        let inner = ReadSeekSource::new(handle).map_err(|source| read(std::io::Error::other(source)))?;
        let left = AtomicU64::new(ALLOWANCE.saturating_add(inner.len().saturating_mul(2)));
        Ok(Self { inner, left })
    }

    fn pay(&self, bytes: usize) -> Result<(), FormatError> {
        let cost = COST.max(bytes as u64);
        let pay = |left: u64| left.checked_sub(cost);
        let paid = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        let tired = "the file leads in circles: more than twice its length was read";
        paid.map(drop).map_err(|_| FormatError::Source(tired.into()))
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.pay(bytes.len())?;
        self.inner.read_at(offset, bytes)
    }

    fn read_metadata_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, FormatError> {
        if length > LONGEST {
            let found = format!("{length} bytes of metadata at offset {offset}, more than {LONGEST}");
            return Err(FormatError::Source(found));
        }
        self.read_exact_at(offset, length)
    }
}
