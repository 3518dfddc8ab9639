//! One file of the cache: some latents as safetensors, each with a checksum in the file's metadata.

use std::collections::HashMap;
use std::io::{Read, Result as IoResult, Seek, SeekFrom, Write};
use std::path::Path;

use cola_files::AtomicFile;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::loader::ClipKey;
use crate::shards::header::{self, Header};
use crate::{Error, regular};

const FORMAT: (&str, &str) = ("format", "cola-latent-cache 1");

/// Most that the header takes beside the entries, and for each of them: its name twice, its shape, its place.
const HEAD: u64 = 128;
const HEAD_OF_ENTRY: u64 = 320;

/// Latents on their way to a file.
pub(super) struct Entry {
    pub(super) shape: [usize; 4],
    /// f32, little-endian.
    pub(super) data: Vec<u8>,
}

/// Where latents lie in a file.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) shape: [usize; 4],
    begin: u64,
    bytes: usize,
    checksum: u32,
}

/// Most bytes that a file takes up with entries of `data` bytes in all.
pub(super) fn room(entries: usize, data: u64) -> u64 {
    HEAD.saturating_add(data).saturating_add(HEAD_OF_ENTRY.saturating_mul(entries as u64))
}

/// Of everything that a reader relies on.
fn checksum(key: &ClipKey, shape: &[usize; 4], data: &[u8]) -> u32 {
    let mut sum = crc32c::crc32c(key.bytes());
    for side in shape {
        sum = crc32c::crc32c_append(sum, &(*side as u64).to_le_bytes());
    }
    crc32c::crc32c_append(sum, data)
}

/// Writes a file, complete or not at all; returns its size and where everything lies in it.
pub(super) fn write(file: &Path, entries: &[(ClipKey, Entry)]) -> IoResult<(u64, Vec<(ClipKey, Place)>)> {
    let mut sums = HashMap::from([(FORMAT.0.to_owned(), FORMAT.1.to_owned())]);
    let (mut infos, mut places, mut end) = (Vec::new(), Vec::new(), 0);
    for (key, Entry { shape, data }) in entries {
        let checksum = checksum(key, shape, data);
        sums.insert(key.to_string(), format!("{checksum:08x}"));
        let data_offsets = (end, end + data.len());
        infos.push((key.to_string(), TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), data_offsets }));
        places.push((*key, Place { shape: *shape, begin: end as u64, bytes: data.len(), checksum }));
        end += data.len();
    }
    let metadata = Metadata::new(Some(sums), infos).map_err(std::io::Error::other)?;
    let mut head = serde_json::to_vec(&metadata)?;
    head.resize(head.len().next_multiple_of(8), b' ');
    let start = 8 + head.len() as u64;
    let mut to = AtomicFile::create(file)?;
    to.write_all(&(head.len() as u64).to_le_bytes())?;
    to.write_all(&head)?;
    entries.iter().try_for_each(|(_, entry)| to.write_all(&entry.data))?;
    to.commit()?;
    places.iter_mut().for_each(|(_, place)| place.begin += start);
    Ok((start + end as u64, places))
}

/// What a file holds, from its header alone, and its size. An entry without a checksum is left out.
///
/// # Errors
/// A file that is not one of the cache's, or a header that contradicts it.
pub(super) fn places(file: &Path) -> Result<(u64, Vec<(ClipKey, Place)>), Error> {
    let failed = |source| Error::Read { file: file.to_owned(), source };
    let size = std::fs::metadata(file).map_err(failed)?.len();
    let header = Header::read(file, size)?;
    let (start, metadata) = header.parts();
    let sums = metadata.metadata().as_ref();
    let format = sums.and_then(|sums| sums.get(FORMAT.0)).map_or("none", String::as_str);
    if format != FORMAT.1 {
        return Err(header::error(file, FORMAT.0, format.to_owned(), FORMAT.1.to_owned()));
    }
    let place = |(name, info): (String, &TensorInfo)| {
        let key = ClipKey::parse(&name)?;
        let checksum = u32::from_str_radix(sums?.get(&name)?, 16).ok()?;
        let shape = <[usize; 4]>::try_from(info.shape.as_slice()).ok()?;
        let (begin, end) = info.data_offsets;
        let place = Place { shape, begin: start + begin as u64, bytes: end.checked_sub(begin)?, checksum };
        (info.dtype == Dtype::F32).then_some((key, place))
    };
    Ok((size, metadata.tensors().into_iter().filter_map(place).collect()))
}

/// The bytes of an entry; `None` if they are not what was written.
pub(super) fn read(file: &Path, key: &ClipKey, place: &Place) -> IoResult<Option<Vec<u8>>> {
    let mut from = regular::open(file)?;
    from.seek(SeekFrom::Start(place.begin))?;
    let mut data = vec![0; place.bytes];
    from.read_exact(&mut data)?;
    Ok((checksum(key, &place.shape, &data) == place.checksum).then_some(data))
}
