//! Episodes as safetensors shards: decoded once, read ever after without a decoder.

pub(crate) mod header;
mod index;
mod writer;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use header::Header;
pub(crate) use index::FILE;
use index::Index;
use rayon::prelude::*;
use safetensors::Dtype;
pub use writer::{EpisodeData, ShardLayout, ShardWriter};

use crate::dataset::{Camera, Dataset, Episode, Rows, Splits, Stretch};
use crate::{Error, Format, Frames, View, regular, resize};

/// Pictures that are in memory in full size at a time.
const AT_ONCE: usize = 32;

/// A folder of shards that [`ShardWriter`] wrote.
///
/// Opening reads `shards.json` and the heads of all shards. Reading takes from the disk only the bytes of the frames
/// asked for, and decodes nothing.
pub struct Shards {
    root: PathBuf,
    index: Index,
    episodes: Vec<Episode>,
    cameras: Vec<Camera>,
    splits: Splits,
    places: Vec<Place>,
}

/// Where an episode's tensors begin in its file.
struct Place {
    times: u64,
    actions: u64,
    states: u64,
    /// Of each camera, with height and width.
    pictures: Vec<(u64, usize, usize)>,
}

/// Name of a part of an episode in its file.
fn tensor_name(episode: usize, part: &str) -> String {
    format!("episode.{episode:06}.{part}")
}

impl Shards {
    /// Opens the folder `root`.
    ///
    /// # Errors
    /// A folder that is missing or unfinished, of another version, or whose files are missing, cut off, or contradict
    /// `shards.json`. A flipped bit in a picture is found by [`verify`](Self::verify) alone.
    pub fn open(root: &Path) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::MissingFolder { path: root.to_owned() });
        }
        let index = Index::read(root)?;
        let header = |shard: &index::ShardEntry| Header::read(&root.join(&shard.file), shard.bytes);
        let headers: Vec<Result<Header, Error>> = index.shards.par_iter().map(header).collect();
        let headers = headers.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let places = (0..index.episodes.len()).map(|episode| place(&index, &headers, episode));
        let places = places.collect::<Result<_, Error>>()?;
        let episodes = index.episodes.iter().map(|entry| Episode {
            name: entry.name.clone(),
            frames: entry.frames,
            rate: entry.rate,
            texts: entry.texts.clone(),
        });
        let cameras = index.cameras.iter().map(|entry| Camera { key: entry.key.clone(), size: entry.size });
        let splits = Splits { file: root.join(FILE), episodes: index.splits.clone() };
        let (episodes, cameras) = (episodes.collect(), cameras.collect());
        Ok(Self { root: root.to_owned(), index, episodes, cameras, splits, places })
    }

    /// The open file of an episode, and its name for messages.
    fn file(&self, episode: usize) -> Result<(PathBuf, File), Error> {
        let file = self.root.join(&self.index.shards[self.index.episodes[episode].shard].file);
        match regular::open(&file) {
            Ok(source) => Ok((file, source)),
            Err(source) => Err(Error::Read { file, source }),
        }
    }

    fn episode_rows(&self, episode: usize) -> Result<Rows, Error> {
        let expected = || format!("below {}", self.places.len());
        let place = self.places.get(episode).ok_or_else(|| Error::setting("episode", episode, expected()))?;
        let (file, mut source) = self.file(episode)?;
        let frames = self.episodes[episode].frames;
        let (action_dim, state_dim) = (self.index.action_dim, self.index.state_dim);
        let mut bytes = |at: u64, count: usize, size: usize| {
            let mut bytes = vec![0; count * size];
            let read = source.seek(SeekFrom::Start(at)).and_then(|_| source.read_exact(&mut bytes));
            read.map(|()| bytes).map_err(|source| Error::Read { file: file.clone(), source })
        };
        let floats = |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let times = bytes(place.times, frames, 8)?;
        Ok(Rows {
            times: times.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            actions: floats(bytes(place.actions, frames * action_dim, 4)?),
            action_dim,
            states: floats(bytes(place.states, frames * state_dim, 4)?),
            state_dim,
        })
    }
}

