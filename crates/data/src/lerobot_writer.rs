//! LeRobot v3.0 data sets, written episode by episode.

mod episodes;
mod layout;
mod levels;
mod number;
mod recorder;
mod sheet;
mod spill;
mod summary;
mod tables;

use std::io::Error as IoError;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use episodes::{Entry, Episodes, Feature};
use layout::{ACTION, STATE};
pub use layout::{FileLimits, LeRobotLayout, PictureStore};
use recorder::{Recorder, Span};
use summary::Summary;
use tables::{Data, Tasks};

use crate::Error;

/// Writes a LeRobot v3.0 data set, which LeRobot's Python package opens as its own.
///
/// Frames go to the disk as they come: memory grows with the numbers of one episode and with nothing else. No file has
/// its name before it is complete, and `meta/info.json`, by which readers know a data set, comes last: what a killed run
/// leaves is no data set to anybody.
///
/// ```
/// use cola_data::{Camera, Dataset, LeRobot, LeRobotWriter, LeRobotLayout};
///
/// # let folder = std::env::temp_dir().join(format!("cola-lerobot-writer-{}", std::process::id()));
/// let camera = Camera { key: "observation.images.top".into(), size: Some((32, 48)) };
/// let layout = LeRobotLayout { action_names: vec!["dx".into(), "dy".into()], ..LeRobotLayout::new(10.0, vec![camera]) };
/// let mut writer = LeRobotWriter::create(&folder, &layout)?;
/// for frame in 0..5 {
///     let picture = vec![40 * frame; 32 * 48 * 3];
///     writer.frame(&[&picture], &[frame.into(), 0.5], &[])?;
/// }
/// writer.end_episode("push the block")?;
/// writer.finish(&[("train", 0..1)])?;
///
/// let set = LeRobot::open(&folder)?;
/// assert_eq!(set.rows(&[0])?[0].actions[..4], [0.0, 0.5, 1.0, 0.5]);
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), cola_data::Error>(())
/// ```
pub struct LeRobotWriter {
    root: PathBuf,
    layout: LeRobotLayout,
    recorders: Vec<Recorder>,
    data: Data,
    episodes: Episodes,
    tasks: Tasks,
    /// Statistics of all episodes, for each of [`Feature::all`].
    totals: Vec<Summary>,
    /// Of the episode so far.
    actions: Vec<f32>,
    states: Vec<f32>,
    frames: usize,
    /// Of all episodes that have ended.
    total_episodes: usize,
    total_frames: usize,
    /// After a failed write what follows must not be taken for the whole.
    failed: bool,
}

impl LeRobotWriter {
    /// Begins a data set in the folder `root`, which must be empty or not there yet.
    ///
    /// # Errors
    /// A layout that no data set can have, a folder that is not empty or cannot be written to.
    pub fn create(root: &Path, layout: &LeRobotLayout) -> Result<Self, Error> {
        let sizes = layout.check()?;
        let failed = |source| Error::Write { file: root.to_owned(), source };
        std::fs::create_dir_all(root).map_err(failed)?;
        if let Some(entry) = std::fs::read_dir(root).map_err(failed)?.next() {
            let name = entry.map_err(failed)?.file_name();
            let found = format!("{}, which holds {name:?}", root.display());
            return Err(Error::setting("root", found, "a folder that is empty or not there yet"));
        }
        std::fs::create_dir(root.join("meta")).map_err(failed)?;
        let recorder = |(camera, size): (&crate::Camera, (usize, usize))| {
            Recorder::create(root, &camera.key, size, layout)
        };
        Ok(Self {
            root: root.to_owned(),
            layout: layout.clone(),
            recorders: layout.cameras.iter().zip(sizes).map(recorder).collect::<Result<_, _>>()?,
            data: Data::new(root, layout),
            episodes: Episodes::new(root, layout),
            tasks: Tasks::default(),
            totals: Vec::new(),
            actions: Vec::new(),
            states: Vec::new(),
            frames: 0,
            total_episodes: 0,
            total_frames: 0,
            failed: false,
        })
    }

