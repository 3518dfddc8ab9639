//! One dataset: what is trained on, what is held out, in memory or from disk.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use cola_coevolve::ExperimentConfig;
use cola_data::{
    ClipOptions, Dataset, Division, Exclusions, Holdout, OpenOptions, Run as FrameRun, StreamedClips,
};

use super::{Sources, decode};

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

impl Asked<'_> {
    /// The clips. Frames are kept while `memory`, in bytes, lasts.
    pub(super) fn sources(&self, config: &ExperimentConfig, memory: &mut f64) -> Result<Sources> {
        let dataset = cola_data::open(self.path, &self.open)?;
        self.tell_rate(&*dataset, config.data.fps);
        let Division { train, held_out, .. } = self.divide(&*dataset, &config.holdout())?;
        // What is too short is said before minutes of decoding.
        let long_options = ClipOptions { frames: config.evaluation.horizon + 1, ..self.options.clone() };
        StreamedClips::new(dataset.clone(), &held_out, &long_options)?;

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
            let long = held_out.with_frames(config.evaluation.horizon + 1)?;
            let train = StreamedClips::new(dataset, &train, &self.options)?;
            return Ok(Sources {
                train: Arc::new(train),
                held_out: Arc::new(held_out),
                long: Arc::new(long),
            });
        }
        *memory -= bytes;
        let part = |part: &str, runs: &[FrameRun]| {
            decode(&*dataset, &format!("{}{part}", self.label()), runs, &self.options)
        };
        let train = part("train", &train)?;
        let held_out = part(&config.evaluation.split, &held_out)?;
        let long = held_out.with_frames(config.evaluation.horizon + 1)?;
        Ok(Sources { train: Arc::new(train), held_out: Arc::new(held_out), long: Arc::new(long) })
    }

    /// The two parts, less what is excluded.
    fn divide(&self, dataset: &dyn Dataset, holdout: &Holdout) -> Result<Division> {
        let mut division = match self.split {
            Some(split) => holdout.divide_runs(FrameRun::whole(dataset, &dataset.split(split)?)?)?,
            None => holdout.divide(dataset)?,
        };
        if !division.own {
            let (kept, of) = (division.held_out.len(), division.train.len() + division.held_out.len());
            println!("held out   {}{kept} of {of} episodes, chosen here: no split for it", self.label());
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
