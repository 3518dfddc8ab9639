//! One dataset: what is trained on, what is held out, in memory or from disk.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use cola_coevolve::ExperimentConfig;
use cola_data::{
    ClipOptions, ClipSource, Dataset, Division, Error, Exclusions, Holdout, OpenOptions, Run as FrameRun,
    StreamedClips,
};

use super::{decode, tell_skipped};

/// A dataset as a configuration or a mixture asks for it.
pub(super) struct Asked<'a> {
    /// What it is called in messages; empty where there is only one.
    pub(super) name: &'a str,
    /// Its folder or file.
    pub(super) path: &'a Path,
    pub(super) open: OpenOptions,
    pub(super) options: ClipOptions,
    /// Its exclusion list.
    pub(super) exclude: Option<&'a Path>,
    /// The split to divide; all of the dataset without it.
    pub(super) split: Option<&'a str>,
}

/// The clips of one dataset.
pub(super) struct Found {
    pub(super) train: Arc<dyn ClipSource>,
    pub(super) held_out: Arc<dyn ClipSource>,
    /// Clips of a rollout's length; the error where all that is held out is shorter.
    pub(super) long: Result<Arc<dyn ClipSource>, Error>,
}

impl Asked<'_> {
    /// The clips. Frames are kept while `memory`, in bytes, lasts.
    ///
    /// `stop` ends it, before minutes of decoding, where no clip is as long as a rollout.
    pub(super) fn find(&self, config: &ExperimentConfig, memory: &mut f64, stop: bool) -> Result<Found> {
        let dataset = cola_data::open(self.path, &self.open)?;
        tell_skipped(&*dataset, &self.label());
        self.tell_rate(&*dataset, config.data.fps);
        let Division { train, held_out, .. } = self.divide(&*dataset, &config.holdout())?;
        let horizon = config.evaluation.horizon + 1;
        let long_options = ClipOptions { frames: horizon, ..self.options.clone() };
        if let (true, Err(error)) = (stop, StreamedClips::new(dataset.clone(), &held_out, &long_options)) {
            return Err(error).context("held-out clips of a rollout's length (evaluation.horizon)");
        }

        let view = self.options.view(dataset.camera(self.options.camera.as_deref())?.size)?;
        let frames: usize = train.iter().chain(&held_out).map(|run| run.frames.len()).sum();
        let bytes = frames as f64 * (view.height * view.width * 3) as f64;
        if bytes > *memory {
            let gib = bytes / (1u64 << 30) as f64;
            println!(
                "clips      {}decoded when they are needed: {gib:.1} GiB of frames would not fit in data.memory",
                self.label()
            );
            let held_out = StreamedClips::new(dataset.clone(), &held_out, &self.options)?;
            let long = held_out.with_frames(horizon).map(|long| Arc::new(long) as Arc<dyn ClipSource>);
            let train = StreamedClips::new(dataset, &train, &self.options)?;
            return Ok(Found { train: Arc::new(train), held_out: Arc::new(held_out), long });
        }
        *memory -= bytes;
        let part = |part: &str, runs: &[FrameRun]| {
            decode(&*dataset, &format!("{}{part}", self.label()), runs, &self.options)
        };
        let train = part("train", &train)?;
        let held_out = part(&config.evaluation.split, &held_out)?;
        let long = held_out.with_frames(horizon).map(|long| Arc::new(long) as Arc<dyn ClipSource>);
        Ok(Found { train: Arc::new(train), held_out: Arc::new(held_out), long })
    }

    /// The two parts, less what is excluded.
    fn divide(&self, dataset: &dyn Dataset, holdout: &Holdout) -> Result<Division> {
        let mut division = match self.split {
            Some(split) => holdout.divide_runs(FrameRun::whole(dataset, &dataset.split(split)?)?)?,
            None => holdout.divide(dataset)?,
        };
        if !division.own {
            let frames = |runs: &[FrameRun]| runs.iter().map(|run| run.frames.len()).sum::<usize>();
            let kept = frames(&division.held_out);
            println!(
                "held out   {}{kept} of {} frames, chosen here: the dataset has no split for it",
                self.label(),
                kept + frames(&division.train)
            );
        }
        if let Some(file) = self.exclude {
            let list = Exclusions::read(file)?;
            for runs in [&mut division.train, &mut division.held_out] {
                *runs = FrameRun::without(std::mem::take(runs), dataset, &list)?;
            }
            println!("excluded   {}{} entries of {}", self.label(), list.episodes.len(), file.display());
        }
        Ok(division)
    }

    /// Says so where the clips' rate is not the one that the world model is told.
    fn tell_rate(&self, dataset: &dyn Dataset, told: f64) {
        let Some(stored) = dataset.episodes().first().and_then(|episode| episode.rate) else { return };
        let shown = self.options.rate.unwrap_or(stored / self.options.frame_stride as f64);
        if (shown / told - 1.0).abs() > 0.01 {
            println!(
                "rate       {}{shown:.2} frames per second; the world model is told data.fps = {told}",
                self.label()
            );
        }
    }

    fn label(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) }
    }
}
