//! Episodes into shards.

use std::collections::BTreeMap;
use std::io::{Result as IoResult, Write};
use std::path::{Path, PathBuf};

use cola_files::AtomicFile;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::index::{CameraEntry, EpisodeEntry, FILE, FRAMES, Index, ShardEntry, VERSION, shard_name};
use super::tensor_name;
use crate::{Camera, Error, Frames, Rows};

/// What the episodes of a folder have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardLayout {
    /// All cameras in alphabetical order, at least one; none is called `actions`, `states` or `times`.
    pub cameras: Vec<Camera>,
    /// Numbers in an action; 0 if there are no actions.
    pub action_dim: usize,
    /// Numbers in a state; 0 if there are no states.
    pub state_dim: usize,
    /// Bytes after which a shard is written. A longer episode has a shard of its own.
    pub shard_bytes: usize,
}

impl ShardLayout {
    /// Bytes of a shard unless something else is asked for.
    pub const SHARD_BYTES: usize = 256 << 20;
}

/// One recording, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeData {
    /// What a person finds it by.
    pub name: String,
    /// Frames per second, if it is known.
    pub rate: Option<f64>,
    /// What the robot was told, or what is seen.
    pub texts: Vec<String>,
    /// One row for each frame.
    pub rows: Rows,
    /// Camera -> its pictures, in the order of [`ShardLayout::cameras`].
    pub pictures: Vec<(String, Frames)>,
}

/// Writes episodes as safetensors shards that [`Shards`](crate::Shards) reads, and so does Python's `safetensors`.
///
/// Tensors of episode 12: `episode.000012.<camera>` U8 `(T, H, W, 3)`, `episode.000012.times` F64 `(T,)`,
/// `episode.000012.actions` F32 `(T, A)`, `episode.000012.states` F32 `(T, S)`, the last two if there are any.
///
/// Each shard is written aside, synced and renamed; `shards.json` comes last. A folder without it is unfinished, and
/// writing into it again takes over its shards. In memory is at most one shard and one episode.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use cola_data::{Camera, Dataset, EpisodeData, Frames, Rows, ShardLayout, ShardWriter, Shards};
///
/// # let folder = std::env::temp_dir().join(format!("cola-shards-{}", std::process::id()));
/// let camera = Camera { key: "top".into(), size: Some((4, 6)) };
/// let shard_bytes = ShardLayout::SHARD_BYTES;
/// let layout = ShardLayout { cameras: vec![camera], action_dim: 1, state_dim: 0, shard_bytes };
/// let mut writer = ShardWriter::create(&folder, &layout)?;
/// let rows = Rows { times: vec![0.0, 0.5], actions: vec![0.1, 0.2], action_dim: 1, ..Rows::default() };
/// let frames = Frames { count: 2, height: 4, width: 6, rgb: vec![128; 2 * 4 * 6 * 3] };
/// let pictures = vec![("top".into(), frames)];
/// writer.push(EpisodeData { name: "first".into(), rate: Some(2.0), texts: vec![], rows, pictures })?;
/// writer.finish(&BTreeMap::from([("train".to_owned(), vec![0])]))?;
///
/// let shards = Shards::open(&folder)?;
/// assert_eq!(shards.episodes()[0].frames, 2);
/// shards.verify()?;
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), cola_data::Error>(())
/// ```
pub struct ShardWriter {
    root: PathBuf,
    layout: ShardLayout,
    index: Index,
    /// Episodes of the shard to come, with their numbers.
    pending: Vec<(usize, EpisodeData)>,
    bytes: usize,
}

impl ShardWriter {
    /// Begins a set of shards in the folder `root`, which is made if it is not there.
    ///
    /// # Errors
    /// A layout that makes no sense; a folder that holds a finished set, or anything but the shards of an unfinished one,
    /// or cannot be written to.
    pub fn create(root: &Path, layout: &ShardLayout) -> Result<Self, Error> {
        let camera = |camera: &Camera| CameraEntry { key: camera.key.clone(), size: camera.size };
        let index = Index {
            version: VERSION,
            action_dim: layout.action_dim,
            state_dim: layout.state_dim,
            cameras: layout.cameras.iter().map(camera).collect(),
            shards: Vec::new(),
            episodes: Vec::new(),
            splits: BTreeMap::new(),
        };
        if let Some((field, found, expected)) = index.contradiction() {
            return Err(Error::setting(field, found, expected));
        }
        let file = root.join(FILE);
        if file.exists() {
            let expected = "a folder without shards.json: a finished set is not overwritten";
            return Err(Error::setting("folder", file.display(), expected));
        }
        let failed = |source| Error::Write { file: root.to_owned(), source };
        std::fs::create_dir_all(root).map_err(failed)?;
        for entry in std::fs::read_dir(root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !name.to_str().is_some_and(unfinished) {
                let found = format!("{}, which holds {name:?}", root.display());
                let expected = "a folder that is empty, not there yet, or holds shards of an unfinished set";
                return Err(Error::setting("folder", found, expected));
            }
        }
        Ok(Self { root: root.to_owned(), layout: layout.clone(), index, pending: Vec::new(), bytes: 0 })
    }

