//! `dataset convert`: any format to LeRobot v3.0 or to shards.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use cola_data::{
    Camera, Dataset, EpisodeData, Exclusions, Frames, LeRobotLayout, LeRobotWriter, PictureStore, Region,
    Rows, Run, ShardLayout, ShardWriter, Stretch, View,
};

use crate::dataset::args::{ConvertArgs, Target};
use crate::dataset::source::{Patience, Source};

/// Frames read at once.
const CHUNK: usize = 128;

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

/// An episode of the result.
struct Piece {
    /// The episode that it is taken from.
    episode: usize,
    /// Its frames; one may come more than once where times are irregular.
    frames: Vec<usize>,
    name: String,
}

/// What is written.
struct Plan<'a> {
    dataset: &'a dyn Dataset,
    /// With the size of the result.
    cameras: Vec<Camera>,
    /// In the order of the result, split after split.
    pieces: Vec<Piece>,
    splits: Vec<(String, Range<usize>)>,
    fps: Option<f64>,
    action_dim: usize,
    state_dim: usize,
}

impl<'a> Plan<'a> {
    fn new(source: &'a Source, args: &ConvertArgs) -> Result<Self> {
        let dataset = &*source.dataset;
        let cameras = source.cameras.iter().map(|camera| {
            let size = args.side.or(camera.size);
            let Some(size) = size else {
                bail!("camera {}: its pictures have many sizes; choose one with --side", camera.key);
            };
            Ok(Camera { key: camera.key.clone(), size: Some(size) })
        });
        let cameras = cameras.collect::<Result<Vec<_>>>()?;
        let exclusions = args.exclude.as_deref().map(Exclusions::read).transpose()?;
        let fps = rate(source, args.fps)?;
        let mut plan = Self {
            dataset,
            cameras,
            pieces: Vec::new(),
            splits: Vec::new(),
            fps,
            action_dim: 0,
            state_dim: 0,
        };
        for (split, episodes) in parts(source)? {
            let start = plan.pieces.len();
            let mut runs = Run::whole(dataset, &episodes)?;
            if let Some(exclusions) = &exclusions {
                runs = Run::without(runs, dataset, exclusions)?;
            }
            for run in runs {
                plan.add(run, args.fps)?;
            }
            match split {
                Some(name) if plan.pieces.len() > start => plan.splits.push((name, start..plan.pieces.len())),
                Some(name) => println!("split {name} has no episodes left and is not written"),
                None => {}
            }
        }
        if plan.pieces.is_empty() {
            bail!("{}: nothing is left to convert", source.path.display());
        }
        Ok(plan)
    }

    /// Plans a run as an episode.
    fn add(&mut self, run: Run, fps: Option<f64>) -> Result<()> {
        let episode = &self.dataset.episodes()[run.episode];
        let rows = self.rows(run.episode)?;
        if self.pieces.is_empty() {
            (self.action_dim, self.state_dim) = (rows.action_dim, rows.state_dim);
        }
        if (rows.action_dim, rows.state_dim) != (self.action_dim, self.state_dim) {
            bail!(
                "{}: actions of {} and states of {} numbers, the first episode has {} and {}; convert them apart (--split)",
                episode.name,
                rows.action_dim,
                rows.state_dim,
                self.action_dim,
                self.state_dim
            );
        }
        let kept = fps.filter(|fps| episode.rate.is_none_or(|rate| (rate / fps - 1.0).abs() > 1e-3));
        if kept.is_some() && rows.action_dim > 0 {
            bail!(
                "--fps: {} has actions, which belong to its own frames; leave --fps out and choose a rate in training \
                 (data.rate)",
                episode.name
            );
        }
        let frames = match kept {
            Some(fps) => sampled(&rows.times[run.frames.clone()], run.frames.start, fps),
            None => run.frames.clone().collect(),
        };
        let whole = run.frames == (0..episode.frames);
        let name = if whole { episode.name.clone() } else { format!("{} {:?}", episode.name, run.frames) };
        self.pieces.push(Piece { episode: run.episode, frames, name });
        Ok(())
    }

    fn rows(&self, episode: usize) -> Result<Rows> {
        let found = self.dataset.rows(&[episode])?.pop();
        found.with_context(|| format!("{}: no rows", self.dataset.episodes()[episode].name))
    }

