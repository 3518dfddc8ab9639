//! Plain video files: a folder of them, or one.

mod files;
mod manifest;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::dataset::{Camera, Dataset, Decoded, Episode, Rows, Splits, Stretch, read_one};
use crate::recent::{OPEN_VIDEOS, Recent};
use crate::video::{self, Part, Video};
use crate::{Error, Format, Frames, OpenOptions, View, resize};
use manifest::Row;

/// Key of the only camera.
const CAMERA: &str = "video";

const MEND: &str = "the size changes within the file, or its header is wrong; re-encode it with \
                    `ffmpeg -i in.mp4 -c:v libx264 -pix_fmt yuv420p -g 8 out.mp4`";

/// Video files without rows or actions, one episode each, or as many as a manifest cuts out of them.
///
/// Files end in mp4, mov, m4v, webm, mkv or avi, in capitals too, and lie at most 16 folders deep; names that begin with
/// a dot are passed over, and so are links to folders; links to files are followed. Episodes come in the order of their
/// paths, or of the manifest's rows. The camera's key is `video`, times are those of presentation, there are no actions.
///
/// # Manifest
/// [`OpenOptions::manifest`], or else `manifest.csv` or `manifest.jsonl` in the folder. A row is an episode:
///
/// | field | meaning |
/// |---|---|
/// | `path` | video file, relative to the folder; the only field that must be there |
/// | `start`, `end` | seconds since the first frame; frames with `start <= time < end` belong to the episode |
/// | `start_frame`, `end_frame` | instead of the times: first frame from 0, and one past the last |
/// | `split` | name of its split |
/// | `text` | what is seen |
///
/// Other fields are passed over. CSV has a header and may have quotes (RFC 4180).
///
/// # Splits
/// Those of the manifest, or the folders `train`, `valid` (also `val`) and `test` in the root.
pub struct Videos {
    root: PathBuf,
    episodes: Vec<Episode>,
    cameras: Vec<Camera>,
    splits: Splits,
    cuts: Vec<Cut>,
    skipped: Vec<(PathBuf, String)>,
    videos: Recent<Video>,
}

/// Where an episode lies.
struct Cut {
    file: PathBuf,
    frames: Range<usize>,
}

/// A file that can be read.
struct Film {
    size: (usize, usize),
    rate: Option<f64>,
    times: Vec<f64>,
}

