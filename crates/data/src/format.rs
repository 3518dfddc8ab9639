//! The formats, and how a folder or file tells which one it has.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

#[cfg(feature = "pictures")]
use crate::Rlds;
use crate::{Dataset, Error, LeRobot, Shards, Videos, hdf5_files, shards, videos};
#[cfg(feature = "hdf5")]
use crate::{agibot::AgiBot, robomimic::Robomimic};

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
        Format::Shards => Arc::new(Shards::open(path)?),
        #[cfg(feature = "pictures")]
        Format::Rlds => Arc::new(Rlds::open(path, options)?),
        #[cfg(not(feature = "pictures"))]
        Format::Rlds => return Err(missing(format, "pictures")),
        #[cfg(feature = "hdf5")]
        Format::Robomimic | Format::Libero => Arc::new(Robomimic::open(path, options)?),
        #[cfg(feature = "hdf5")]
        Format::AgiBot => Arc::new(AgiBot::open(path, options)?),
        #[cfg(not(feature = "hdf5"))]
        Format::Robomimic | Format::Libero | Format::AgiBot => return Err(missing(format, "hdf5")),
    })
}

/// A format whose reader this build lacks.
#[cfg(not(all(feature = "hdf5", feature = "pictures")))]
fn missing(format: Format, feature: &str) -> Error {
    let expected = format!("a format that this build reads; build cola-data with its feature `{feature}`");
    Error::setting("format", format, expected)
}

/// The format of what lies at `path`.
///
/// # Errors
/// Nothing there, nothing that is known, or a folder that cannot be listed.
pub fn detect(path: &Path) -> Result<Format, Error> {
    if !path.exists() {
        return Err(Error::MissingFolder { path: path.to_owned() });
    }
    // In this order: a data set of another format may hold videos as well. LeRobot v1 had its metadata elsewhere, and an
    // incomplete copy may lack its info.json: the reader says so, where film after film would lose episodes and actions.
    let lerobot = [
        "meta/info.json",
        "meta_data/info.json",
        "meta/episodes",
        "meta/episodes.jsonl",
        "meta/tasks.parquet",
    ];
    if lerobot.iter().any(|part| path.join(part).exists()) {
        return Ok(Format::LeRobot);
    }
    if path.join(shards::FILE).is_file() {
        return Ok(Format::Shards);
    }
    if holds_records(path) || entries(path).iter().any(|version| holds_records(version)) {
        return Ok(Format::Rlds);
    }
    let agibot = ["task_info", "proprio_stats"].iter().any(|part| path.join(part).is_dir());
    if agibot && path.join("observations").is_dir() {
        return Ok(Format::AgiBot);
    }
    if let Some(file) = hdf5_files::first(path)? {
        return Ok(hdf5_files::format(&file));
    }
    if videos::found(path)? {
        return Ok(Format::Videos);
    }
    Err(Error::MissingFile {
        file: path.to_owned(),
        expected: "a data set: meta/info.json (LeRobot), *.tfrecord-* (RLDS), *.hdf5 (robomimic, LIBERO), task_info and \
                   observations (AgiBot World), shards.json, or video files",
        mend: "name the folder that holds one of these",
    })
}

/// Whether TFRecord shards lie in this folder.
fn holds_records(folder: &Path) -> bool {
    let shard =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().contains(".tfrecord-"));
    entries(folder).iter().any(shard)
}

/// What lies in a folder; nothing if it cannot be listed.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten();
    found.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
