//! What `dataset convert` writes, before anything is written.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use cola_data::{Camera, Dataset, Exclusions, Rows, Run};

use super::times;
use crate::dataset::args::{ConvertArgs, Target};
use crate::dataset::source::Source;

/// Most bytes of the pictures of an episode in shards, which is in memory as a whole.
const WHOLE: u64 = 4 << 30;

/// An episode of the result.
pub(super) struct Piece {
    /// The episode that it is taken from.
    pub(super) episode: usize,
    /// Its frames; one may come more than once where times are irregular.
    pub(super) frames: Vec<usize>,
    pub(super) name: String,
}

/// What is written.
pub(super) struct Plan<'a> {
    pub(super) dataset: &'a dyn Dataset,
    /// With the size of the result.
    pub(super) cameras: Vec<Camera>,
    /// In the order of the result, split after split.
    pub(super) pieces: Vec<Piece>,
    pub(super) splits: Vec<(String, Range<usize>)>,
    pub(super) fps: Option<f64>,
    pub(super) action_dim: usize,
    pub(super) state_dim: usize,
    to: Target,
    /// Runs whose frames are at other times than their rate says and were sampled.
    sampled: usize,
    /// Gaps in time at which runs were cut.
    cuts: usize,
    /// Episodes with actions whose times are not quite those of their rate, and the furthest that a frame is moved, seconds.
    evened: usize,
    furthest: f64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(source: &'a Source, args: &ConvertArgs) -> Result<Self> {
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
        if fps.is_none() && args.to == Target::Lerobot {
            bail!(
                "the dataset tells no rate, and LeRobot needs one; say with --rate at which it was recorded"
            );
        }
        let mut plan = Self {
            dataset,
            cameras,
            pieces: Vec::new(),
            splits: Vec::new(),
            fps,
            action_dim: 0,
            state_dim: 0,
            to: args.to,
            sampled: 0,
            cuts: 0,
            evened: 0,
            furthest: 0.0,
        };
        for (split, episodes) in parts(source)? {
            let start = plan.pieces.len();
            let mut runs = Run::whole(dataset, &episodes)?;
            if let Some(exclusions) = &exclusions {
                runs = Run::without(runs, dataset, exclusions)?;
            }
            for run in runs {
                plan.add(&run, args.fps)?;
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
        plan.tell();
        Ok(plan)
    }

    /// Bytes of one frame, over all cameras.
    pub(super) fn bytes(&self) -> u64 {
        let bytes =
            |camera: &Camera| camera.size.map_or(0, |(height, width)| 3 * height as u64 * width as u64);
        self.cameras.iter().map(bytes).fold(0, u64::saturating_add)
    }

    pub(super) fn rows(&self, episode: usize) -> Result<Rows> {
        let found = &self.dataset.episodes()[episode];
        let rows = self.dataset.rows(&[episode])?.pop();
        let rows = rows.with_context(|| format!("{}: no rows", found.name))?;
        let expected = |width| Some(found.frames).and_then(|frames: usize| frames.checked_mul(width));
        let lengths = [(rows.actions.len(), rows.action_dim), (rows.states.len(), rows.state_dim)];
        if rows.times.len() != found.frames
            || lengths.iter().any(|&(found, width)| Some(found) != expected(width))
        {
            bail!("{}: not one row for each of its {} frames", found.name, found.frames);
        }
        Ok(rows)
    }

    /// Plans a run as an episode, or as several where times have gaps.
    fn add(&mut self, run: &Run, asked: Option<f64>) -> Result<()> {
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
        let other = |fps: f64| episode.rate.is_some_and(|rate| (rate / fps - 1.0).abs() > 1e-3);
        let changed = asked.is_some_and(other);
        if changed && rows.action_dim > 0 {
            bail!(
                "--fps: {} has actions, which belong to its own frames; leave --fps out and choose a rate in training \
                 (data.rate)",
                episode.name
            );
        }
        // Shards keep the times as they are, LeRobot has none but those of its rate.
        let clock = if self.to == Target::Lerobot { self.fps } else { asked };
        match clock {
            Some(fps) => self.by_clock(run, &rows, fps, changed)?,
            None => self.piece(run.clone(), run.frames.clone().collect(), &rows)?,
        }
        Ok(())
    }

    /// Plans a run for a result whose frames are `1 / fps` apart.
    fn by_clock(&mut self, run: &Run, rows: &Rows, fps: f64, changed: bool) -> Result<()> {
        let name = &self.dataset.episodes()[run.episode].name;
        let start = run.frames.start;
        let times = &rows.times[run.frames.clone()];
        if let Some(frame) = times::disorder(times) {
            bail!("{name}: the time of frame {} is {}, {MEND}", start + frame, times[frame]);
        }
        let fits = times::misfit(times, fps).is_none();
        if fits && !changed {
            return self.piece(run.clone(), run.frames.clone().collect(), rows);
        }
        if rows.action_dim == 0 {
            self.sampled += usize::from(!changed);
            let Some(frames) = times::sampled(times, fps) else {
                bail!(
                    "{name}: too long for {fps} frames per second; choose fewer with --fps, or check its times"
                );
            };
            return self.piece(run.clone(), frames.into_iter().map(|frame| start + frame).collect(), rows);
        }
        let parts = times::parts(times, fps);
        for part in &parts {
            let within = &times[part.clone()];
            if let Some(frame) = times::another_rate(within, fps) {
                bail!(
                    "{name}: frame {} is at {:.4} s, where {fps} frames per second put it at {:.4} s; its actions belong \
                     to its own frames, so that it cannot be sampled: correct the rate that the dataset tells (`fps` in \
                     meta/info.json, or --rate), or record the episode again at an even rate",
                    start + part.start + frame,
                    within[frame],
                    within[0] + frame as f64 / fps
                );
            }
        }
        // Clocks of robots tremble; what is stored at one rate stands at that rate's times.
        for part in &parts {
            let within = &times[part.clone()];
            if times::misfit(within, fps).is_some() {
                self.evened += 1;
                self.furthest = self.furthest.max(times::furthest(within, fps));
            }
        }
        self.cuts += parts.len() - 1;
        for part in parts {
            let frames = start + part.start..start + part.end;
            self.piece(Run { episode: run.episode, frames: frames.clone() }, frames.collect(), rows)?;
        }
        Ok(())
    }

    /// Takes an episode of the result: `frames` of a run.
    fn piece(&mut self, run: Run, frames: Vec<usize>, rows: &Rows) -> Result<()> {
        let episode = &self.dataset.episodes()[run.episode];
        let whole = run.frames == (0..episode.frames);
        let name = if whole { episode.name.clone() } else { format!("{} {:?}", episode.name, run.frames) };
        for (place, &frame) in frames.iter().enumerate() {
            // The last action leads out of the piece; what is written for it is chosen later.
            let last = place + 1 == frames.len();
            let action = if last { &[] } else { row(&rows.actions, rows.action_dim, frame) };
            let state = row(&rows.states, rows.state_dim, frame);
            let wrong = |(what, values): (&'static str, &[f32])| {
                values.iter().find(|value| !value.is_finite()).map(|value| (what, *value))
            };
            let time = (!rows.times[frame].is_finite()).then_some(("times", f32::NAN));
            let found = time.or_else(|| [("actions", action), ("states", state)].into_iter().find_map(wrong));
            if let Some((what, value)) = found {
                bail!("{}: {value} in the {what} of frame {frame}, {MEND}", episode.name);
            }
        }
        let bytes = self.bytes().saturating_mul(frames.len() as u64);
        if self.to == Target::Shards && bytes > WHOLE {
            bail!(
                "{name}: {} frames are {:.1} GiB of pictures, and an episode in shards has at most {} GiB; make them \
                 smaller with --side, or fewer with --fps where there are no actions",
                frames.len(),
                bytes as f64 / f64::from(1 << 30),
                WHOLE >> 30
            );
        }
        self.pieces.push(Piece { episode: run.episode, frames, name });
        Ok(())
    }

    /// Says what of the dataset the result does not have as it was.
    fn tell(&self) {
        let fps = self.fps.unwrap_or_default();
        if self.sampled > 0 {
            println!(
                "{} episodes have irregular times: their frames are those nearest to {fps:.3} frames per second",
                self.sampled
            );
        }
        if self.cuts > 0 {
            println!("{} gaps in time: episodes are cut there", self.cuts);
        }
        if self.evened > 0 {
            println!(
                "{} episodes have uneven times: they are written at an even rate, no frame moves by more than {:.3} s",
                self.evened, self.furthest
            );
        }
        let texts = |piece: &&Piece| self.dataset.episodes()[piece.episode].texts.len() > 1;
        let several = self.pieces.iter().filter(texts).count();
        if self.to == Target::Lerobot && several > 0 {
            println!("{several} episodes have more than one text: the first is written");
        }
    }
}

const MEND: &str = "where a number is needed that can be learned from; leave it out: `dataset validate --repair` writes a list \
                    for --exclude";

/// Row `frame` of a table of this width.
pub(super) fn row(values: &[f32], width: usize, frame: usize) -> &[f32] {
    &values[frame * width..(frame + 1) * width]
}

/// The rate of the result.
fn rate(source: &Source, asked: Option<f64>) -> Result<Option<f64>> {
    let episodes = source.episodes.iter().map(|&episode| &source.dataset.episodes()[episode]);
    let known = episodes.clone().find_map(|episode| episode.rate);
    // A single frame has every rate.
    let unknown = episodes.clone().find(|episode| episode.rate.is_none() && episode.frames > 1);
    if let (Some(fps), Some(episode)) = (asked, unknown) {
        bail!(
            "--fps {fps}: {} does not tell at which rate it was recorded, so that nothing can be chosen from it; say \
             with --rate how many frames per second are stored",
            episode.name
        );
    }
    if asked.is_some() {
        return Ok(asked);
    }
    if let Some(first) = known {
        let other = |rate: f64| (rate / first - 1.0).abs() > 1e-3;
        if unknown.is_some() || episodes.filter_map(|episode| episode.rate).any(other) {
            bail!("{}: episodes of many rates; choose one with --fps", source.path.display());
        }
    }
    Ok(known)
}

/// The episodes split by split, then those of none. An episode of two splits goes with the first; a split of which that
/// leaves nothing is not there.
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
        let (mine, rest): (Vec<usize>, _) = left.into_iter().partition(|episode| of.contains(episode));
        left = rest;
        if !mine.is_empty() {
            parts.push((Some(name), mine));
        }
    }
    parts.push((None, left));
    Ok(parts)
}
