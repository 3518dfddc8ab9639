//! Latents of clips on the disk, so that a frozen codec sees each of them once.

mod report;
mod shard;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor};

pub use self::report::{CacheReport, CacheState};

use self::shard::{Entry, Place};
use crate::loader::ClipKey;
use crate::{Error, regular};

/// Held by the process that writes; its presence says that the folder is a cache.
const LOCK: &str = "latent-cache.lock";
/// Largest file unless told otherwise, bytes.
const SHARD: u64 = 64 << 20;

/// Bounds of a [`LatentCache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes of all files together, at most.
    pub bytes: u64,
    /// Bytes of latents that are kept in memory before they become a file. A process that is killed loses them.
    pub shard: u64,
}

impl CacheOptions {
    /// Files of 64 MiB, smaller ones in a small cache.
    pub fn within(bytes: u64) -> Self {
        Self { bytes, shard: SHARD.min(bytes / 16) }
    }
}

/// A folder of latents `(C, T, h, w)`, f32, under the [keys](ClipKey) of the clips that they were made of.
///
/// A key stands for the pixels and the codec, so an entry can be missing but never out of date: another data set, region,
/// crop, size or codec asks for other keys, and may share the folder. Files are written once, aside and renamed, and never
/// changed. Each entry has a CRC-32C, which is verified whenever it is read; what is damaged is dropped, counted and told,
/// and can be put in anew.
///
/// Once the size is reached nothing more is taken in, and nothing is thrown out: training passes through all clips before
/// it meets one again, so the oldest entry is the one that is wanted next.
///
/// One process at a time writes to a folder; a second one reads what was there when it opened it. Trouble with the disk
/// ends the writing, not the training: see [`CacheReport`].
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_data::{CacheOptions, ClipKey, Frames, LatentCache};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = &folder.path().join("latents");
/// let cache = LatentCache::open(folder, "vae-0123456789abcdef", CacheOptions::within(1 << 30))?;
/// let view = Frames { count: 1, height: 8, width: 8, rgb: vec![0; 192] };
/// let key = ClipKey::of(&view);
/// assert!(cache.get(&key, [4, 1, 1, 1])?.is_none());
/// cache.insert(&key, &Tensor::zeros((4, 1, 1, 1), DType::F32, &Device::Cpu)?)?;
/// assert!(cache.get(&key, [4, 1, 1, 1])?.is_some());
/// # Ok(())
/// # }
/// ```
pub struct LatentCache {
    folder: PathBuf,
    codec: String,
    options: CacheOptions,
    /// While it is open, no other process writes.
    _lock: Option<File>,
    kept: Mutex<Kept>,
}

/// What is there.
#[derive(Default)]
struct Kept {
    /// File and place in it.
    stored: HashMap<ClipKey, (u32, Place)>,
    /// Size of each file.
    files: BTreeMap<u32, u64>,
    /// Not yet in a file.
    waiting: HashMap<ClipKey, Entry>,
    /// Their bytes.
    waiting_bytes: u64,
    report: CacheReport,
}

impl Kept {
    /// Bytes on the disk once `entries` more with `data` bytes are written with what waits.
    fn bytes_with(&self, entries: usize, data: u64) -> u64 {
        let count = self.waiting.len() + entries;
        let soon = if count == 0 { 0 } else { shard::room(count, self.waiting_bytes.saturating_add(data)) };
        self.files.values().fold(soon, |sum, bytes| sum.saturating_add(*bytes))
    }
}