    /// Appends a frame to the current episode: for each camera of the layout its picture, `(height, width, 3)`, RGB; the
    /// action that leads to the next frame; the robot's state.
    ///
    /// # Errors
    /// Another number or size of pictures, of actions or states, numbers that are not finite (nothing is written and the
    /// writer goes on). What the disk or the encoder refuses: the data set is then given up.
    pub fn frame(&mut self, pictures: &[&[u8]], action: &[f32], state: &[f32]) -> Result<(), Error> {
        self.check_whole()?;
        self.check_frame(pictures, action, state)?;
        self.failed = true;
        for (recorder, picture) in self.recorders.iter_mut().zip(pictures) {
            recorder.push(picture)?;
        }
        self.failed = false;
        self.actions.extend(action);
        self.states.extend(state);
        self.frames += 1;
        Ok(())
    }

    /// Ends the current episode, which was about `task`; an empty text is as good as any.
    ///
    /// # Errors
    /// An episode without frames (the writer goes on). What the disk refuses: the data set is then given up.
    pub fn end_episode(&mut self, task: &str) -> Result<(), Error> {
        self.check_whole()?;
        if self.frames == 0 {
            return Err(Error::setting("episode", "no frame", "at least one before it ends"));
        }
        self.failed = true;
        let task_index = self.tasks.index(task);
        let summaries = self.summaries(task_index)?;
        let spans: Vec<Span> = self.recorders.iter().filter_map(Recorder::span).collect();
        let episode = tables::Episode {
            index: self.total_episodes,
            task_index,
            frames: self.frames,
            first: self.total_frames,
            actions: &self.actions,
            states: &self.states,
        };
        let data = self.data.write(&episode, &mut self.recorders)?;
        self.episodes.push(&Entry {
            episode: self.total_episodes,
            task,
            frames: self.frames,
            first: self.total_frames,
            data,
            spans: &spans,
            summaries: &summaries,
        })?;
        self.recorders.iter_mut().try_for_each(Recorder::end_episode)?;
        if self.totals.is_empty() {
            self.totals = summaries;
        } else {
            self.totals.iter_mut().zip(&summaries).for_each(|(total, summary)| total.merge(summary));
        }
        self.total_episodes += 1;
        self.total_frames += self.frames;
        self.frames = 0;
        self.actions.clear();
        self.states.clear();
        self.failed = false;
        Ok(())
    }

    /// Completes the data set: `splits` are ranges of episodes; without any, all episodes are `train`.
    ///
    /// # Errors
    /// No episode, frames after the last [`end_episode`](Self::end_episode), ranges past the last episode, splits without
    /// a name or of the same; what the disk refuses.
    pub fn finish(self, splits: &[(&str, Range<usize>)]) -> Result<(), Error> {
        self.check_whole()?;
        if self.total_episodes == 0 || self.frames > 0 {
            let found = format!("{} episodes, then {} frames", self.total_episodes, self.frames);
            return Err(Error::setting("episodes", found, "at least one, and no frame after its end"));
        }
        let info = self.info(splits)?;
        let features = Feature::all(&self.layout);
        let stats: Map<String, Value> = features
            .iter()
            .zip(&self.totals)
            .map(|(feature, total)| (feature.key.clone(), total.json(feature.whole, feature.camera)))
            .collect();
        self.recorders.into_iter().try_for_each(Recorder::finish)?;
        self.data.finish()?;
        self.episodes.finish()?;
        self.tasks.write(&self.root)?;
        write_json(&self.root.join("meta/stats.json"), &Value::Object(stats))?;
        write_json(&self.root.join("meta/info.json"), &info)
    }

