//! `meta/info.json`: version, rate, splits, where files lie, what the features are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::Part;
use crate::Error;

/// Where the file lies in a data set.
pub(super) const FILE: &str = "meta/info.json";

/// Where it lay in v1.
const FILE_V1: &str = "meta_data/info.json";

/// The versions that are read.
const VERSIONS: [&str; 3] = ["v2.0", "v2.1", "v3.0"];

/// Episodes taken seriously; the largest sets have about two million.
const MOST_EPISODES: usize = 1 << 22;

/// Largest picture side taken seriously, the largest that H.264 has.
const LARGEST_SIDE: usize = 16_384;

/// Numbers in a row of a feature.
const MOST_NUMBERS: usize = 1 << 16;

/// What `meta/info.json` says about the whole data set. Fields that nothing here needs are left out.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    /// Version of the format: `v2.0`, `v2.1` or `v3.0`.
    pub codebase_version: String,
    /// Frames per second.
    pub fps: f64,
    /// Number of episodes.
    pub total_episodes: usize,
    /// Number of frames of all episodes.
    pub total_frames: usize,
    /// Episodes (v2) or files (v3) in a folder.
    #[serde(default = "chunks_size")]
    pub chunks_size: u64,
    /// Name of a split -> `"start:end"`, a half-open range of episodes.
    #[serde(default)]
    pub splits: BTreeMap<String, String>,
    /// Template of the row files.
    pub data_path: String,
    /// Template of the video files; `None` in a data set without videos.
    #[serde(default)]
    pub video_path: Option<String>,
    /// Name -> column, pictures or video.
    pub features: BTreeMap<String, Feature>,
}

/// One column, or one camera.
#[derive(Clone, Debug, Deserialize)]
pub struct Feature {
    /// `video`, `image`, `float32`, `int64`, `bool` or `string`.
    pub dtype: String,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Names of the axes or of the values: list, object or null.
    #[serde(default)]
    pub names: Value,
}

