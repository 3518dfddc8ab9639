//! RLDS as TensorFlow Datasets writes it, the format of Open X-Embodiment: one TFRecord an episode.

mod example;
mod features;
mod folder;
mod layout;
mod record;
mod scan;
mod tfrecord;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use folder::{Folder, Shard};
use layout::{Column, Layout};
use rayon::prelude::*;
use record::{Kept, Record};
use scan::Found;
use tfrecord::Span;

use crate::collected::collected;
use crate::dataset::{Camera, Dataset, Episode, Rows, Splits, Stretch};
use crate::{Error, Format, Frames, OpenOptions, View, picture, resize};

/// An RLDS data set whose records have been found and counted.
///
/// - Cameras are the colour pictures below `steps/observation`, named by the path below it: `image`, `rgb/front`.
/// - The action is [`OpenOptions::action`]; else `steps/action`; else, where that has parts, `world_vector`,
///   `rotation_delta` and `gripper_closedness_action` joined in this order (RT-1, Kuka and their kin); else all its parts
///   of floating point numbers in alphabetical order. The numbers are as stored: nothing is scaled or made relative.
/// - The state is `steps/observation/state` or `steps/observation/proprio`.
/// - Texts are the instructions of the first step.
/// - The rate is [`OpenOptions::rate`]; else the published one for `fractal20220817_data`, `kuka`, `bridge`, `taco_play`,
///   `language_table` and `droid`; else unknown, and times are numbers of frames.
///
/// What the fields hold is told by `features.json`; without one, by the first record.
///
/// Opening reads some kilobytes of every record, all shards in parallel, and compares the checksums of the lengths. Rows
/// and pictures read the whole record (at most 2 GiB, 256 MiB of records are kept) and compare the checksum of its data;
/// only the frames asked for are decoded. A list of whole numbers takes up to eight times its bytes
/// in the record while it is read.
pub struct Rlds {
    root: PathBuf,
    shards: Vec<Shard>,
    layout: Layout,
    episodes: Vec<Episode>,
    /// Shard and record of each episode.
    places: Vec<(usize, Span)>,
    splits: Splits,
    kept: Kept,
}

impl Rlds {
    /// Opens the data set in `root`: the folder of one version, such as `bridge/1.0.0`, or the one above it, of which the
    /// newest version is taken.
    ///
    /// # Errors
    /// A folder without shards, or with shards missing; shards that are damaged; no pictures; an action or a rate in
    /// `options` that makes no sense.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self, Error> {
        if let Some(rate) = options.rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return Err(Error::setting("rate", rate, "a positive number of frames per second"));
        }
        let Folder { path, dataset, shards } = Folder::find(root)?;
        let specs = match features::read(&path)? {
            Some(specs) => specs,
            None => inferred(&shards)?,
        };
        let layout = Layout::new(&specs, options)?;
        if layout.cameras.is_empty() {
            return Err(Error::Field {
                file: path.join(features::FILE),
                field: "steps/observation".into(),
                found: format!("{:?}", specs.keys().collect::<Vec<_>>()),
                expected: "at least one picture with three colours".into(),
                mend: "choose a data set with pictures",
            });
        }
        let rate = options.rate.or_else(|| layout::rate(&dataset));
        let scan = |shard: &Shard| scan::shard(&shard.file, &layout.texts);
        let found: Vec<Result<Vec<Found>, Error>> = shards.par_iter().map(scan).collect();
        let (mut episodes, mut places) = (Vec::new(), Vec::new());
        let mut splits = Splits { file: path, ..Splits::default() };
        for (number, (shard, found)) in shards.iter().zip(found).enumerate() {
            for (place, Found { span, frames, texts }) in found?.into_iter().enumerate() {
                let name = format!("{} shard {} record {place}", shard.split, shard.number);
                splits.episodes.entry(shard.split.clone()).or_default().push(episodes.len());
                episodes.push(Episode { name, frames, rate, texts });
                places.push((number, span));
            }
        }
        // The rest of the project calls it `valid`; the set's own name stays.
        let held_out = ["val", "validation"].into_iter().find_map(|name| splits.episodes.get(name).cloned());
        if let Some(held_out) = held_out {
            splits.episodes.entry("valid".into()).or_insert(held_out);
        }
        let root = root.to_owned();
        Ok(Self { root, shards, layout, episodes, places, splits, kept: Kept::default() })
    }

    /// The fields that make up the action, in order, such as `steps/action`; empty if there is none.
    pub fn action_fields(&self) -> Vec<&str> {
        self.layout.action.iter().map(|column| column.name.as_str()).collect()
    }

    fn record(&self, episode: usize) -> Result<Arc<Record>, Error> {
        let expected = || format!("below {}", self.places.len());
        let &(shard, span) =
            self.places.get(episode).ok_or_else(|| Error::setting("episode", episode, expected()))?;
        self.kept.get(episode, || Record::read(&self.shards[shard].file, span))
    }

    fn episode_rows(&self, episode: usize) -> Result<Rows, Error> {
        let record = self.record(episode)?;
        let Episode { frames, rate, .. } = self.episodes[episode];
        let (actions, action_dim) = joined(&record, &self.layout.action, frames)?;
        let (states, state_dim) = joined(&record, &self.layout.state, frames)?;
        let times = (0..frames).map(|frame| frame as f64 / rate.unwrap_or(1.0)).collect();
        Ok(Rows { times, actions, action_dim, states, state_dim })
    }
}