impl LatentCache {
    /// Opens a folder, or begins one, for the latents of one codec. `codec` names it with all that decides its bits: its
    /// weights, how clips are cut for it, the kind of device. Reads the heads of the files, no latents. Files that are
    /// damaged are removed.
    ///
    /// # Errors
    /// A folder that holds something else, or that can neither be made nor read.
    pub fn open(folder: &Path, codec: &str, options: CacheOptions) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|source| Error::Write { file: folder.to_owned(), source })?;
        let names = names(folder)?;
        let other = names.iter().find(|name| !name.starts_with('.'));
        if let Some(other) = other.filter(|_| !names.iter().any(|name| name == LOCK)) {
            return Err(Error::setting(
                "latents.cache",
                format!("{}, which holds `{other}`", folder.display()),
                "an empty folder, or one that a latents cache began",
            ));
        }
        let mut kept = Kept::default();
        kept.report.limit = options.bytes;
        let lock = match lock(&folder.join(LOCK)) {
            Ok(lock) => Some(lock),
            Err(why) => {
                kept.report.state = CacheState::ReadOnly;
                kept.report.trouble(format!("{}: {why}; nothing is added to it", folder.display()));
                None
            }
        };
        for name in &names {
            let file = folder.join(name);
            if lock.is_some() && is_partial(name) {
                // Left by a process that was killed; if it cannot be removed, it takes up room and nothing else.
                let _ = fs::remove_file(&file);
            }
            let Some(number) = number_of(name) else { continue };
            match shard::places(&file) {
                Ok((bytes, places)) => {
                    kept.files.insert(number, bytes);
                    // In the order of the names: what was put in anew replaces what was damaged.
                    kept.stored.extend(places.into_iter().map(|(key, place)| (key, (number, place))));
                }
                Err(error) => {
                    kept.report.damage(format!("{error}; its latents are made again"));
                    let removed = lock.is_some() && fs::remove_file(&file).is_ok();
                    if !removed {
                        let bytes = fs::metadata(&file).map_or(0, |found| found.len());
                        kept.files.insert(number, bytes);
                    }
                }
            }
        }
        let (folder, codec) = (folder.to_owned(), codec.to_owned());
        Ok(Self { folder, codec, options, _lock: lock, kept: Mutex::new(kept) })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latents of a clip, on the CPU; `None` if they are not there, damaged, or of another shape.
    ///
    /// # Errors
    /// No tensor can be made of them; nothing of the disk's.
    pub fn get(&self, key: &ClipKey, shape: [usize; 4]) -> Result<Option<Tensor>, Error> {
        let key = key.under(&self.codec);
        let mut kept = self.lock();
        let data = match (kept.waiting.get(&key), kept.stored.get(&key)) {
            (Some(entry), _) if entry.shape == shape => Some(floats(&entry.data)),
            (None, Some(&(number, place))) if place.shape == shape => {
                let file = self.folder.join(name_of(number));
                let why = match shard::read(&file, &key, &place) {
                    Ok(Some(data)) => Ok(floats(&data)),
                    Ok(None) => Err("the checksum is another one".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                why.map_err(|why| {
                    kept.stored.remove(&key);
                    let file = file.display();
                    kept.report.damage(format!("{file}: latents {key}: {why}; they are made again"));
                })
                .ok()
            }
            _ => None,
        };
        match data {
            Some(data) => {
                kept.report.hits += 1;
                Ok(Some(Tensor::from_vec(data, &shape[..], &Device::Cpu)?))
            }
            None => {
                kept.report.misses += 1;
                Ok(None)
            }
        }
    }

    /// Takes in the latents `(C, T, h, w)` of a clip, f32, from any device; not those that are there already, and nothing
    /// while the cache is [full](CacheState).
    ///
    /// # Errors
    /// Latents of another rank or type, the device's; nothing of the disk's.
    pub fn insert(&self, key: &ClipKey, latents: &Tensor) -> Result<(), Error> {
        let key = key.under(&self.codec);
        let mut kept = self.lock();
        let there = kept.stored.contains_key(&key) || kept.waiting.contains_key(&key);
        if there || kept.report.state != CacheState::Filling {
            return Ok(());
        }
        let (channels, frames, height, width) = latents.dims4()?;
        if latents.dtype() != DType::F32 {
            return Err(Error::setting("dtype of latents", format!("{:?}", latents.dtype()), "F32"));
        }
        let values = latents.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = data.len() as u64;
        if kept.bytes_with(1, bytes) > self.options.bytes {
            self.write(&mut kept);
            kept.report.state = CacheState::Full;
            return Ok(());
        }
        kept.waiting.insert(key, Entry { shape: [channels, frames, height, width], data });
        kept.waiting_bytes += bytes;
        kept.report.added += 1;
        if kept.waiting_bytes >= self.options.shard {
            self.write(&mut kept);
        }
        Ok(())
    }

    /// Brings what waits in memory to the disk; dropping the cache does it too.
    pub fn flush(&self) {
        self.write(&mut self.lock());
    }

    /// Everything since the last call, and the state now. Writes what waits, so that it tells of files.
    pub fn take_report(&self) -> CacheReport {
        let mut kept = self.lock();
        self.write(&mut kept);
        let (entries, bytes) = (kept.stored.len() + kept.waiting.len(), kept.bytes_with(0, 0));
        let (limit, state) = (kept.report.limit, kept.report.state);
        let fresh = CacheReport { limit, state, ..CacheReport::default() };
        CacheReport { entries, bytes, ..std::mem::replace(&mut kept.report, fresh) }
    }

    /// One more file, of all that waits.
    fn write(&self, kept: &mut Kept) {
        if kept.waiting.is_empty() {
            return;
        }
        let entries: Vec<(ClipKey, Entry)> = kept.waiting.drain().collect();
        kept.waiting_bytes = 0;
        let next = kept.files.last_key_value().map_or(Some(0), |(number, _)| number.checked_add(1));
        let written = match next {
            Some(number) => shard::write(&self.folder.join(name_of(number)), &entries)
                .map(|written| (number, written))
                .map_err(|error| error.to_string()),
            None => Err("no number is left for another file".into()),
        };
        match written {
            Ok((number, (bytes, places))) => {
                kept.files.insert(number, bytes);
                kept.stored.extend(places.into_iter().map(|(key, place)| (key, (number, place))));
            }
            Err(why) => {
                kept.report.state = CacheState::ReadOnly;
                kept.report.trouble(format!(
                    "{}: cannot be written: {why}; nothing more is added",
                    self.folder.display()
                ));
            }
        }
    }
}

impl Drop for LatentCache {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The right to write, or why there is none.
fn lock(file: &Path) -> Result<File, String> {
    if regular::is_other(file) {
        return Err(format!("{LOCK} is not a plain file"));
    }
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(file);
    let opened = opened.map_err(|error| format!("{LOCK} cannot be written: {error}"))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err("another process writes to this cache".into()),
        Err(TryLockError::Error(error)) => Err(format!("{LOCK} cannot be locked: {error}")),
    }
}

/// Names in a folder, in order; those that are no text are nobody's here.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { file: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn name_of(number: u32) -> String {
    format!("cache-{number:08}.safetensors")
}

/// The number of a file of the cache.
fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("cache-")?.strip_suffix(".safetensors")?;
    digits.parse().ok().filter(|number| name_of(*number) == name)
}

/// Whether it is a file that was being written.
fn is_partial(name: &str) -> bool {
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
    whole.is_some_and(|name| number_of(name).is_some())
}

fn floats(data: &[u8]) -> Vec<f32> {
    data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
