//! The bytes of a file as the HDF5 reader gets them: counted, so that a file that leads in circles comes to an end.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hdf5_pure::{FormatError, ReadSeekSource, Source};

use crate::{Error, regular};

/// Bytes that may be read beside twice the file's length. What the reader keeps of its tables is about three times
/// what it reads of them.
const ALLOWANCE: u64 = 16 << 20;

/// What a read costs at least, so that many small ones are bounded as well.
const COST: u64 = 64;

/// Longest piece of metadata. A datatype nested in itself takes 8 bytes a level and the reader recurses through it
/// (hdf5-pure 0.47, `Datatype::parse` has no limit): this and [`super::STACK`] keep it from overflowing the stack.
const LONGEST: usize = 512 << 10;

/// A file that can be read only so much.
pub(super) struct Metered {
    inner: ReadSeekSource<File>,
    left: AtomicU64,
    /// Whether the last piece was the head of a group's names, which the names themselves follow.
    names_follow: AtomicBool,
    /// The longest name of the group, bytes.
    longest_name: AtomicU64,
}

impl Metered {
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { file: file.to_owned(), source };
        let handle = regular::open(file).map_err(read)?;
        let inner = ReadSeekSource::new(handle).map_err(|source| read(std::io::Error::other(source)))?;
        let left = AtomicU64::new(ALLOWANCE.saturating_add(inner.len().saturating_mul(2)));
        Ok(Self { inner, left, names_follow: AtomicBool::new(false), longest_name: AtomicU64::new(0) })
    }

    fn pay(&self, bytes: u64) -> Result<(), FormatError> {
        let cost = COST.max(bytes);
        let pay = |left: u64| left.checked_sub(cost);
        let paid = self.left.fetch_update(Relaxed, Relaxed, pay);
        let tired = "the file leads in circles: more than twice its length was read";
        paid.map(drop).map_err(|_| FormatError::Source(tired.into()))
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.pay(bytes.len() as u64)?;
        self.inner.read_at(offset, bytes)
    }

    fn read_metadata_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, FormatError> {
        if length > LONGEST {
            let found = format!("{length} bytes of metadata at offset {offset}, more than {LONGEST}");
            return Err(FormatError::Source(found));
        }
        let bytes = self.read_exact_at(offset, length)?;
        // Groups of the old kind: a node of entries, each with the place of its name among all names of the group. The
        // reader makes a copy for each entry, so a node that repeats one long name must pay for all of them.
        if self.names_follow.swap(bytes.starts_with(b"HEAP"), Relaxed) {
            let longest = bytes.split(|&byte| byte == 0).map(<[u8]>::len).max();
            self.longest_name.store(longest.unwrap_or(0) as u64, Relaxed);
        }
        if let [b'S', b'N', b'O', b'D', _, _, low, high, ..] = *bytes.as_slice() {
            let entries = u64::from(u16::from_le_bytes([low, high]));
            self.pay(entries * self.longest_name.load(Relaxed))?;
        }
        Ok(bytes)
    }
}
