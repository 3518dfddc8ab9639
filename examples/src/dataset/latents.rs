//! Shards of latents and the file that describes them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use cola_data::{Format, Region};
use serde::{Deserialize, Serialize};

use crate::dataset::codec::CodecMade;
use crate::output::write;

const FORMAT: &str = "cola-latents";
const VERSION: u32 = 1;
/// The file that describes the shards.
pub const FILE: &str = "latents.json";

/// What latents are made of. Latents that differ in any of this must not be mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The dataset.
    pub source: SourceMade,
    /// The codec.
    pub codec: CodecMade,
    /// What it saw.
    pub view: ViewMade,
    /// `f32` or `f16`.
    pub dtype: String,
}

/// The dataset of the latents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMade {
    /// Name of its folder or file.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// All its episodes, encoded or not.
    pub episodes: usize,
    /// The camera.
    pub camera: String,
}

/// What the codec saw of each frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewMade {
    /// Part of the frame, as fractions.
    pub region: Region,
    /// Height and width to which that was brought first; smaller pictures keep their own.
    pub store: usize,
    /// Height and width that went into the codec, pixels.
    pub side: usize,
    /// Step between two frames.
    pub stride: usize,
}

/// `latents.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    version: u32,
    made: Made,
    shards: Vec<Shard>,
}

/// A file of latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Its name, beside `latents.json`.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// CRC32C of the whole file, eight hexadecimal digits.
    pub crc32c: String,
    /// What is in it.
    pub episodes: Vec<Entry>,
}

/// Latents of an episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the episode in the dataset.
    pub episode: usize,
    /// Its name.
    pub name: String,
    /// Name of the tensor.
    pub tensor: String,
    /// Frames that went in: every `stride`-th of the episode.
    pub frames: usize,
    /// `(C, T', H', W')`.
    pub shape: Vec<usize>,
}

/// A folder of latents that is being filled.
pub struct Store {
    folder: PathBuf,
    manifest: Manifest,
    /// Size at which a shard is closed, bytes.
    limit: usize,
    open: (HashMap<String, Tensor>, Vec<Entry>, usize),
}

impl Store {
    /// Begins a folder, or goes on with one that holds a part of the same latents. Shards that are missing or damaged are
    /// forgotten, so that their episodes are made again.
    ///
    /// # Errors
    /// A folder with latents made of something else, a damaged `latents.json`.
    pub fn open(folder: &Path, made: Made, limit: usize) -> Result<Self> {
        let file = folder.join(FILE);
        let empty = Manifest { format: FORMAT.into(), version: VERSION, made, shards: Vec::new() };
        let mut manifest = empty;
        if file.exists() {
            let text = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
            let found: Manifest = serde_json::from_slice(&text).with_context(|| {
                format!("{}: not the JSON that this program writes; choose another --out", file.display())
            })?;
            if (found.format.as_str(), found.version) != (FORMAT, VERSION) {
                let (format, version) = (&found.format, found.version);
                bail!(
                    "{}: {format}, version {version}, expected {FORMAT}, version {VERSION}",
                    file.display()
                );
            }
            if found.made != manifest.made {
                bail!(
                    "{}: these latents are made of something else ({}); choose another --out, or remove the folder",
                    file.display(),
                    differences(&found.made, &manifest.made)?.join(", ")
                );
            }
            for shard in found.shards {
                match check(folder, &shard)? {
                    None => manifest.shards.push(shard),
                    Some(why) => eprintln!("{}: {why}; its episodes are made again", shard.file),
                }
            }
        }
        Ok(Self { folder: folder.to_path_buf(), manifest, limit, open: Default::default() })
    }

    /// What is there already of an episode.
    pub fn entry(&self, episode: usize) -> Option<&Entry> {
        self.manifest.shards.iter().flat_map(|shard| &shard.episodes).find(|entry| entry.episode == episode)
    }