/// What the first record that has steps holds.
fn inferred(shards: &[Shard]) -> Result<features::Specs, Error> {
    for shard in shards {
        if let Some(found) = scan::shard(&shard.file, &[])?.iter().find(|found| found.frames > 0) {
            let record = Record::read(&shard.file, found.span)?;
            return Ok(features::infer(&record, found.frames));
        }
    }
    Ok(features::Specs::new())
}

/// The lists of some fields side by side, `(frames, width)`, and that width.
fn joined(record: &Record, columns: &[Column], frames: usize) -> Result<(Vec<f32>, usize), Error> {
    let list = |column: &Column| Ok((record.numbers(&column.name, frames, column.width)?, column.width));
    let lists = columns.iter().map(list).collect::<Result<Vec<_>, Error>>()?;
    let row = |frame: usize| {
        lists.iter().flat_map(move |(values, width)| &values[frame * width..(frame + 1) * width]).copied()
    };
    Ok(((0..frames).flat_map(row).collect(), columns.iter().map(|column| column.width).sum()))
}

impl Dataset for Rlds {
    fn format(&self) -> Format {
        Format::Rlds
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    fn cameras(&self) -> &[Camera] {
        &self.layout.cameras
    }

    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        self.splits.get(name)
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        collected(episodes.par_iter().map(|&episode| self.episode_rows(episode)))
    }

    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        let camera = self.camera(Some(camera))?;
        stretch.check(&self.episodes)?;
        let record = self.record(stretch.episode)?;
        let name = format!("steps/observation/{}", camera.key);
        let pictures = record.blobs(&name, self.episodes[stretch.episode].frames)?;
        let &View { region, height, width } = view;
        let decode = |&frame: &usize| {
            let picture = picture::decode(pictures[frame], camera.size, || record.origin(&name, frame))?;
            let crop = region.pixels(picture.height, picture.width)?;
            Ok(resize(&picture, &crop, height, width)?.rgb)
        };
        let decoded: Vec<Result<Vec<u8>, Error>> = stretch.frames.par_iter().map(decode).collect();
        let mut rgb = Vec::with_capacity(stretch.frames.len() * height * width * 3);
        for picture in decoded {
            rgb.extend(picture?);
        }
        Ok(Frames { count: stretch.frames.len(), height, width, rgb })
    }
}
