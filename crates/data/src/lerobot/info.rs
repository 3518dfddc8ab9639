//! `meta/info.json`: version, rate, splits, where files lie, what the features are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::Part;
use crate::Error;

/// Where the file lies in a data set.
pub(super) const FILE: &str = "meta/info.json";

/// Largest picture side taken seriously, the largest that H.264 has.
const LARGEST_SIDE: usize = 16_384;

/// What `meta/info.json` says about the whole data set. Fields that nothing here needs are left out.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    /// Version of the format; always `v3.0` here.
    pub codebase_version: String,
    /// Frames per second.
    pub fps: f64,
    /// Number of episodes.
    pub total_episodes: usize,
    /// Number of frames of all episodes.
    pub total_frames: usize,
    /// Name of a split -> `"start:end"`, a half-open range of episodes.
    #[serde(default)]
    pub splits: BTreeMap<String, String>,
    /// Template of the row files.
    pub data_path: String,
    /// Template of the video files; `None` in a data set without videos.
    #[serde(default)]
    pub video_path: Option<String>,
    /// Name -> column or video.
    pub features: BTreeMap<String, Feature>,
}

/// One column or one video.
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
        let file = root.join(FILE);
        if !file.is_file() {
            let mend = "check --data: it names the folder that holds meta, data and videos";
            return Err(Error::MissingFile { file, expected: "the metadata of a LeRobot data set", mend });
        }
        let bytes = std::fs::read(&file).map_err(|source| Error::Read { file: file.clone(), source })?;
        let json = |source| Error::Json { file: file.clone(), source };
        let value: Value = serde_json::from_slice(&bytes).map_err(json)?;
        // Before the rest: other versions lack fields, and their name says more than the first one missing.
        match value.get("codebase_version").and_then(Value::as_str) {
            Some("v3.0") => {}
            found => return Err(Error::Version { file, found: found.unwrap_or("none").to_owned() }),
        }
        let info: Self = serde_json::from_value(value).map_err(json)?;
        if !(info.fps > 0.0 && info.fps.is_finite()) {
            return Err(field(root, "fps", info.fps, "a positive number of frames per second"));
        }
        Ok(info)
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
            [width] if (1..=1 << 16).contains(&width) => Ok(Some(width)),
            _ => {
                let found = format!("{:?}", feature.shape);
                Err(field(root, &format!("features.{name}.shape"), found, "one axis of 1 to 65536 numbers"))
            }
        }
    }

    /// File with the rows of a part.
    pub(super) fn data_file(&self, root: &Path, part: Part) -> Result<PathBuf, Error> {
        let path = expand(&self.data_path, "", part);
        path.map(|path| root.join(path)).ok_or_else(|| template(root, "data_path", &self.data_path))
    }

    /// File with the pictures of a part.
    pub(super) fn video_file(&self, root: &Path, camera: &str, part: Part) -> Result<PathBuf, Error> {
        let text = self.video_path.as_deref().unwrap_or("null");
        let path = self.video_path.as_deref().and_then(|text| expand(text, camera, part));
        path.map(|path| root.join(path)).ok_or_else(|| template(root, "video_path", text))
    }
}

/// Fills a template such as `data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet`.
fn expand(template: &str, camera: &str, part: Part) -> Option<String> {
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
            "chunk_index" => path += &format!("{:0digits$}", part.chunk, digits = digits?),
            "file_index" => path += &format!("{:0digits$}", part.file, digits = digits?),
            "video_key" => path += camera,
            _ => return None,
        }
        rest = after;
    }
    Some(path + rest)
}

fn template(root: &Path, name: &str, found: &str) -> Error {
    field(
        root,
        name,
        format!("{found:?}"),
        "a path with {chunk_index:03d}, {file_index:03d} and {video_key} as slots",
    )
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