    /// Hands over the pictures of a piece, some at a time: of every camera the same frames.
    fn pictures(&self, piece: &Piece, mut each: impl FnMut(&[usize], &[Frames]) -> Result<()>) -> Result<()> {
        for frames in piece.frames.chunks(CHUNK) {
            let mut distinct = frames.to_vec();
            distinct.dedup();
            let stretch = Stretch { episode: piece.episode, frames: distinct };
            let read = |camera: &Camera| {
                let (height, width) = camera.size.unwrap_or_default();
                let view = View { region: Region::FULL, height, width };
                let read = self.dataset.read(&camera.key, &stretch, &view)?;
                let place = |frame| stretch.frames.partition_point(|known| known < frame);
                let rgb = frames.iter().flat_map(|frame| read.frame(place(frame))).copied().collect();
                Ok(Frames { count: frames.len(), rgb, ..read })
            };
            each(frames, &self.cameras.iter().map(read).collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    fn to_lerobot(&self, args: &ConvertArgs) -> Result<()> {
        let Some(fps) = self.fps else {
            bail!("the dataset tells no rate; say it with --rate (as stored) or --fps (of the result)");
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
            let rows = self.rows(piece.episode)?;
            self.pictures(piece, |frames, cameras| {
                for (place, &frame) in frames.iter().enumerate() {
                    let pictures: Vec<&[u8]> = cameras.iter().map(|camera| camera.frame(place)).collect();
                    let row =
                        |values: &'_ [f32], width: usize| values[frame * width..(frame + 1) * width].to_vec();
                    writer.frame(
                        &pictures,
                        &row(&rows.actions, rows.action_dim),
                        &row(&rows.states, rows.state_dim),
                    )?;
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
            let all = self.rows(piece.episode)?;
            let pick = |values: &[f32], width: usize| {
                piece
                    .frames
                    .iter()
                    .flat_map(|frame| &values[frame * width..(frame + 1) * width])
                    .copied()
                    .collect()
            };
            let times = piece.frames.iter().map(|frame| all.times[*frame] - all.times[piece.frames[0]]);
            let times = match args.fps {
                Some(fps) => (0..piece.frames.len()).map(|frame| frame as f64 / fps).collect(),
                None => times.collect(),
            };
            let rows = Rows {
                times,
                actions: pick(&all.actions, all.action_dim),
                states: pick(&all.states, all.state_dim),
                ..all
            };
            let mut pictures: Vec<(String, Frames)> = Vec::new();
            self.pictures(piece, |_, cameras| {
                for (place, (camera, found)) in self.cameras.iter().zip(cameras).enumerate() {
                    match pictures.get_mut(place) {
                        Some((_, frames)) => {
                            frames.count += found.count;
                            frames.rgb.extend_from_slice(&found.rgb);
                        }
                        None => pictures.push((camera.key.clone(), found.clone())),
                    }
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

/// The rate of the result.
fn rate(source: &Source, asked: Option<f64>) -> Result<Option<f64>> {
    let rates: Vec<Option<f64>> =
        source.episodes.iter().map(|&episode| source.dataset.episodes()[episode].rate).collect();
    let known = rates.iter().flatten().copied().next();
    if asked.is_some() {
        return Ok(asked);
    }
    if let Some(first) = known
        && rates.iter().any(|rate| rate.is_none_or(|rate| (rate / first - 1.0).abs() > 1e-3))
    {
        bail!("{}: episodes of many rates; choose one with --fps", source.path.display());
    }
    Ok(known)
}

/// The episodes split by split, then those of none. An episode of two splits goes with the first.
fn parts(source: &Source) -> Result<Vec<(Option<String>, Vec<usize>)>> {
    let mut left: Vec<usize> = source.episodes.clone();
    let mut parts = Vec::new();
    let first = |name: &String| match name.as_str() {
        "train" => 0,
        "valid" => 1,
        "test" => 2,
        _ => 3,
    };
    let mut names = source.dataset.splits();
    names.sort_by_key(first);
    for name in names {
        // One that names no episodes is not worth an error here.
        let Ok(of) = source.dataset.split(&name) else { continue };
        let (mine, rest) = left.into_iter().partition(|episode| of.contains(episode));
        left = rest;
        parts.push((Some(name), mine));
    }
    parts.push((None, left));
    Ok(parts)
}

/// Frames nearest to times `1 / fps` apart; `start` is the number of the first.
fn sampled(times: &[f64], start: usize, fps: f64) -> Vec<usize> {
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Vec::new() };
    let count = ((last - first) * fps + 1e-6).floor().max(0.0) as usize + 1;
    let nearest = |frame: usize| {
        let wanted = first + frame as f64 / fps;
        let after = times.partition_point(|&time| time < wanted).min(times.len() - 1);
        let before = after.saturating_sub(1);
        start + if wanted - times[before] + 1e-6 < times[after] - wanted { before } else { after }
    };
    (0..count).map(nearest).collect()
}
