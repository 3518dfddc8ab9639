//! What every episode of a new data set has in common.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{Camera, Error};

/// What every frame of a data set holds, and how its pictures are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct LeRobotLayout {
    /// Frames per second.
    pub fps: f64,
    /// What the robot is called; `None` if nobody knows.
    pub robot_type: Option<String>,
    /// Cameras, at least one. Each needs a size, and a key that can be a folder's name, such as `observation.images.top`.
    pub cameras: Vec<Camera>,
    /// Name of each component of the action; empty for data without actions.
    pub action_names: Vec<String>,
    /// Name of each component of the state; empty for data without states.
    pub state_names: Vec<String>,
    /// How pictures are stored.
    pub pictures: PictureStore,
    /// When the next file begins.
    pub limits: FileLimits,
}

/// How pictures are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureStore {
    /// As H.264 videos; sides must be even and at least 16.
    H264 {
        /// Frames from one key frame to the next. Every episode begins with one.
        key_every: u32,
        /// 12 (best) to 51; 14 brings brightness back at some 47 dB.
        quantizer: u8,
    },
    /// As PNGs in the tables, exactly as they came.
    Png,
}

impl Default for PictureStore {
    /// H.264 with a key frame every 8 frames and quantizer 14.
    fn default() -> Self {
        Self::H264 { key_every: 8, quantizer: 14 }
    }
}

/// Sizes after which the next episode goes to a new file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FileLimits {
    /// MiB of a file of rows.
    pub data_mb: u32,
    /// MiB of a video.
    pub video_mb: u32,
    /// Seconds of a video. The Python package compares 32-bit times with a tolerance of 10⁻⁴ s, which are too coarse for
    /// that from 1024 s on.
    pub video_seconds: f64,
}

impl Default for FileLimits {
    /// LeRobot's sizes, and 900 seconds.
    fn default() -> Self {
        Self { data_mb: 100, video_mb: 200, video_seconds: 900.0 }
    }
}

/// Columns that every data set has.
const COLUMNS: [&str; 5] = ["timestamp", "frame_index", "episode_index", "index", "task_index"];
pub(super) const STATE: &str = "observation.state";
pub(super) const ACTION: &str = "action";

impl LeRobotLayout {
    /// Cameras without rows, stored as H.264 in files of LeRobot's sizes.
    pub fn new(fps: f64, cameras: Vec<Camera>) -> Self {
        Self {
            fps,
            robot_type: None,
            cameras,
            action_names: Vec::new(),
            state_names: Vec::new(),
            pictures: PictureStore::default(),
            limits: FileLimits::default(),
        }
    }

    /// Height and width of each camera's pictures.
    ///
    /// # Errors
    /// Whatever no data set can have.
    pub(super) fn check(&self) -> Result<Vec<(usize, usize)>, Error> {
        if !(self.fps > 0.0 && self.fps <= 1000.0) {
            return Err(Error::setting("layout.fps", self.fps, "above 0, at most 1000"));
        }
        let FileLimits { data_mb, video_mb, video_seconds } = self.limits;
        if data_mb == 0 || video_mb == 0 || video_seconds.is_nan() || video_seconds <= 0.0 {
            let expected = "sizes and seconds above 0";
            return Err(Error::setting("layout.limits", format!("{:?}", self.limits), expected));
        }
        let mut keys = BTreeSet::from([STATE, ACTION]);
        keys.extend(COLUMNS);
        for Camera { key, .. } in &self.cameras {
            let plain =
                !key.contains(['/', '\\', '\0', '{', '}']) && !["", ".", ".."].contains(&key.as_str());
            if !plain || !keys.insert(key) {
                let expected = format!("keys that can be folder names, all different, none of {keys:?}");
                return Err(Error::setting("layout.cameras", format!("{key:?}"), expected));
            }
        }
        if self.cameras.is_empty() {
            return Err(Error::setting("layout.cameras", "none", "at least one"));
        }
        self.cameras.iter().map(|camera| self.size(camera)).collect()
    }

    fn size(&self, camera: &Camera) -> Result<(usize, usize), Error> {
        let refused = |found: String, expected: &str| {
            Err(Error::setting("layout.cameras", format!("{found} for `{}`", camera.key), expected))
        };
        let Some((height, width)) = camera.size else {
            return refused("no size".into(), "one size for all pictures; resize them");
        };
        let found = format!("{height} x {width}");
        match self.pictures {
            // 4:2:0 keeps one color for each 2 x 2 pixels, and the stream can only be cropped by whole such blocks.
            PictureStore::H264 { .. } if height % 2 + width % 2 > 0 => {
                refused(found, "even sides for H.264; resize the pictures or store them as PNG")
            }
            PictureStore::H264 { .. } if height.min(width) < 16 => {
                refused(found, "sides of 16 or more for H.264; resize the pictures or store them as PNG")
            }
            _ if height == 0 || width == 0 || height.max(width) > 16_384 => {
                refused(found, "sides of 1 to 16384")
            }
            _ => Ok((height, width)),
        }
    }

    /// `fps` as the metadata have it: a whole number where it is one.
    pub(super) fn rate(&self) -> Value {
        if self.fps.fract() == 0.0 { json!(self.fps as u64) } else { json!(self.fps) }
    }

    /// `features` of `meta/info.json`.
    pub(super) fn features(&self) -> Map<String, Value> {
        let mut features = Map::new();
        for camera in &self.cameras {
            let (height, width) = camera.size.unwrap_or_default();
            let mut feature = json!({
                "dtype": "image",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
            });
            if let PictureStore::H264 { .. } = self.pictures {
                feature["dtype"] = json!("video");
                feature["info"] = json!({
                    "video.height": height, "video.width": width, "video.codec": "h264",
                    "video.pix_fmt": "yuv420p", "video.is_depth_map": false, "video.fps": self.rate(),
                    "video.channels": 3, "has_audio": false,
                });
            }
            features.insert(camera.key.clone(), feature);
        }
        for (key, names) in self.vectors() {
            features.insert(
                key.to_owned(),
                json!({ "dtype": "float32", "shape": [names.len()], "names": names }),
            );
        }
        for column in COLUMNS {
            let dtype = if column == "timestamp" { "float32" } else { "int64" };
            features.insert(column.to_owned(), json!({ "dtype": dtype, "shape": [1], "names": null }));
        }
        features
    }

    /// The same features as the package `datasets` describes them in the tables of rows.
    pub(super) fn columns(&self) -> Value {
        let value = |dtype: &str| json!({ "dtype": dtype, "_type": "Value" });
        let mut columns = Map::new();
        if self.pictures == PictureStore::Png {
            let image = |camera: &Camera| (camera.key.clone(), json!({ "_type": "Image" }));
            columns.extend(self.cameras.iter().map(image));
        }
        for (key, names) in self.vectors() {
            let column = match names.len() {
                1 => value("float32"),
                length => json!({ "feature": value("float32"), "length": length, "_type": "Sequence" }),
            };
            columns.insert(key.to_owned(), column);
        }
        for column in COLUMNS {
            columns.insert(column.to_owned(), value(if column == "timestamp" { "float32" } else { "int64" }));
        }
        json!({ "info": { "features": columns } })
    }

    /// State and action, as far as there are any.
    pub(super) fn vectors(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let both = [(STATE, self.state_names.as_slice()), (ACTION, self.action_names.as_slice())];
        both.into_iter().filter(|(_, names)| !names.is_empty())
    }
}
