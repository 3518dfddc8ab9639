//! The formats, and how a folder or file tells which one it has.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, LeRobot, Videos, videos};

/// How a data set lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// LeRobot v2.0, v2.1 or v3.0: a folder with `meta/info.json`.
    LeRobot,
    /// Plain video files in a folder, with or without a manifest.
    Videos,
    /// robomimic's HDF5 layout, as VP2 uses it: group `data` with `demo_0`, `demo_1`...
    Robomimic,
    /// LIBERO: robomimic's layout with pictures upside down.
    Libero,
    /// RLDS as TensorFlow Datasets writes it: `features.json` and TFRecord shards (Open X-Embodiment).
    Rlds,
    /// AgiBot World as published: `task_info`, `observations`, `proprio_stats`.
    AgiBot,
    /// Safetensors shards of this project.
    Shards,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::LeRobot, Self::Videos, Self::Robomimic, Self::Libero, Self::Rlds, Self::AgiBot, Self::Shards];

    /// The name by which configurations call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeRobot => "lerobot",
            Self::Videos => "videos",
            Self::Robomimic => "robomimic",
            Self::Libero => "libero",
            Self::Rlds => "rlds",
            Self::AgiBot => "agibot",
            Self::Shards => "shards",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or_else(|| Error::setting("format", name, format!("one of {}", names())))
    }
}

/// What a data set does not tell about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenOptions {
    /// Its format; `None` finds it by looking.
    pub format: Option<Format>,
    /// Frames per second, where the format does not store them (HDF5, RLDS); it overrides what is stored there.
    pub rate: Option<f64>,
    /// List of the videos to use, `.csv` or `.jsonl`, for [`Format::Videos`].
    pub manifest: Option<PathBuf>,
    /// Field of the action, where there are several; joined with `+`, for [`Format::Rlds`], e.g.
    /// `action/world_vector+action/rotation_delta`.
    pub action: Option<String>,
}

/// Opens a data set of any format.
///
/// # Errors
/// A path that is not there or holds none of the formats; whatever is wrong with the data set's metadata.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn Dataset>, Error> {
    let format = match options.format {
        Some(format) => format,
        None => detect(path)?,
    };
    Ok(match format {
        Format::LeRobot => Arc::new(LeRobot::open(path)?),
        Format::Videos => Arc::new(Videos::open(path, options)?),
        other => return Err(Error::setting("format", other, "a format with a reader")),
    })
}

/// The format of what lies at `path`.
///
/// # Errors
/// Nothing there, or nothing that is known.
pub fn detect(path: &Path) -> Result<Format, Error> {
    if !path.exists() {
        return Err(Error::MissingFolder { path: path.to_owned() });
    }
    // In this order: a data set of another format may hold videos as well.
    let checks: [(Format, Check); 2] = [
        (Format::LeRobot, |path| Ok(path.join("meta/info.json").is_file())),
        (Format::Videos, videos::found),
    ];
    for (format, found) in checks {
        if found(path)? {
            return Ok(format);
        }
    }
    let file = path.join("meta/info.json");
    let mend = "check --data: it names the folder that holds meta, data and videos";
    Err(Error::MissingFile { file, expected: "the metadata of a LeRobot data set", mend })
}

/// Whether a path holds a format.
type Check = fn(&Path) -> Result<bool, Error>;
