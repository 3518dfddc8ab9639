//! LeRobot v3.0 data sets: what the metadata say.

mod episode;
mod info;
mod rows;
mod table;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub use episode::{Episode, Part, VideoSpan};
pub use info::{Feature, Info};
pub(crate) use rows::Rows;

use crate::Error;

/// A LeRobot v3.0 data set whose metadata have been read and checked.
///
/// Pictures and rows stay on disk until [`EpisodeClips::load`](crate::EpisodeClips::load).
#[derive(Clone, Debug)]
pub struct LeRobot {
    root: PathBuf,
    info: Info,
    episodes: Vec<Episode>,
}

impl LeRobot {
    /// Opens the data set in folder `root`, the one that holds `meta`, `data` and `videos`.
    ///
    /// # Errors
    /// A folder or file that is missing, damaged, of another version, or contradicts the rest.
    pub fn open(root: &Path) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::MissingFolder { path: root.to_owned() });
        }
        let info = Info::read(root)?;
        let episodes = episode::read(root, &info)?;
        Ok(Self { root: root.to_owned(), info, episodes })
    }

    /// `meta/info.json`.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// All episodes; episode `i` is element `i`.
    pub fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// The episodes of a split, for example `train`.
    ///
    /// # Errors
    /// A name that `splits` does not have, a range that is malformed, empty or leaves the data set.
    pub fn split(&self, name: &str) -> Result<Range<usize>, Error> {
        let file = self.root.join(info::FILE);
        let Some(text) = self.info.splits.get(name) else {
            let found = self.info.splits.keys().cloned().collect();
            return Err(Error::Split { file, wanted: name.to_owned(), found });
        };
        let parsed = text.split_once(':').and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
        match parsed {
            Some(Range { start, end }) if start == end => {
                Err(Error::EmptySplit { file, split: name.to_owned(), found: text.clone() })
            }
            Some(range) if range.start < range.end && range.end <= self.episodes.len() => Ok(range),
            _ => Err(Error::Field {
                file,
                field: format!("splits.{name}"),
                found: format!("{text:?}"),
                expected: format!("\"start:end\" with start < end <= {}", self.episodes.len()),
                mend: "correct the range",
            }),
        }
    }

    /// The key of a video feature: `wanted`, or the only one, or the alphabetically first.
    ///
    /// # Errors
    /// No such video feature, or a data set without videos.
    pub fn camera(&self, wanted: Option<&str>) -> Result<&str, Error> {
        let mut cameras = self.info.features.iter().filter(|(_, feature)| feature.dtype == "video");
        let found = cameras.clone().map(|(key, _)| key.clone()).collect();
        let camera = cameras.find(|(key, _)| wanted.is_none_or(|wanted| wanted == *key));
        camera.map(|(key, _)| key.as_str()).ok_or_else(|| Error::Camera {
            file: self.root.join(info::FILE),
            wanted: wanted.map_or("at all".to_owned(), |key| format!("`{key}`")),
            found,
        })
    }

    /// Height and width of a camera's pictures.
    pub(crate) fn picture(&self, camera: &str) -> Result<(usize, usize), Error> {
        self.info.picture(&self.root, camera)
    }

    /// The rows of consecutive episodes.
    pub(crate) fn rows(&self, episodes: &[Episode]) -> Result<Rows, Error> {
        Rows::read(&self.root, &self.info, episodes)
    }

    /// The video file of a part.
    pub(crate) fn video_file(&self, camera: &str, part: Part) -> Result<PathBuf, Error> {
        self.info.video_file(&self.root, camera, part)
    }
}
