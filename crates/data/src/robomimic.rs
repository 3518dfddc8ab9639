//! robomimic's HDF5 layout, as VP2 and LIBERO use it.

mod demos;
mod pictures;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use demos::Demos;
use rayon::prelude::*;

use crate::collected::collected;
use crate::dataset::{Camera, Dataset, Episode, Rows, Splits, Stretch};
use crate::{Error, Format, Frames, OpenOptions, View, hdf5_files};

/// Whether a file can be read and is one of LIBERO's.
pub(crate) fn is_libero(file: &Path) -> bool {
    demos::is_libero(file).unwrap_or(false)
}

/// Data sets of robomimic, VP2 and LIBERO: one HDF5 file, or a folder of them (LIBERO has one a task).
///
/// An episode is a group `data/demo_<number>`. Files are in the order of their paths, demos in that of their numbers;
/// an episode is called `<file>/demo_3`. Groups of other names are left out.
///
/// | what | from |
/// | --- | --- |
/// | cameras | datasets of `obs` that are `(T, H, W, 3)` of `u8`; those that every episode has |
/// | actions | `actions`, `(T, A)`; the last one may be missing and is then 0, since it shows in no picture |
/// | states | `states`, `(T, S)` |
/// | splits | lists of demos in `mask`, of all files together |
/// | texts | `language_instruction` in the attribute `problem_info` (LIBERO) |
/// | rate | [`OpenOptions::rate`], `control_freq` in the attribute `env_args`, 20 per second for LIBERO, else unknown |
///
/// Where the rate is unknown, times count one second a frame. A file is LIBERO's if `data` has an attribute
/// `problem_info` or `bddl_file_name`, or an environment whose name begins with `Libero`; [`OpenOptions::format`]
/// overrides that. LIBERO stores its pictures upside down, so their rows are turned round.
///
/// Only what is asked for is read. A window of a dataset has up to 32 MiB, a chunk up to 256 MiB, for each thread.
pub struct Robomimic {
    root: PathBuf,
    format: Format,
    files: Vec<Demos>,
    /// File and place in it of each episode.
    places: Vec<(usize, usize)>,
    episodes: Vec<Episode>,
    cameras: Vec<Camera>,
    splits: Splits,
}

