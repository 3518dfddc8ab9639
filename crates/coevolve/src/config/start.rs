//! `start`: what a run takes over from others before its first step.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a run takes over before its first step. A resumed run never looks here again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartConfig {
    /// Checkpoint, or folder of a run, whose weights this run starts with: all five parameter sets, no moments and no
    /// steps; no generator is needed then. Empty for fresh parameters.
    pub init_from: PathBuf,
    /// The same for the inverse dynamics model and the codebook only; applied last. Empty for none.
    pub lam_from: PathBuf,
    /// The pre-trained video generator: "shipped" (where it does not fit, one is made as `pretrain` says), "make", or
    /// a folder with `backbone.safetensors` and `codec.safetensors`.
    pub generator: Generator,
}

/// Where the pre-trained video generator comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub enum Generator {
    /// The one of the program; where it is for another model, latents or view, as [`Generator::Make`].
    #[default]
    Shipped,
    /// Made by the run itself, by the plan `pretrain`.
    Make,
    /// `backbone.safetensors` and `codec.safetensors` in a folder.
    Folder(PathBuf),
}

impl Generator {
    /// Words that are no folders; a folder of such a name is written `./make`.
    const SHIPPED: &'static str = "shipped";
    const MAKE: &'static str = "make";

    pub(super) fn folder_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Shipped | Self::Make => None,
        }
    }
}

impl From<PathBuf> for Generator {
    fn from(path: PathBuf) -> Self {
        match path.to_str() {
            Some(Self::SHIPPED | "") => Self::Shipped,
            Some(Self::MAKE) => Self::Make,
            _ => Self::Folder(path),
        }
    }
}

impl From<Generator> for PathBuf {
    fn from(generator: Generator) -> Self {
        match generator {
            Generator::Shipped => Generator::SHIPPED.into(),
            Generator::Make => Generator::MAKE.into(),
            Generator::Folder(folder) => folder,
        }
    }
}
