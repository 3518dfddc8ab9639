//! The head of a safetensors file: where its tensors lie.

use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::{Error, regular};

/// Largest head that is read: 64 MiB, for some 600,000 tensors.
pub(crate) const LARGEST: u64 = 64 << 20;

const MEND: &str = "the file is damaged or was exchanged; restore it, or write the shards again";

/// A checked head.
pub(crate) struct Header {
    file: PathBuf,
    /// Where the tensors begin.
    data: u64,
    tensors: Metadata,
}

impl Header {
    /// Reads the head of `file`, which must have `bytes` bytes.
    pub(crate) fn read(file: &Path, bytes: u64) -> Result<Self, Error> {
        if !file.is_file() {
            let mend = "the folder is incomplete: copy it again";
            return Err(Error::MissingFile { file: file.to_owned(), expected: "a shard", mend });
        }
        let failed = |source| Error::Read { file: file.to_owned(), source };
        let mut source = regular::open(file).map_err(failed)?;
        let size = source.metadata().map_err(failed)?.len();
        if size != bytes || size < 8 {
            return Err(error(file, "size", format!("{size} bytes"), format!("{bytes} bytes")));
        }
        let mut length = [0; 8];
        source.read_exact(&mut length).map_err(failed)?;
        let length = u64::from_le_bytes(length);
        let most = LARGEST.min(size - 8);
        if length > most {
            return Err(error(file, "length of the header", length.to_string(), format!("at most {most}")));
        }
        let mut head = vec![0; length as usize];
        source.read_exact(&mut head).map_err(failed)?;
        let read: Result<Metadata, _> = serde_json::from_slice(&head);
        let wrong = |found: String| error(file, "header", found, "tensors one after the other".into());
        let tensors = read.map_err(|source| wrong(source.to_string()))?;
        let data = 8 + length;
        if tensors.data_len() as u64 != size - data {
            let found = format!("tensors of {} bytes", tensors.data_len());
            return Err(error(file, "header", found, format!("{} bytes", size - data)));
        }
        Ok(Self { file: file.to_owned(), data, tensors })
    }

    /// Where the tensors begin in the file, and what is said of them.
    pub(crate) fn parts(&self) -> (u64, &Metadata) {
        (self.data, &self.tensors)
    }

    /// Where a tensor begins in the file, and its shape. `fits` says whether the shape is right.
    pub(super) fn tensor(
        &self,
        name: &str,
        dtype: Dtype,
        expected: &str,
        fits: impl Fn(&[usize]) -> bool,
    ) -> Result<(u64, &[usize]), Error> {
        let found = self.tensors.info(name);
        match found {
            Some(info) if info.dtype == dtype && fits(&info.shape) => {
                Ok((self.data + info.data_offsets.0 as u64, &info.shape))
            }
            other => {
                let found = other.map_or("none".into(), |info| format!("{:?} {:?}", info.dtype, info.shape));
                let expected = format!("{dtype:?} {expected}");
                Err(error(&self.file, &format!("tensor `{name}`"), found, expected))
            }
        }
    }
}

/// What is wrong with a shard.
pub(crate) fn error(file: &Path, field: &str, found: String, expected: String) -> Error {
    Error::Field { file: file.to_owned(), field: field.to_owned(), found, expected, mend: MEND }
}