    /// Adds the latents of an episode, on the CPU.
    ///
    /// # Errors
    /// The disk's.
    pub fn add(&mut self, episode: usize, name: &str, frames: usize, latents: Tensor) -> Result<()> {
        let tensor = format!("episode.{episode:06}");
        let (tensors, entries, bytes) = &mut self.open;
        let shape = latents.dims().to_vec();
        entries.push(Entry { episode, name: name.into(), tensor: tensor.clone(), frames, shape });
        *bytes += latents.elem_count() * latents.dtype().size_in_bytes();
        tensors.insert(tensor, latents);
        if *bytes >= self.limit { self.close() } else { Ok(()) }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(mut self) -> Result<Vec<Shard>> {
        self.close()?;
        // A run that found everything there still leaves a description that forgets what was damaged.
        self.describe()?;
        Ok(self.manifest.shards)
    }

    fn close(&mut self) -> Result<()> {
        let (tensors, episodes, _) = std::mem::take(&mut self.open);
        if episodes.is_empty() {
            return Ok(());
        }
        let name = |number: usize| format!("latents-{number:05}.safetensors");
        let taken = |name: &String| self.manifest.shards.iter().any(|shard| shard.file == *name);
        let file = (0..).map(name).find(|name| !taken(name)).context("no free shard name")?;
        let path = self.folder.join(&file);
        cola_nn::save_tensors(tensors, &path)?;
        let (bytes, crc32c) = sum(&path)?;
        self.manifest.shards.push(Shard { file, bytes, crc32c, episodes });
        self.manifest.shards.sort_by(|a, b| a.file.cmp(&b.file));
        self.describe()
    }

    fn describe(&self) -> Result<()> {
        write(&self.folder.join(FILE), &serde_json::to_vec_pretty(&self.manifest)?)
    }
}

/// Why a shard is of no use.
fn check(folder: &Path, shard: &Shard) -> Result<Option<String>> {
    // A name from a file must not lead out of the folder.
    let plain = Path::new(&shard.file).file_name().is_some_and(|name| name == shard.file.as_str());
    let path = folder.join(&shard.file);
    if !plain || !path.is_file() {
        return Ok(Some("missing".into()));
    }
    let (bytes, crc32c) = sum(&path)?;
    Ok(match (bytes, &crc32c) == (shard.bytes, &shard.crc32c) {
        true => None,
        false => Some(format!(
            "damaged: {bytes} bytes with CRC32C {crc32c}, expected {} with {}",
            shard.bytes, shard.crc32c
        )),
    })
}

/// Size and CRC32C of a file.
fn sum(path: &Path) -> Result<(u64, String)> {
    let fail = || format!("{}: cannot be read", path.display());
    let mut file = File::open(path).with_context(fail)?;
    let (mut buffer, mut bytes, mut crc) = (vec![0; 1 << 20], 0, 0);
    loop {
        let count = file.read(&mut buffer).with_context(fail)?;
        if count == 0 {
            return Ok((bytes, format!("{crc:08x}")));
        }
        bytes += count as u64;
        crc = crc32c::crc32c_append(crc, &buffer[..count]);
    }
}

/// Fields in which two descriptions differ: the one found, and the one wanted.
fn differences(found: &Made, wanted: &Made) -> Result<Vec<String>> {
    let (found, wanted) = (fields(found)?, fields(wanted)?);
    let unequal = wanted.iter().filter(|(key, value)| found.get(*key) != Some(value));
    Ok(unequal
        .map(|(key, value)| {
            let found = found.get(key).map_or_else(|| "none".into(), ToString::to_string);
            format!("{key}: {found} there, {value} wanted")
        })
        .collect())
}

fn fields(made: &Made) -> Result<BTreeMap<String, serde_json::Value>> {
    let mut flat = BTreeMap::new();
    if let serde_json::Value::Object(groups) = serde_json::to_value(made)? {
        for (group, value) in groups {
            match value {
                serde_json::Value::Object(fields) => {
                    flat.extend(fields.into_iter().map(|(key, value)| (format!("{group}.{key}"), value)));
                }
                value => drop(flat.insert(group, value)),
            }
        }
    }
    Ok(flat)
}