impl Info {
    /// Reads and checks the file of the data set in `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let mut file = root.join(FILE);
        if !file.is_file() {
            let v1 = root.join(FILE_V1);
            if !v1.is_file() {
                let mend = "check --data: it names the folder that holds meta and data";
                return Err(Error::MissingFile {
                    file,
                    expected: "the metadata of a LeRobot data set",
                    mend,
                });
            }
            file = v1;
        }
        let bytes = std::fs::read(&file).map_err(|source| Error::Read { file: file.clone(), source })?;
        let json = |source| Error::Json { file: file.clone(), source };
        let value: Value = serde_json::from_slice(&bytes).map_err(json)?;
        // Before the rest: other versions lack fields, and their name says more than the first one missing.
        match value.get("codebase_version").and_then(Value::as_str) {
            Some(version) if VERSIONS.contains(&version) => {}
            found => return Err(Error::Version { file, found: found.unwrap_or("none").to_owned() }),
        }
        let info: Self = serde_json::from_value(value).map_err(json)?;
        if !(info.fps > 0.0 && info.fps.is_finite()) {
            return Err(field(root, "fps", info.fps, "a positive number of frames per second"));
        }
        if info.chunks_size == 0 {
            return Err(field(root, "chunks_size", 0, "at least 1"));
        }
        if info.total_episodes > MOST_EPISODES {
            let expected = format!("at most {MOST_EPISODES}");
            return Err(field(root, "total_episodes", info.total_episodes, &expected));
        }
        Ok(info)
    }

    /// Whether each episode has files of its own (v2) and does not share them with others (v3).
    pub(super) fn own_files(&self) -> bool {
        self.codebase_version.starts_with("v2")
    }

    /// Cameras with video files, in alphabetical order.
    pub(super) fn videos(&self) -> impl Iterator<Item = &String> {
        self.features.iter().filter(|(_, feature)| feature.dtype == "video").map(|(key, _)| key)
    }

    /// The episodes of a split of a data set with `episodes` of them.
    pub(super) fn split(&self, root: &Path, name: &str, episodes: usize) -> Result<Vec<usize>, Error> {
        let file = root.join(FILE);
        let Some(text) = self.splits.get(name) else {
            let found = self.splits.keys().cloned().collect();
            return Err(Error::Split { file, wanted: name.to_owned(), found });
        };
        let parsed = text.split_once(':').and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
        match parsed {
            Some(Range { start, end }) if start == end => {
                Err(Error::EmptySplit { file, split: name.to_owned(), found: text.clone() })
            }
            Some(range) if range.start < range.end && range.end <= episodes => Ok(range.collect()),
            _ => Err(Error::Field {
                file,
                field: format!("splits.{name}"),
                found: format!("{text:?}"),
                expected: format!("\"start:end\" with start < end <= {episodes}"),
                mend: "correct the range",
            }),
        }
    }

    /// Height and width of a camera's pictures.
    pub(super) fn picture(&self, root: &Path, camera: &str) -> Result<(usize, usize), Error> {
        let feature = self.features.get(camera);
        let sides = feature.and_then(|feature| {
            let [first, second, third] = *feature.shape.as_slice() else { return None };
            let height =
                feature.names.as_array().and_then(|names| names.iter().position(|name| name == "height"));
            // Without names, a short axis at the end can only be the channels.
            match height.unwrap_or(if third <= 4 { 0 } else { 1 }) {
                0 => Some((first, second)),
                1 => Some((second, third)),
                _ => None,
            }
        });
        let legal = 1..=LARGEST_SIDE;
        sides.filter(|(height, width)| legal.contains(height) && legal.contains(width)).ok_or_else(|| {
            let found = feature.map_or("none".to_owned(), |feature| format!("{:?}", feature.shape));
            field(
                root,
                &format!("features.{camera}.shape"),
                found,
                "(height, width, 3) or (3, height, width)",
            )
        })
    }

    /// Numbers in one row of a feature; `None` if there is no such feature.
    pub(super) fn width(&self, root: &Path, name: &str) -> Result<Option<usize>, Error> {
        let Some(feature) = self.features.get(name) else { return Ok(None) };
        match *feature.shape.as_slice() {
            [] => Ok(Some(1)),
            [width] if (1..=MOST_NUMBERS).contains(&width) => Ok(Some(width)),
            _ => {
                let found = format!("{:?}", feature.shape);
                Err(field(root, &format!("features.{name}.shape"), found, "one axis of 1 to 65536 numbers"))
            }
        }
    }

    /// Numbers in one row of a feature that is used where it has one axis of numbers; 0 where it is not so.
    pub(super) fn optional_width(&self, name: &str) -> usize {
        match self.features.get(name) {
            Some(Feature { dtype, shape, .. }) if dtype.starts_with("float") || dtype.starts_with("int") => {
                match *shape.as_slice() {
                    [width] if width <= MOST_NUMBERS => width,
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// File with the rows of a part.
    pub(super) fn data_file(&self, root: &Path, part: Part) -> Result<PathBuf, Error> {
        self.file(root, "data_path", &self.data_path, "", part)
    }

    /// File with the pictures of a part.
    pub(super) fn video_file(&self, root: &Path, camera: &str, part: Part) -> Result<PathBuf, Error> {
        self.file(root, "video_path", self.video_path.as_deref().unwrap_or(""), camera, part)
    }

    /// The file that the template `name` gives for a part.
    fn file(&self, root: &Path, name: &str, text: &str, camera: &str, part: Part) -> Result<PathBuf, Error> {
        let slots =
            if self.own_files() { ["episode_chunk", "episode_index"] } else { ["chunk_index", "file_index"] };
        expand(text, slots, camera, part).and_then(|path| inside(root, &path)).ok_or_else(|| {
            let of = if camera.is_empty() { String::new() } else { format!(" for camera {camera:?}") };
            let [chunk, file] = slots;
            let expected = format!(
                "a path inside the data set, without `..`, with {{{chunk}:03d}}, {{{file}:03d}} and {{video_key}} as slots"
            );
            field(root, name, format!("{text:?}{of}"), &expected)
        })
    }
}

/// The path `root/path`; `None` if it may lie elsewhere.
///
/// Links in the folder are followed: caches of downloaded sets are made of them.
pub(super) fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let mut parts = Path::new(path).components();
    let within = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (within && !path.is_empty()).then(|| root.join(path))
}

/// Fills a template such as `data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet`, whose slots have these names.
fn expand(template: &str, slots: [&str; 2], camera: &str, part: Part) -> Option<String> {
    let mut path = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}')?;
        let (name, format) = slot.split_once(':').unwrap_or((slot, "d"));
        // At most two digits, so that a damaged template cannot ask for a path of gigabytes.
        let digits = format.strip_suffix('d').filter(|digits| digits.len() <= 2);
        let digits = digits.and_then(|digits| if digits.is_empty() { Some(0) } else { digits.parse().ok() });
        path += text;
        match name {
            name if name == slots[0] => path += &format!("{:0digits$}", part.chunk, digits = digits?),
            name if name == slots[1] => path += &format!("{:0digits$}", part.file, digits = digits?),
            "video_key" => path += camera,
            _ => return None,
        }
        rest = after;
    }
    Some(path + rest)
}

/// The number of LeRobot's own writers.
fn chunks_size() -> u64 {
    1000
}

fn field(root: &Path, name: &str, found: impl ToString, expected: &str) -> Error {
    Error::Field {
        file: root.join(FILE),
        field: name.to_owned(),
        found: found.to_string(),
        expected: expected.to_owned(),
        mend: "restore the file from the data set's source",
    }
}
