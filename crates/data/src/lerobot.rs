//! LeRobot data sets, v2.0 to v3.0: many episodes in a file, or a file for each.

mod blobs;
mod episode;
mod episodes_v2;
mod episodes_v3;
mod images;
mod info;
mod lines;
mod pages;
mod pictures;
mod rows;
mod table;
mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use episode::{EpisodeRow, Part};
use images::Images;
pub use info::{Feature, Info};
use pictures::Pictures;
use rows::Place;
use table::Table;

use crate::dataset::{Camera, Dataset, Decoded, Episode, Rows, Stretch, read_one};
use crate::recent::{OPEN_VIDEOS, Recent};
use crate::video::Video;
use crate::{Error, Format, Frames, View};

/// A LeRobot data set of version 2.0, 2.1 or 3.0 whose metadata have been read and checked.
///
/// Actions are the feature `action`, states the feature `observation.state` where it has one axis. Cameras are the
/// features of type `video`, which are H.264 files, and of type `image`, which are PNG or JPEG pictures in the rows
/// (feature `pictures` of this crate).
pub struct LeRobot {
    root: PathBuf,
    info: Info,
    table: Vec<EpisodeRow>,
    episodes: Vec<Episode>,
    cameras: Vec<Camera>,
    /// Episodes whose rows have been asked for.
    known: Mutex<BTreeMap<usize, Arc<Known>>>,
    /// Row files used last. A table has about a kilobyte for each column of a row group.
    tables: Recent<Table>,
    /// Video files used last. A table has some 50 bytes for each picture.
    videos: Recent<Video>,
}

/// By what the pictures of an episode are found.
struct Known {
    /// Seconds of each frame: its place in a video.
    times: Vec<f64>,
    /// Row of each frame: its place among pictures in rows; empty in a data set without them.
    places: Vec<Place>,
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
        let (table, texts) = episode::read(root, &info)?;
        let episode = |(row, texts): (&EpisodeRow, _)| Episode {
            name: format!("episode {}", row.index),
            frames: row.frames(),
            rate: Some(info.fps),
            texts,
        };
        let episodes = table.iter().zip(texts).map(episode).collect();
        let pictures =
            info.features.iter().filter(|(_, feature)| ["video", "image"].contains(&&*feature.dtype));
        let camera = |key: &String| Ok(Camera { key: key.clone(), size: Some(info.picture(root, key)?) });
        let cameras = pictures.map(|(key, _)| camera(key)).collect::<Result<_, Error>>()?;
        let (known, tables, videos) = (Mutex::default(), Recent::new(16), Recent::new(OPEN_VIDEOS));
        Ok(Self { root: root.to_owned(), info, table, episodes, cameras, known, tables, videos })
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

    /// What the pictures of these episodes are found by.
    fn known(&self, episodes: &[usize]) -> Result<Vec<Arc<Known>>, Error> {
        let known =
            |episode: &usize| self.known.lock().unwrap_or_else(PoisonError::into_inner).get(episode).cloned();
        let missing: Vec<usize> =
            episodes.iter().filter(|episode| known(episode).is_none()).copied().collect();
        if !missing.is_empty() {
            self.rows(&missing)?;
        }
        // Nothing is ever forgotten, so each of them is there now.
        Ok(episodes.iter().filter_map(known).collect())
    }

    /// A row file.
    fn data(&self, part: Part) -> Result<Arc<Table>, Error> {
        let file = self.info.data_file(&self.root, part)?;
        self.tables.get(&file, || Table::open(&file))
    }

    /// The tables of a part's video file.
    fn video(&self, camera: &Camera, part: Part) -> Result<Arc<Video>, Error> {
        let file = self.info.video_file(&self.root, &camera.key, part)?;
        self.videos.get(&file, || pictures::open(&file, camera))
    }

    fn is_image(&self, camera: &str) -> bool {
        self.info.features.get(camera).is_some_and(|feature| feature.dtype == "image")
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
        let found = rows::read(self, &self.entries(episodes)?)?;
        let images = self.cameras.iter().any(|camera| self.is_image(&camera.key));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (&episode, (rows, places)) in episodes.iter().zip(&found) {
            let places = if images { places.clone() } else { Vec::new() };
            known.insert(episode, Arc::new(Known { times: rows.times.clone(), places }));
        }
        Ok(found.into_iter().map(|(rows, _)| rows).collect())
    }

    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        read_one(self, camera, stretch, view)
    }

    fn read_many(
        &self,
        camera: &str,
        wanted: &[Stretch],
        view: &View,
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let camera = self.camera(Some(camera))?;
        match self.is_image(&camera.key) {
            true => Images { dataset: self, camera, view }.read(wanted, each),
            false => Pictures { dataset: self, camera, view }.read(wanted, each),
        }
    }
}