/// Finds the tensors of an episode. That they lie in their file was checked with its head.
fn place(index: &Index, headers: &[Header], episode: usize) -> Result<Place, Error> {
    let entry = &index.episodes[episode];
    let (header, frames) = (&headers[entry.shard], entry.frames);
    let rows = |part: &str, dtype: Dtype, shape: &[usize]| {
        let name = tensor_name(episode, part);
        header.tensor(&name, dtype, &format!("{shape:?}"), |found| found == shape).map(|(at, _)| at)
    };
    let numbers = |part: &str, dim: usize| match dim {
        0 => Ok(0),
        dim => rows(part, Dtype::F32, &[frames, dim]),
    };
    let picture = |camera: &index::CameraEntry| {
        let name = tensor_name(episode, &camera.key);
        let fits = |found: &[usize]| match *found {
            [count, height, width, 3] if height > 0 && width > 0 => {
                count == frames && camera.size.is_none_or(|size| size == (height, width))
            }
            _ => false,
        };
        let expected = format!("({frames}, height, width, 3) with sides {:?}", camera.size);
        let (at, shape) = header.tensor(&name, Dtype::U8, &expected, fits)?;
        Ok((at, shape[1], shape[2]))
    };
    Ok(Place {
        times: rows("times", Dtype::F64, &[frames])?,
        actions: numbers("actions", index.action_dim)?,
        states: numbers("states", index.state_dim)?,
        pictures: index.cameras.iter().map(picture).collect::<Result<_, Error>>()?,
    })
}

impl Dataset for Shards {
    fn format(&self) -> Format {
        Format::Shards
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    /// Reads all shards and compares their checksums (CRC-32C).
    ///
    /// # Errors
    /// The first shard, by number, that is damaged or cannot be read.
    fn verify(&self) -> Result<(), Error> {
        let sum = |shard: &index::ShardEntry| {
            let file = self.root.join(&shard.file);
            let failed = |source| Error::Read { file: file.clone(), source };
            let mut source = regular::open(&file).map_err(failed)?;
            let (mut sum, mut piece) = (0, vec![0; 1 << 20]);
            loop {
                match source.read(&mut piece).map_err(failed)? {
                    0 => break,
                    read => sum = crc32c::crc32c_append(sum, &piece[..read]),
                }
            }
            let found = format!("{sum:08x}");
            if found != shard.crc32c {
                return Err(header::error(&file, "crc32c", found, shard.crc32c.clone()));
            }
            Ok(())
        };
        let found: Vec<Result<(), Error>> = self.index.shards.par_iter().map(sum).collect();
        found.into_iter().collect()
    }

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        self.splits.get(name)
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        episodes.iter().map(|&episode| self.episode_rows(episode)).collect()
    }

    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        let camera = &self.camera(Some(camera))?.key;
        stretch.check(&self.episodes)?;
        let places = self.cameras.iter().zip(&self.places[stretch.episode].pictures);
        let place = places.into_iter().find(|(found, _)| found.key == *camera);
        let Some((_, &(from, tall, wide))) = place else {
            return Err(Error::setting("camera", camera, "a camera of the data set"));
        };
        let &View { region, height, width } = view;
        let crop = region.pixels(tall, wide)?;
        let picture = tall * wide * 3;
        let (file, mut source) = self.file(stretch.episode)?;
        let mut rgb = Vec::with_capacity(stretch.frames.len() * height * width * 3);
        for frames in stretch.frames.chunks(AT_ONCE) {
            let mut raw = vec![0; frames.len() * picture];
            let mut rest = raw.as_mut_slice();
            for run in frames.chunk_by(|a, b| a + 1 == *b) {
                let (bytes, after) = rest.split_at_mut(run.len() * picture);
                let at = from + run[0] as u64 * picture as u64;
                let read = source.seek(SeekFrom::Start(at)).and_then(|_| source.read_exact(bytes));
                read.map_err(|source| Error::Read { file: file.clone(), source })?;
                rest = after;
            }
            let raw = Frames { count: frames.len(), height: tall, width: wide, rgb: raw };
            rgb.extend(resize(&raw, &crop, height, width)?.rgb);
        }
        Ok(Frames { count: stretch.frames.len(), height, width, rgb })
    }
}
