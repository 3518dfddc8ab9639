//! AgiBot World in its own layout.

mod episodes;
mod proprio;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use episodes::Recording;
use rayon::prelude::*;

use crate::collected::collected;
use crate::dataset::{Camera, Dataset, Episode, Rows, Splits, Stretch};
use crate::{Error, Format, Frames, OpenOptions, VideoFile, View};

/// Frames per second of every recording.
const RATE: f64 = 30.0;

/// Recordings that are tried until one tells the size of a camera's pictures.
const TRIED: usize = 8;

/// Frames that are decoded before they join the others.
const CHUNK: usize = 64;

/// AgiBot World as published (Alpha and Beta), with its archives unpacked.
///
/// ```text
/// task_info/task_327.json
/// observations/327/648642/videos/head_color.mp4
/// proprio_stats/327/648642/proprio_stats.h5
/// ```
///
/// An episode is a folder `observations/<task>/<episode>/videos`, in the order of both numbers, and is called
/// `327/648642`. What `task_info` lists beyond these has not been downloaded and is left out. Frame `i` is row `i` of
/// the file in `proprio_stats` and picture `i` of every video.
///
/// | what | from |
/// | --- | --- |
/// | cameras | `<name>.mp4` that every episode has, such as `head_color`; depth is not read |
/// | states | `state/{joint,effector,head,waist}/position`, one after the other |
/// | actions | `action/{joint,effector,head,waist}/position` and `action/robot/velocity`, one after the other |
/// | times | `timestamp`, from the first on: whole numbers are nanoseconds, others seconds |
/// | texts | `task_name`, then `action_text` of each part in `label_info.action_config` |
///
/// That is the order of AgiBot's own conversion to LeRobot: 22 numbers with grippers (14 joints in rad, 2 grippers, 2 of
/// the head, 2 of the waist, 2 velocities), 32 with hands. Parts that a file does not have are left out. As the public
/// converters do:
///
/// - a part of `action` with fewer rows than frames has one row for each number in its `index`; the frames between them,
///   at which no command was sent, get the state of the same part;
/// - a part that is empty is 0, as wide as the state of the same part;
/// - a part with more rows than frames is an error.
///
/// Without a folder `proprio_stats`, pictures and texts are read alone and the length is that of the first camera.
pub struct AgiBot {
    root: PathBuf,
    recordings: Vec<Recording>,
    episodes: Vec<Episode>,
    cameras: Vec<Camera>,
    /// None: the format defines no splits.
    splits: Splits,
}

impl AgiBot {
    /// Opens the data set in folder `root`, the one that holds `task_info`, `observations` and `proprio_stats`.
    ///
    /// # Errors
    /// A folder that is not there or holds no videos, metadata that are damaged, episodes without a camera in common.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::MissingFolder { path: root.to_owned() });
        }
        if let Some(rate) = options.rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(Error::setting("rate", rate, "a positive number of frames per second"));
        }
        let recordings = episodes::list(root)?;
        let keys = common_cameras(root, &recordings)?;
        let cameras = keys.into_iter().map(|key| camera(root, key, &recordings));
        let cameras = cameras.collect::<Result<Vec<_>, Error>>()?;
        let first = cameras.first().map_or("", |camera| &camera.key);
        let measured = root.join("proprio_stats").is_dir();
        let frames = |recording: &Recording| match measured {
            true => proprio::frames(&recording.proprio(root)),
            false => Ok(VideoFile::open(&recording.video(root, first))?.frames()),
        };
        let frames = collected(recordings.par_iter().map(frames))?;
        let episode = |(recording, frames): (&Recording, usize)| Episode {
            name: format!("{}/{}", recording.task, recording.episode),
            frames,
            rate: Some(options.rate.unwrap_or(RATE)),
            texts: recording.texts.clone(),
        };
        let episodes = recordings.iter().zip(frames).map(episode).collect();
        let splits = Splits { file: root.join("task_info"), episodes: BTreeMap::new() };
        Ok(Self { root: root.to_owned(), recordings, episodes, cameras, splits })
    }

    fn episode(&self, number: usize) -> Result<(&Recording, &Episode), Error> {
        let found = self.recordings.get(number).zip(self.episodes.get(number));
        found.ok_or_else(|| Error::setting("episode", number, format!("below {}", self.episodes.len())))
    }
}

/// The videos that every recording has.
fn common_cameras(root: &Path, recordings: &[Recording]) -> Result<Vec<String>, Error> {
    let mut common = recordings.first().map(|first| first.cameras.clone()).unwrap_or_default();
    for recording in recordings {
        common.retain(|key| recording.cameras.contains(key));
        if common.is_empty() {
            return Err(Error::Field {
                file: recording.folder(root),
                field: "videos".into(),
                found: format!("{:?}", recording.cameras),
                expected: "at least one <camera>.mp4 that all episodes before it have".into(),
                mend: "unpack the archives of `observations` completely, or remove this folder",
            });
        }
    }
    Ok(common.into_iter().collect())
}

/// A camera with the size of its pictures. Some published videos are damaged, so the next one is asked as well.
fn camera(root: &Path, key: String, recordings: &[Recording]) -> Result<Camera, Error> {
    let mut failed = None;
    for recording in recordings.iter().take(TRIED) {
        match VideoFile::open(&recording.video(root, &key)) {
            Ok(video) => return Ok(Camera { key, size: Some((video.height(), video.width())) }),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(Camera { key, size: None }), Err)
}

impl Dataset for AgiBot {
    fn format(&self) -> Format {
        Format::AgiBot
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

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        self.splits.get(name)
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        let measured = self.root.join("proprio_stats").is_dir();
        let read = |&number: &usize| {
            let (recording, episode) = self.episode(number)?;
            let rate = episode.rate.unwrap_or(RATE);
            if !measured {
                let times = (0..episode.frames).map(|frame| frame as f64 / rate).collect();
                return Ok(Rows { times, ..Rows::default() });
            }
            proprio::read(&recording.proprio(&self.root), episode.frames, rate)
        };
        collected(episodes.par_iter().map(read))
    }

    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        let camera = self.camera(Some(camera))?;
        stretch.check(&self.episodes)?;
        let (recording, episode) = self.episode(stretch.episode)?;
        let video = VideoFile::open(&recording.video(&self.root, &camera.key))?;
        let field = |field: &str, found: String, expected: String| Error::Field {
            file: video.path().to_owned(),
            field: field.into(),
            found,
            expected,
            mend: "unpack the episode again from its archive, or leave it out",
        };
        // One picture more than rows happens; more than that, and nobody knows which belong together.
        let pictures = episode.frames..=episode.frames + 1;
        if !pictures.contains(&video.frames()) {
            let found = format!("{} pictures", video.frames());
            return Err(field(
                "length",
                found,
                format!("{}, one for each row of proprio_stats.h5", episode.frames),
            ));
        }
        let size = (video.height(), video.width());
        if let Some(expected) = camera.size.filter(|expected| *expected != size) {
            return Err(field("size", format!("{size:?}"), format!("{expected:?}, as in the first episode")));
        }
        let (count, &View { height, width, .. }) = (stretch.frames.len(), view);
        let mut rgb = Vec::with_capacity(count * height * width * 3);
        video.read(stretch.frames.iter().copied(), view, CHUNK, |_, frames| {
            rgb.extend_from_slice(&frames.rgb);
            Ok::<(), Error>(())
        })?;
        Ok(Frames { count, height, width, rgb })
    }
}