impl Videos {
    /// Opens the videos in folder `root`, or the video file `root`, and reads their tables; nothing is decoded.
    ///
    /// # Errors
    /// A folder that is missing or cannot be read, a manifest that is wrong, no file that can be read.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self, Error> {
        if !root.exists() {
            return Err(Error::MissingFolder { path: root.to_owned() });
        }
        let beside = || ["manifest.csv", "manifest.jsonl"].map(|name| root.join(name)).into_iter();
        let list = options.manifest.clone().or_else(|| beside().find(|file| file.is_file()));
        let (home, rows) = match &list {
            _ if root.is_file() => (home(root).to_owned(), alone(root)),
            Some(list) => (root.to_owned(), manifest::read(list)?),
            None => (root.to_owned(), files::list(root, usize::MAX)?.into_iter().map(whole).collect()),
        };
        let mut found = Self {
            root: root.to_owned(),
            episodes: Vec::new(),
            cameras: Vec::new(),
            splits: Splits { file: list.unwrap_or_else(|| root.to_owned()), ..Splits::default() },
            cuts: Vec::new(),
            skipped: Vec::new(),
            videos: Recent::new(OPEN_VIDEOS),
        };
        found.fill(&home, rows);
        match found.episodes.is_empty() {
            false => Ok(found),
            true => Err(Error::Field {
                file: root.to_owned(),
                field: "videos".into(),
                found: found.skipped.first().map_or("none".into(), |(file, why)| {
                    format!(
                        "{} that cannot be used, the first {}: {why}",
                        found.skipped.len(),
                        file.display()
                    )
                }),
                expected: format!("files that end in {}", files::EXTENSIONS.join(", ")),
                mend: "check --data and its manifest",
            }),
        }
    }

    /// Files, or episodes of a manifest, that were left out, each with the reason.
    pub fn skipped(&self) -> &[(PathBuf, String)] {
        &self.skipped
    }

    /// Reads the tables of all files and makes the episodes.
    fn fill(&mut self, home: &Path, rows: Vec<Row>) {
        let mut paths: Vec<&Path> = rows.iter().map(|row| row.path.as_path()).collect();
        paths.sort_unstable();
        paths.dedup();
        let films: BTreeMap<&Path, Result<Film, String>> =
            paths.into_par_iter().map(|path| (path, film(home, path))).collect();
        let mut sizes = Vec::new();
        for row in &rows {
            let film = films[row.path.as_path()].as_ref().map_err(Clone::clone);
            let cut = film.and_then(|film| Ok((film, frames(film, row)?)));
            let (film, frames) = match cut {
                Ok(found) => found,
                Err(why) => {
                    self.skipped.push((home.join(&row.path), why));
                    continue;
                }
            };
            let name = files::name(&row.path);
            let name = if frames.len() == film.times.len() { name } else { format!("{name}#{frames:?}") };
            let texts = row.text.iter().cloned().collect();
            if let Some(split) = row.split.as_deref().or_else(|| folder_split(&row.path)) {
                self.splits.episodes.entry(split.to_owned()).or_default().push(self.episodes.len());
            }
            self.episodes.push(Episode { name, frames: frames.len(), rate: film.rate, texts });
            self.cuts.push(Cut { file: home.join(&row.path), frames });
            sizes.push(film.size);
        }
        let size = sizes.first().copied().filter(|first| sizes.iter().all(|size| size == first));
        self.cameras = vec![Camera { key: CAMERA.into(), size }];
    }

    fn video(&self, file: &Path) -> Result<Arc<Video>, Error> {
        self.videos.get(file, || Video::open(file, None, MEND))
    }

    /// The part of its file that an episode is.
    fn cut(&self, episode: usize) -> Result<&Cut, Error> {
        let expected = || format!("below {}", self.cuts.len());
        self.cuts.get(episode).ok_or_else(|| Error::setting("episode", episode, expected()))
    }

    /// Reads the wanted frames of a few files.
    fn read_files(
        &self,
        files: &[(&Path, Wanted)],
        view: &View,
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let &View { region, height, width } = view;
        let videos: Vec<Arc<Video>> =
            files.iter().map(|(file, _)| self.video(file)).collect::<Result<_, _>>()?;
        let numbers: Vec<Vec<usize>> =
            files.iter().map(|(_, wanted)| wanted.keys().copied().collect()).collect();
        let parts = videos.iter().zip(&numbers).map(|(video, wanted)| Part { video, wanted });
        let parts: Vec<Part<'_>> = parts.collect();
        let keep = |picture: &Frames| {
            Ok(resize(picture, &region.pixels(picture.height, picture.width)?, height, width)?.rgb)
        };
        video::stream_all(&parts, height * width * 3, keep, |part, frame, rgb| {
            // Episodes may overlap, so that a frame has several places.
            let places = files[part].1.get(&frame).map_or(&[][..], Vec::as_slice);
            places.iter().try_for_each(|&(stretch, place)| each(Decoded { stretch, place, rgb: rgb.clone() }))
        })
    }
}

/// Number of a frame in its file -> stretches of the request, and places in them.
type Wanted = BTreeMap<usize, Vec<(usize, usize)>>;

