//! `dataset convert`: any format to LeRobot v3.0 or to shards.

mod plan;
mod times;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use cola_data::{
    Camera, EpisodeData, Frames, LeRobotLayout, LeRobotWriter, PictureStore, Region, Rows, ShardLayout,
    ShardWriter, Stretch, View,
};

use crate::dataset::args::{ConvertArgs, Target};
use crate::dataset::source::{Patience, Source};
use plan::{Piece, Plan, row};

/// Bytes of frames read at once, over all cameras; at least one frame is read.
const CHUNK: u64 = 64 << 20;

/// Writes the dataset anew.
///
/// # Errors
/// A dataset that is damaged or that the target cannot hold, a folder that is not empty.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let source = Source::open(&args.data)?;
    let plan = Plan::new(&source, args)?;
    match args.to {
        Target::Lerobot => plan.to_lerobot(args)?,
        Target::Shards if args.png => bail!("--png: is for LeRobot; shards hold bare pixels anyway"),
        Target::Shards => plan.to_shards(args)?,
    }
    println!(
        "written    {}: {} episodes, {} frames",
        args.out.display(),
        plan.pieces.len(),
        plan.pieces.iter().map(|piece| piece.frames.len()).sum::<usize>()
    );
    Ok(())
}

impl Plan<'_> {
    /// Hands over the pictures of a piece, some at a time: of every camera the same frames.
    fn pictures(&self, piece: &Piece, mut each: impl FnMut(&[usize], &[Frames]) -> Result<()>) -> Result<()> {
        let at_once = usize::try_from(CHUNK / self.bytes().max(1)).unwrap_or(1).max(1);
        for frames in piece.frames.chunks(at_once) {
            let mut distinct = frames.to_vec();
            distinct.dedup();
            let stretch = Stretch { episode: piece.episode, frames: distinct };
            let read = |camera: &Camera| {
                let (height, width) = camera.size.unwrap_or_default();
                let view = View { region: Region::FULL, height, width };
                let read = self.dataset.read(&camera.key, &stretch, &view)?;
                if read.count == frames.len() {
                    return Ok(read);
                }
                let place = |frame| stretch.frames.partition_point(|known| known < frame);
                let rgb = frames.iter().flat_map(|frame| read.frame(place(frame))).copied().collect();
                Ok(Frames { count: frames.len(), rgb, ..read })
            };
            each(frames, &self.cameras.iter().map(read).collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    /// Times since the first frame, actions and states of a piece. Its last action shows in no picture: one that is no
    /// number is written as the action before it, or as zeros.
    fn numbers(&self, piece: &Piece) -> Result<Rows> {
        let all = self.rows(piece.episode)?;
        let pick = |values: &[f32], width: usize| -> Vec<f32> {
            piece.frames.iter().flat_map(|&frame| row(values, width, frame)).copied().collect()
        };
        let mut actions = pick(&all.actions, all.action_dim);
        let last = actions.len().saturating_sub(all.action_dim);
        if actions[last..].iter().any(|value| !value.is_finite()) {
            match last.checked_sub(all.action_dim) {
                Some(before) => actions.copy_within(before..last, last),
                None => actions.fill(0.0),
            }
        }
        let times = piece.frames.iter().map(|&frame| all.times[frame] - all.times[piece.frames[0]]).collect();
        Ok(Rows { times, actions, states: pick(&all.states, all.state_dim), ..all })
    }

    fn to_lerobot(&self, args: &ConvertArgs) -> Result<()> {
        let Some(fps) = self.fps else {
            bail!("the dataset tells no rate");
        };
        let names = |what: &str, count: usize| (0..count).map(|i| format!("{what}_{i}")).collect();
        // The Python package and its tools take every key of this kind for a camera.
        let key = |camera: &Camera| match camera.key.starts_with("observation.image") {
            true => camera.clone(),
            false => Camera {
                key: format!("observation.images.{}", camera.key.replace('/', ".")),
                ..camera.clone()
            },
        };
        let layout = LeRobotLayout {
            action_names: names("action", self.action_dim),
            state_names: names("state", self.state_dim),
            pictures: if args.png { PictureStore::Png } else { PictureStore::default() },
            ..LeRobotLayout::new(fps, self.cameras.iter().map(key).collect())
        };
        let mut writer = LeRobotWriter::create(&args.out, &layout)?;
        let mut patience = Patience::new("convert", "episodes");
        for (number, piece) in self.pieces.iter().enumerate() {
            let rows = self.numbers(piece)?;
            let mut places = 0..piece.frames.len();
            self.pictures(piece, |frames, cameras| {
                for (within, place) in places.by_ref().take(frames.len()).enumerate() {
                    let pictures: Vec<&[u8]> = cameras.iter().map(|camera| camera.frame(within)).collect();
                    let action = row(&rows.actions, rows.action_dim, place);
                    writer.frame(&pictures, action, row(&rows.states, rows.state_dim, place))?;
                }
                Ok(())
            })
            .with_context(|| piece.name.clone())?;
            let texts = &self.dataset.episodes()[piece.episode].texts;
            writer.end_episode(texts.first().map_or("", String::as_str))?;
            patience.tick(number + 1, self.pieces.len());
        }
        patience.finish();
        let splits: Vec<(&str, Range<usize>)> =
            self.splits.iter().map(|(name, range)| (name.as_str(), range.clone())).collect();
        Ok(writer.finish(&splits)?)
    }

    fn to_shards(&self, args: &ConvertArgs) -> Result<()> {
        let layout = ShardLayout {
            cameras: self.cameras.clone(),
            action_dim: self.action_dim,
            state_dim: self.state_dim,
            shard_bytes: ShardLayout::SHARD_BYTES,
        };
        let mut writer = ShardWriter::create(&args.out, &layout)?;
        let mut patience = Patience::new("convert", "episodes");
        for (number, piece) in self.pieces.iter().enumerate() {
            let mut rows = self.numbers(piece)?;
            if let Some(fps) = args.fps {
                rows.times = (0..piece.frames.len()).map(|frame| frame as f64 / fps).collect();
            }
            let mut pictures: Vec<(String, Frames)> =
                self.cameras.iter().map(|camera| room(camera, piece.frames.len())).collect();
            self.pictures(piece, |_, cameras| {
                for ((_, frames), found) in pictures.iter_mut().zip(cameras) {
                    frames.count += found.count;
                    frames.rgb.extend_from_slice(&found.rgb);
                }
                Ok(())
            })
            .with_context(|| piece.name.clone())?;
            let episode = &self.dataset.episodes()[piece.episode];
            writer.push(EpisodeData {
                name: piece.name.clone(),
                rate: args.fps.or(episode.rate),
                texts: episode.texts.clone(),
                rows,
                pictures,
            })?;
            patience.tick(number + 1, self.pieces.len());
        }
        patience.finish();
        let splits: BTreeMap<String, Vec<usize>> =
            self.splits.iter().map(|(name, range)| (name.clone(), range.clone().collect())).collect();
        Ok(writer.finish(&splits)?)
    }
}

/// No pictures yet, and room for so many.
fn room(camera: &Camera, frames: usize) -> (String, Frames) {
    let (height, width) = camera.size.unwrap_or_default();
    let rgb = Vec::with_capacity(frames * height * width * 3);
    (camera.key.clone(), Frames { count: 0, height, width, rgb })
}
