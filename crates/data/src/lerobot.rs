//! LeRobot v3.0 data sets: what the metadata say.

mod episode;
mod info;
mod pictures;
mod rows;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use episode::{EpisodeRow, Part};
pub use info::{Feature, Info};
use pictures::Pictures;

use crate::dataset::{Camera, Dataset, Decoded, Episode, Rows, Stretch};
use crate::open_videos::OpenVideos;
use crate::video::Video;
use crate::{Error, Format, Frames, View};

/// A LeRobot v3.0 data set whose metadata have been read and checked.
pub struct LeRobot {
    root: PathBuf,
    info: Info,
    table: Vec<EpisodeRow>,
    episodes: Vec<Episode>,
    cameras: Vec<Camera>,
    /// Times of the rows of episodes that have been asked for: pictures are found by them.
    times: Mutex<BTreeMap<usize, Arc<[f64]>>>,
    /// Tables of the video files used last.
    videos: OpenVideos,
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
        let table = episode::read(root, &info)?;
        let episode = |row: &EpisodeRow| Episode {
            name: format!("episode {}", row.index),
            frames: row.frames(),
            rate: Some(info.fps),
            texts: Vec::new(),
        };
        let episodes = table.iter().map(episode).collect();
        let videos = info.features.iter().filter(|(_, feature)| feature.dtype == "video");
        let camera = |key: &String| Ok(Camera { key: key.clone(), size: Some(info.picture(root, key)?) });
        let cameras = videos.map(|(key, _)| camera(key)).collect::<Result<_, Error>>()?;
        let (times, videos) = (Mutex::default(), OpenVideos::default());
        Ok(Self { root: root.to_owned(), info, table, episodes, cameras, times, videos })
    }

    /// `meta/info.json`.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The rows of the table of episodes.
    fn entries(&self, episodes: &[usize]) -> Result<Vec<&EpisodeRow>, Error> {
        let entry = |&episode: &usize| {
            let expected = || format!("below {}", self.table.len());
            self.table.get(episode).ok_or_else(|| Error::setting("episode", episode, expected()))
        };
        episodes.iter().map(entry).collect()
    }

    /// Times of the rows of these episodes.
    fn times(&self, episodes: &[usize]) -> Result<Vec<Arc<[f64]>>, Error> {
        let known =
            |episode: &usize| self.times.lock().unwrap_or_else(PoisonError::into_inner).get(episode).cloned();
        let missing: Vec<usize> =
            episodes.iter().filter(|episode| known(episode).is_none()).copied().collect();
        if !missing.is_empty() {
            self.rows(&missing)?;
        }
        Ok(episodes.iter().map(|episode| known(episode).unwrap_or_default()).collect())
    }

    /// The tables of a part's video file.
    fn video(&self, camera: &Camera, part: Part) -> Result<Arc<Video>, Error> {
        let file = self.info.video_file(&self.root, &camera.key, part)?;
        self.videos.get(&file, || pictures::open(&file, camera))
    }
}

impl Dataset for LeRobot {
    fn format(&self) -> Format {
        Format::LeRobot
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
        self.info.splits.keys().cloned().collect()
    }

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        self.info.split(&self.root, name, self.table.len())
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        let found = rows::read(&self.root, &self.info, &self.entries(episodes)?)?;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        for (&episode, rows) in episodes.iter().zip(&found) {
            times.insert(episode, rows.times.as_slice().into());
        }
        Ok(found)
    }

    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        let (count, picture) = (stretch.frames.len(), view.height * view.width * 3);
        let mut frames =
            Frames { count, height: view.height, width: view.width, rgb: vec![0; count * picture] };
        self.read_many(
            camera,
            std::slice::from_ref(stretch),
            view,
            &mut |Decoded { place, rgb, .. }| {
                frames.rgb[place * picture..(place + 1) * picture].copy_from_slice(&rgb);
                Ok(())
            },
        )?;
        Ok(frames)
    }

    fn read_many(
        &self,
        camera: &str,
        wanted: &[Stretch],
        view: &View,
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Pictures { dataset: self, camera: self.camera(Some(camera))?, view }.read(wanted, each)
    }
}
