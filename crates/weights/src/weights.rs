//! An open checkpoint: names, dtypes and shapes at hand, numbers on demand.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use cola_nn::Extent;
use safetensors::Dtype;

use crate::index::Index;
use crate::nearest::nearest;
use crate::{Error, Result, header, numbers};

/// Published names of a whole checkpoint and of an index, the usual ones first.
pub(crate) const WHOLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(crate) const INDEX_ENDING: &str = ".safetensors.index.json";

/// Endings of files that may be pickles.
const PICKLES: [&str; 6] = [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"];

/// An open checkpoint. Opening reads headers only; [`Weights::read`] reads one tensor.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_weights::Weights;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # let tensor = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// # cola_weights::save(folder, [("a.weight".to_string(), tensor)], &serde_json::json!({}), u64::MAX)?;
/// let weights = Weights::open(folder)?;
/// for tensor in weights.tensors() {
///     println!("{} {} {:?} in {}", tensor.name, tensor.dtype, tensor.shape, tensor.file.display());
/// }
/// assert_eq!(weights.read("a.weight")?.to_vec2::<f32>()?, [[1.0, 2.0], [3.0, 4.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Weights {
    path: PathBuf,
    files: Vec<Shard>,
    tensors: BTreeMap<String, (usize, Extent)>,
}

/// A file that is kept open, so that one put in its place meanwhile is not mistaken for it.
struct Shard {
    path: PathBuf,
    file: Mutex<File>,
    metadata: BTreeMap<String, String>,
}

/// What a checkpoint says of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dtype in the file.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its bytes in the file.
    pub bytes: u64,
    /// The file.
    pub file: &'a Path,
}

impl Stored<'_> {
    /// How many numbers it holds.
    pub fn parameters(&self) -> usize {
        // The product was checked when the file was opened.
        self.shape.iter().product()
    }
}

impl Weights {
    /// Opens a safetensors file, an index of shards, or a folder: the one of `model.safetensors`,
    /// `model.safetensors.index.json` with its shards, another index, and a single other `*.safetensors` that comes first.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Pickle`] and [`Error::NoWeights`] for what is no checkpoint; [`Error::Format`] and
    /// [`Error::Index`] for one that is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let kind = fs::metadata(path).map_err(Error::io(path, "opening"))?;
        let file = if kind.is_dir() { in_folder(path)? } else { path.to_path_buf() };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_pickle(&name) {
            return Err(Error::Pickle { origin: file.display().to_string(), name });
        }
        let mut weights = Self { path: path.to_path_buf(), files: Vec::new(), tensors: BTreeMap::new() };
        if name.ends_with(".json") {
            weights.add_shards(&file)?;
        } else {
            weights.add(&file)?;
        }
        Ok(weights)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let mut file = File::open(path).map_err(Error::io(path, "opening"))?;
        let header = header::read(&mut file, path)?;
        let shard = self.files.len();
        self.tensors.extend(header.tensors.into_iter().map(|(name, extent)| (name, (shard, extent))));
        self.files.push(Shard {
            path: path.to_path_buf(),
            file: Mutex::new(file),
            metadata: header.metadata,
        });
        Ok(())
    }

    fn add_shards(&mut self, file: &Path) -> Result<()> {
        let wrong = |reason: String| Error::Index { file: file.to_path_buf(), reason };
        for (shard, names) in Index::read(file)?.shards() {
            let path = file.with_file_name(shard);
            if !path.is_file() {
                return Err(wrong(format!(
                    "the shard {shard} is not beside it, expected it for {} tensors such as `{}`",
                    names.len(),
                    names[0]
                )));
            }
            self.add(&path)?;
            let number = self.files.len() - 1;
            if let Some(name) =
                names.iter().find(|name| self.tensors.get(**name).is_none_or(|(file, _)| *file != number))
            {
                return Err(wrong(format!("`{name}` is not in {shard}, where `weight_map` puts it")));
            }
            // All names of the index are in this shard; any more are in no index, or were in another shard.
            if self.len_of(number) != names.len() {
                let extra = self.tensors.iter().find(|(name, (file, _))| {
                    *file == number && names.binary_search(&name.as_str()).is_err()
                });
                return Err(wrong(format!(
                    "{shard} also holds `{}`, which `weight_map` does not put there",
                    extra.map_or("?", |(name, _)| name)
                )));
            }
        }
        Ok(())
    }

    fn len_of(&self, shard: usize) -> usize {
        self.tensors.values().filter(|(file, _)| *file == shard).count()
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files, in the order of their names.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|shard| shard.path.as_path())
    }

    /// The free text of all files; a later shard's counts where two say something of the same.
    pub fn metadata(&self) -> BTreeMap<&str, &str> {
        let texts = self.files.iter().flat_map(|shard| &shard.metadata);
        texts.map(|(key, text)| (key.as_str(), text.as_str())).collect()
    }

    /// What is known of each tensor, in the order of the names.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Stored<'_>> {
        self.tensors.iter().map(|(name, place)| self.stored(name, place))
    }

    /// What is known of one tensor.
    pub fn get(&self, name: &str) -> Option<Stored<'_>> {
        self.tensors.get_key_value(name).map(|(name, place)| self.stored(name, place))
    }

    fn stored<'a>(&'a self, name: &'a str, (shard, extent): &'a (usize, Extent)) -> Stored<'a> {
        Stored {
            name,
            dtype: extent.dtype,
            shape: &extent.shape,
            bytes: extent.bytes,
            file: &self.files[*shard].path,
        }
    }

    /// Reads one tensor to the CPU, in its stored dtype (truth values as U8) and shape; no other byte is read.
    ///
    /// # Errors
    /// [`Error::NoTensor`]; [`Error::Tensor`] for a dtype that candle does not compute with; [`Error::Io`].
    pub fn read(&self, name: &str) -> Result<Tensor> {
        let Some((shard, extent)) = self.tensors.get(name) else {
            let nearest = nearest(name, self.tensors.keys().map(String::as_str)).map(str::to_string);
            return Err(Error::NoTensor { path: self.path.clone(), name: name.to_string(), nearest });
        };
        let shard = &self.files[*shard];
        let Some(dtype) = numbers::candle_dtype(extent.dtype) else {
            return Err(Error::Tensor {
                file: shard.path.clone(),
                name: name.to_string(),
                found: format!("{} {:?}", extent.dtype, extent.shape),
                expected: "BOOL, U8, U32, I16, I32, I64, BF16, F16, F32 or F64".into(),
            });
        };
        // A panic elsewhere cannot leave a position that matters: each read seeks first.
        let mut file = shard.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(extent.begin)).map_err(Error::io(&shard.path, "reading"))?;
        numbers::read(&mut *file, dtype, &extent.shape).map_err(|error| match error {
            candle_core::Error::Io(error) => Error::io(&shard.path, "reading")(error),
            other => other.into(),
        })
    }
}