    /// Statistics of the episode, for each of [`Feature::all`].
    fn summaries(&mut self, task_index: usize) -> Result<Vec<Summary>, Error> {
        let mut all = self.recorders.iter_mut().map(Recorder::summary).collect::<Result<Vec<_>, _>>()?;
        for (key, names) in self.layout.vectors() {
            let values = if key == STATE { &self.states } else { &self.actions };
            all.push(Summary::of_floats(values, names.len()));
        }
        let frames = 0..self.frames;
        let constant = |value: usize| Summary::of_doubles(frames.clone().map(|_| value as f64));
        all.push(Summary::of_doubles(frames.clone().map(|frame| frame as f64 / self.layout.fps)));
        all.push(Summary::of_doubles(frames.clone().map(|frame| frame as f64)));
        all.push(constant(self.total_episodes));
        all.push(Summary::of_doubles(frames.clone().map(|frame| (self.total_frames + frame) as f64)));
        all.push(constant(task_index));
        Ok(all)
    }

    /// `meta/info.json`.
    fn info(&self, splits: &[(&str, Range<usize>)]) -> Result<Value, Error> {
        let mut ranges = Map::new();
        for (name, Range { start, end }) in splits {
            let known = ranges.insert((*name).to_owned(), json!(format!("{start}:{end}"))).is_some();
            if known || name.is_empty() || start > end || *end > self.total_episodes {
                let expected = format!("different names, ranges within 0..{}", self.total_episodes);
                return Err(Error::setting("splits", format!("`{name}`: {start}..{end}"), expected));
            }
        }
        if ranges.is_empty() {
            ranges.insert("train".into(), json!(format!("0:{}", self.total_episodes)));
        }
        let videos = self.layout.pictures != PictureStore::Png;
        let video_path = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";
        Ok(json!({
            "codebase_version": "v3.0",
            "robot_type": self.layout.robot_type,
            "total_episodes": self.total_episodes,
            "total_frames": self.total_frames,
            "total_tasks": self.tasks.len(),
            "chunks_size": number::CHUNK,
            "data_files_size_in_mb": self.layout.limits.data_mb,
            "video_files_size_in_mb": self.layout.limits.video_mb,
            "fps": self.layout.rate(),
            "splits": ranges,
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": videos.then_some(video_path),
            "features": self.layout.features(),
        }))
    }

    fn check_frame(&self, pictures: &[&[u8]], action: &[f32], state: &[f32]) -> Result<(), Error> {
        let refused = |found: String, expected: String| {
            let file = self.root.clone();
            let at = format!("episode {}, frame {}", self.total_episodes, self.frames);
            Err(Error::Rows { file, found: format!("{found} in {at}"), expected })
        };
        if pictures.len() != self.recorders.len() {
            return refused(format!("{} pictures", pictures.len()), self.recorders.len().to_string());
        }
        for ((recorder, picture), camera) in self.recorders.iter().zip(pictures).zip(&self.layout.cameras) {
            if picture.len() != recorder.picture() {
                let found = format!("a picture of {} bytes for `{}`", picture.len(), camera.key);
                return refused(found, format!("{}, 3 a pixel", recorder.picture()));
            }
        }
        let vectors =
            [(ACTION, action, self.layout.action_names.len()), (STATE, state, self.layout.state_names.len())];
        for (key, values, width) in vectors {
            if values.len() != width {
                return refused(format!("{} numbers for `{key}`", values.len()), width.to_string());
            }
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                let found = format!("{} as component {place} of `{key}`", values[place]);
                return refused(found, "finite numbers; leave such episodes out".into());
            }
        }
        Ok(())
    }

    fn check_whole(&self) -> Result<(), Error> {
        if !self.failed {
            return Ok(());
        }
        let source = IoError::other("an earlier write failed");
        Err(Error::Write { file: self.root.clone(), source })
    }
}

fn write_json(file: &Path, value: &Value) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(IoError::from);
    let written = text.and_then(|text| cola_files::write_atomically(file, &text));
    written.map_err(|source| Error::Write { file: file.to_owned(), source })
}