impl Dataset for Videos {
    fn format(&self) -> Format {
        Format::Videos
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

    fn skipped(&self) -> Vec<(String, String)> {
        self.skipped.iter().map(|(file, why)| (file.display().to_string(), why.clone())).collect()
    }

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        self.splits.get(name)
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        let rows = |&episode: &usize| {
            let cut = self.cut(episode)?;
            let video = self.video(&cut.file)?;
            let times = video.times().get(cut.frames.clone()).ok_or_else(|| changed(cut, &video))?;
            Ok(Rows { times: times.iter().map(|time| time - times[0]).collect(), ..Rows::default() })
        };
        episodes.iter().map(rows).collect()
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
        self.camera(Some(camera))?;
        view.check()?;
        let mut files: BTreeMap<&Path, Wanted> = BTreeMap::new();
        for (number, stretch) in wanted.iter().enumerate() {
            stretch.check(&self.episodes)?;
            let cut = self.cut(stretch.episode)?;
            let places = files.entry(&cut.file).or_default();
            for (place, frame) in stretch.frames.iter().enumerate() {
                places.entry(cut.frames.start + frame).or_default().push((number, place));
            }
        }
        let files: Vec<(&Path, Wanted)> = files.into_iter().collect();
        // As many files at once as stay open: their stretches are decoded in parallel.
        files.chunks(OPEN_VIDEOS).try_for_each(|files| self.read_files(files, view, each))
    }
}

/// The only row for a single file.
fn alone(file: &Path) -> Vec<Row> {
    file.file_name().map(|name| whole(name.into())).into_iter().collect()
}

/// The folder of a file; a bare name has an empty one.
fn home(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The whole file.
fn whole(path: PathBuf) -> Row {
    Row { path, ..Row::default() }
}

/// Reads a file's tables, or says why it cannot be used.
fn film(home: &Path, path: &Path) -> Result<Film, String> {
    let file = home.join(path);
    // The file itself may be a link to anywhere: caches of data sets keep the content elsewhere.
    let folder = file.parent().unwrap_or(home);
    let inside = home.canonicalize().and_then(|home| Ok(folder.canonicalize()?.starts_with(home)));
    match inside {
        Ok(true) => {}
        Ok(false) => return Err("a link to a folder that leads out of the data set".into()),
        Err(error) => return Err(error.to_string()),
    }
    let video = Video::open(&file, None, MEND).map_err(|error| error.to_string())?;
    Ok(Film { size: video.size(), rate: video.mean_rate(), times: video.times().to_vec() })
}

/// The frames of a row's episode.
fn frames(film: &Film, row: &Row) -> Result<Range<usize>, String> {
    // Times in lists are rounded; a frame is far longer than this.
    let at = |time: f64| film.times.partition_point(|&shown| shown < time - 1e-4);
    let all = film.times.len();
    let start = row.start_frame.or(row.start.map(at)).unwrap_or(0);
    let end = row.end_frame.or(row.end.map(at)).unwrap_or(all);
    if start >= end || end > all {
        return Err(format!("line {}: frames {start}..{end} of a video of {all}", row.line));
    }
    Ok(start..end)
}

/// The split that the first folder of a path names.
fn folder_split(path: &Path) -> Option<&'static str> {
    let mut parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let folder = parts.next()?.as_os_str().to_str()?;
    parts.next()?;
    match folder {
        "train" => Some("train"),
        "valid" | "val" => Some("valid"),
        "test" => Some("test"),
        _ => None,
    }
}

/// A file that has become shorter since it was opened.
fn changed(cut: &Cut, video: &Video) -> Error {
    Error::Field {
        file: cut.file.clone(),
        field: "frames".into(),
        found: video.times().len().to_string(),
        expected: format!("{:?}, as when the data set was opened", cut.frames),
        mend: "the file has changed, open the data set again",
    }
}

/// Whether `path` is a video file, or a folder with one below it.
pub(crate) fn found(path: &Path) -> Result<bool, Error> {
    if path.is_dir() { Ok(!files::list(path, 1)?.is_empty()) } else { Ok(files::is_video(path)) }
}