/// Whether a file name looks like a pickle's.
pub(crate) fn is_pickle(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PICKLES.iter().any(|ending| name.ends_with(ending))
}

/// Reads a small text file, of at most `most` bytes.
pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path, "opening"))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(Error::io(path, "reading"))?;
    if bytes.len() as u64 > most {
        return Err(Error::Format {
            file: path.to_path_buf(),
            field: "the file's length".into(),
            found: format!("more than {most} bytes"),
            expected: "a small text file".into(),
        });
    }
    Ok(bytes)
}

/// The file of a folder that makes its checkpoint.
fn in_folder(folder: &Path) -> Result<PathBuf> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "listing"))? {
        names.push(entry.map_err(Error::io(folder, "listing"))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    match choose(names.iter().map(String::as_str)) {
        Choice::Open(name) => Ok(folder.join(name)),
        Choice::Pickle(name) => {
            Err(Error::Pickle { origin: folder.join(name).display().to_string(), name: name.to_string() })
        }
        Choice::None(found) => Err(Error::NoWeights { folder: folder.to_path_buf(), found }),
    }
}

/// `...-00001-of-00003.safetensors`.
fn is_shard(name: &str) -> bool {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let place = name.strip_suffix(".safetensors").and_then(|stem| stem.rsplit_once("-of-"));
    place.is_some_and(|(before, count)| {
        number(count) && before.rsplit_once('-').is_some_and(|(_, index)| number(index))
    })
}

/// What a list of file names offers.
pub(crate) enum Choice<'a> {
    /// The file to open.
    Open(&'a str),
    /// Nothing but pickles, of which this is the first.
    Pickle(&'a str),
    /// Nothing or too much, in words.
    None(String),
}

/// Chooses among the file names of one folder; here and on the hub the same.
pub(crate) fn choose<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Choice<'a> {
    if let Some(name) = [WHOLE, INDEX].iter().find_map(|usual| names.clone().find(|name| name == usual)) {
        return Choice::Open(name);
    }
    for ending in [INDEX_ENDING, ".safetensors"] {
        let found: Vec<&str> = names.clone().filter(|name| name.ends_with(ending)).collect();
        match found[..] {
            [] => {}
            // What is left of a save or a download that was killed: a part is no whole.
            [name] if is_shard(name) => {
                return Choice::None(format!("a shard, {name}, without its index"));
            }
            [name] => return Choice::Open(name),
            [first, second, ..] => {
                return Choice::None(format!("{} of *{ending} ({first}, {second}, ...)", found.len()));
            }
        }
    }
    match names.clone().find(|name| is_pickle(name)) {
        Some(name) => Choice::Pickle(name),
        None => Choice::None("no weights".into()),
    }
}