    /// Appends an episode. Its number is that of the episodes before it.
    ///
    /// # Errors
    /// Rows or pictures that do not fit the layout or each other (nothing of the episode is kept); a disk that is full or
    /// refuses (give the writer up: what it had is lost with it).
    pub fn push(&mut self, episode: EpisodeData) -> Result<(), Error> {
        self.check(&episode)?;
        let bytes = size(&episode);
        if !self.pending.is_empty() && self.bytes.saturating_add(bytes) > self.layout.shard_bytes {
            self.write()?;
        }
        let EpisodeData { name, rate, texts, .. } = &episode;
        let (frames, shard) = (episode.rows.times.len(), self.index.shards.len());
        let number = self.index.episodes.len();
        let entry = EpisodeEntry { name: name.clone(), shard, frames, rate: *rate, texts: texts.clone() };
        self.index.episodes.push(entry);
        self.bytes += bytes;
        self.pending.push((number, episode));
        Ok(())
    }

    /// Writes what is left, then `shards.json` with these splits: name -> numbers of episodes, ascending.
    ///
    /// # Errors
    /// No episode, a split with numbers that are not there, a disk that is full or refuses.
    pub fn finish(mut self, splits: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
        if self.index.episodes.is_empty() {
            return Err(Error::setting("episodes", 0, "at least 1"));
        }
        if !self.pending.is_empty() {
            self.write()?;
        }
        self.index.splits = splits.clone();
        if let Some((field, found, expected)) = self.index.contradiction() {
            return Err(Error::setting(field, found, expected));
        }
        let file = self.root.join(FILE);
        let json = serde_json::to_vec(&self.index).map_err(std::io::Error::from);
        let written = json.and_then(|json| cola_files::write_atomically(&file, &json));
        written.map_err(|source| Error::Write { file, source })
    }