impl Robomimic {
    /// Opens an HDF5 file, or all files `*.hdf5` and `*.h5` in a folder and the folders in it.
    ///
    /// # Errors
    /// A path that is not there or holds no such file, files that are damaged, are no HDF5, or hold no demos with
    /// pictures; start and goal pairs (VP2's `goals.hdf5`); files of which some are LIBERO's and some are not.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        if let Some(rate) = options.rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(Error::setting("rate", rate, "a positive number of frames per second"));
        }
        if let Some(other) =
            options.format.filter(|format| !matches!(format, Format::Robomimic | Format::Libero))
        {
            return Err(Error::setting("format", other, "robomimic or libero"));
        }
        let files = hdf5_files::list(path)?;
        let files = collected(files.par_iter().map(|file| Demos::read(file)))?;
        let format = match options.format {
            Some(format) => format,
            None => format(&files)?,
        };
        let mut dataset = Self {
            root: path.to_owned(),
            format,
            files,
            places: Vec::new(),
            episodes: Vec::new(),
            cameras: Vec::new(),
            splits: Splits { file: path.to_owned(), episodes: BTreeMap::new() },
        };
        dataset.number(options.rate)?;
        dataset.cameras = dataset.common_cameras()?;
        Ok(dataset)
    }

    /// Numbers the episodes of all files and the splits that name them.
    fn number(&mut self, rate: Option<f64>) -> Result<(), Error> {
        let mut splits: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let libero = self.format == Format::Libero;
        for (number, file) in self.files.iter().enumerate() {
            let name = match file.path.strip_prefix(&self.root) {
                Ok(within) if within.as_os_str().is_empty() => file.path.file_name().map(Path::new),
                within => within.ok(),
            };
            let name = name.unwrap_or(&file.path).display().to_string();
            let first = self.episodes.len();
            for (place, demo) in file.demos.iter().enumerate() {
                self.places.push((number, place));
                self.episodes.push(Episode {
                    name: format!("{name}/{}", demo.name),
                    frames: demo.frames,
                    rate: rate.or(file.rate).or(libero.then_some(20.0)),
                    texts: file.text.iter().cloned().collect(),
                });
            }
            let places = file.demos.iter().enumerate().map(|(place, demo)| (demo.name.as_str(), place));
            let places: BTreeMap<&str, usize> = places.collect();
            for (split, names) in &file.masks {
                let episodes = splits.entry(split.clone()).or_default();
                for name in names {
                    let place = places.get(name.as_str()).ok_or_else(|| file.unknown(split, name))?;
                    episodes.insert(first + place);
                }
            }
        }
        self.splits.episodes =
            splits.into_iter().map(|(split, episodes)| (split, episodes.into_iter().collect())).collect();
        Ok(())
    }

    /// The cameras of all episodes, with the size of their pictures where all agree.
    fn common_cameras(&self) -> Result<Vec<Camera>, Error> {
        let mut demos = self.files.iter().flat_map(|file| &file.demos);
        let mut common: BTreeMap<&String, Option<(usize, usize)>> = BTreeMap::new();
        if let Some(first) = demos.next() {
            common.extend(first.cameras.iter().map(|(key, &size)| (key, Some(size))));
        }
        for demo in demos {
            common.retain(|key, _| demo.cameras.contains_key(*key));
            for (key, size) in &mut common {
                *size = size.filter(|size| demo.cameras.get(*key) == Some(size));
            }
        }
        if common.is_empty() {
            return Err(Error::Field {
                file: self.root.clone(),
                field: "cameras".into(),
                found: "none that every episode has".into(),
                expected: "a dataset (T, H, W, 3) of u8 below `obs`, of the same name in each demo".into(),
                mend: "give files with the same cameras, each set by itself",
            });
        }
        Ok(common.into_iter().map(|(key, size)| Camera { key: key.clone(), size }).collect())
    }

    /// File and demo of an episode.
    fn demo(&self, episode: usize) -> Result<(&Demos, &demos::Demo), Error> {
        let found = self.places.get(episode).and_then(|&(file, place)| {
            let file = self.files.get(file)?;
            Some((file, file.demos.get(place)?))
        });
        found.ok_or_else(|| Error::setting("episode", episode, format!("below {}", self.episodes.len())))
    }
}

/// The format of all files.
fn format(files: &[Demos]) -> Result<Format, Error> {
    let libero = files.iter().filter(|file| file.libero).count();
    match files.iter().find(|file| !file.libero) {
        None => Ok(Format::Libero),
        Some(_) if libero == 0 => Ok(Format::Robomimic),
        Some(other) => Err(Error::Field {
            file: other.path.clone(),
            field: "attributes of `data`".into(),
            found: "neither `problem_info` nor `bddl_file_name`".into(),
            expected: format!("LIBERO's, as {libero} files beside it have them"),
            mend: "name the format, or give the files separately",
        }),
    }
}

impl Dataset for Robomimic {
    fn format(&self) -> Format {
        self.format
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
        let read = |&episode: &usize| {
            let (file, demo) = self.demo(episode)?;
            let rate = self.episodes.get(episode).and_then(|episode| episode.rate);
            rows::read(file, demo, rate)
        };
        collected(episodes.par_iter().map(read))
    }

    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        let camera = self.camera(Some(camera))?;
        stretch.check(&self.episodes)?;
        let (file, demo) = self.demo(stretch.episode)?;
        let upside_down = self.format == Format::Libero;
        pictures::read(file, demo, &camera.key, &stretch.frames, view, upside_down)
    }
}