    fn check(&self, episode: &EpisodeData) -> Result<(), Error> {
        let refused = |found: String, expected: String| {
            Error::setting("episode", format!("{}: {found}", episode.name), expected)
        };
        let EpisodeData { rows, pictures, rate, .. } = episode;
        let frames = rows.times.len();
        if !(1..=FRAMES).contains(&frames) || rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            let expected = format!("1 to {FRAMES} frames, a positive rate");
            return Err(refused(format!("{frames} frames, rate {rate:?}"), expected));
        }
        let lists = [
            ("actions", rows.actions.len(), rows.action_dim, self.layout.action_dim),
            ("states", rows.states.len(), rows.state_dim, self.layout.state_dim),
        ];
        for (name, length, dim, expected) in lists {
            if dim != expected || length != frames * dim {
                return Err(refused(format!("{length} {name}, dim {dim}"), format!("{frames} x {expected}")));
            }
        }
        let keys: Vec<&String> = pictures.iter().map(|(key, _)| key).collect();
        if !keys.iter().copied().eq(self.layout.cameras.iter().map(|camera| &camera.key)) {
            let expected: Vec<&String> = self.layout.cameras.iter().map(|camera| &camera.key).collect();
            return Err(refused(format!("cameras {keys:?}"), format!("{expected:?}")));
        }
        for ((key, pictures), camera) in pictures.iter().zip(&self.layout.cameras) {
            pictures.check()?;
            let found = (pictures.height, pictures.width);
            if pictures.count != frames || camera.size.is_some_and(|size| size != found) {
                let found = format!("{} pictures of {found:?} in `{key}`", pictures.count);
                return Err(refused(found, format!("{frames} of {:?}", camera.size)));
            }
        }
        Ok(())
    }

    /// Writes the pending episodes as one shard.
    fn write(&mut self) -> Result<(), Error> {
        let name = shard_name(self.index.shards.len());
        let file = self.root.join(&name);
        let written = AtomicFile::create(&file).and_then(|target| {
            let mut target = Summed { target, bytes: 0, sum: 0 };
            write_tensors(&mut target, &self.pending)?;
            target.target.commit()?;
            Ok(ShardEntry { file: name, bytes: target.bytes, crc32c: format!("{:08x}", target.sum) })
        });
        self.index.shards.push(written.map_err(|source| Error::Write { file, source })?);
        self.pending.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Passes bytes on and counts and sums them.
struct Summed {
    target: AtomicFile,
    bytes: u64,
    sum: u32,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let written = self.target.write(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, &bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.target.flush()
    }
}

/// Whether a writer that did not end leaves a file of this name: a shard, or what [`AtomicFile`] has not renamed yet.
fn unfinished(name: &str) -> bool {
    let begun = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
    let number = |name: &str| name.strip_prefix("shard-")?.strip_suffix(".safetensors")?.parse().ok();
    begun == Some(FILE)
        || number(begun.unwrap_or(name)).is_some_and(|number| begun.unwrap_or(name) == shard_name(number))
}

/// Bytes of an episode's tensors.
fn size(episode: &EpisodeData) -> usize {
    let EpisodeData { rows, pictures, .. } = episode;
    let numbers = 8 * rows.times.len() + 4 * (rows.actions.len() + rows.states.len());
    numbers + pictures.iter().map(|(_, pictures)| pictures.rgb.len()).sum::<usize>()
}

/// The content of one tensor.
enum Content<'a> {
    Doubles(&'a [f64]),
    Floats(&'a [f32]),
    Bytes(&'a [u8]),
}

impl Content<'_> {
    /// Its type, and its length in bytes.
    fn kind(&self) -> (Dtype, usize) {
        match self {
            Self::Doubles(values) => (Dtype::F64, 8 * values.len()),
            Self::Floats(values) => (Dtype::F32, 4 * values.len()),
            Self::Bytes(values) => (Dtype::U8, values.len()),
        }
    }

    fn write(&self, to: &mut impl Write) -> IoResult<()> {
        match self {
            Self::Doubles(values) => values.iter().try_for_each(|value| to.write_all(&value.to_le_bytes())),
            Self::Floats(values) => values.iter().try_for_each(|value| to.write_all(&value.to_le_bytes())),
            Self::Bytes(values) => to.write_all(values),
        }
    }
}

/// The file of some episodes: wide types first, so that every number is aligned.
fn write_tensors(to: &mut impl Write, episodes: &[(usize, EpisodeData)]) -> IoResult<()> {
    let mut tensors = Vec::new();
    for (number, EpisodeData { rows, pictures, .. }) in episodes {
        let (frames, name) = (rows.times.len(), |part: &str| tensor_name(*number, part));
        tensors.push((name("times"), vec![frames], Content::Doubles(&rows.times)));
        for (part, values, dim) in
            [("actions", &rows.actions, rows.action_dim), ("states", &rows.states, rows.state_dim)]
        {
            if dim > 0 {
                tensors.push((name(part), vec![frames, dim], Content::Floats(values)));
            }
        }
        for (key, pictures) in pictures {
            let shape = vec![frames, pictures.height, pictures.width, 3];
            tensors.push((name(key), shape, Content::Bytes(&pictures.rgb)));
        }
    }
    // Stable: episodes stay in order within a type.
    tensors.sort_by_key(|(_, _, content)| std::cmp::Reverse(content.kind().0));
    let (mut infos, mut end) = (Vec::with_capacity(tensors.len()), 0);
    for (name, shape, content) in &tensors {
        let (dtype, bytes) = content.kind();
        let data_offsets = (end, end + bytes);
        end = data_offsets.1;
        infos.push((name.clone(), TensorInfo { dtype, shape: shape.clone(), data_offsets }));
    }
    let metadata = Metadata::new(None, infos).map_err(std::io::Error::other)?;
    let mut head = serde_json::to_vec(&metadata)?;
    head.resize(head.len().next_multiple_of(8), b' ');
    to.write_all(&(head.len() as u64).to_le_bytes())?;
    to.write_all(&head)?;
    tensors.iter().try_for_each(|(_, _, content)| content.write(to))
}
