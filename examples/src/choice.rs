//! What a run was started from: a resumed one must read the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cola_coevolve::ExperimentConfig;
use serde::{Deserialize, Serialize};

use crate::args::RunArgs;
use crate::folder::RunFolder;
use crate::sources::{Sources, robodesk};

const FILE: &str = "sources.json";

/// Data, generator and latent action model that the command line named; paths are absolute.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Choice {
    /// A dataset; `None` is the shipped one, or the drawn world where the configuration says so.
    pub data: Option<PathBuf>,
    /// The generator is made anew.
    #[serde(default)]
    pub pretrain: bool,
    /// The run or checkpoint that the latent action model comes from.
    #[serde(default)]
    pub lam_from: Option<PathBuf>,
}

impl Choice {
    /// Of a command line: for a resumed run, that of its first start.
    ///
    /// # Errors
    /// A path that cannot be made absolute, a damaged file.
    pub fn of(args: &RunArgs, folder: &RunFolder) -> Result<Self> {
        if args.resume {
            let file = folder.path(FILE);
            let text = std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
            return serde_json::from_slice(&text)
                .with_context(|| format!("{}: not the JSON that a run writes", file.display()));
        }
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
        Ok(Self { data: absolute(&args.data)?, pretrain: args.pretrain, lam_from: absolute(&args.lam_from)? })
    }

    /// Keeps it with the run.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        write(&folder.path(FILE), &serde_json::to_vec(self)?)
    }

    /// Training and held-out clips.
    ///
    /// # Errors
    /// A dataset that is missing, damaged, or too short for the clips.
    pub fn open(&self, config: &ExperimentConfig) -> Result<Sources> {
        match &self.data {
            Some(data) => Sources::open(data, config),
            None if config.data.drawn => Sources::drawn(config),
            None => Sources::open(&robodesk(), config),
        }
    }
}

/// Writes a whole file or none.
///
/// # Errors
/// The disk's.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    cola_files::write_atomically(file, bytes)
        .with_context(|| format!("{}: cannot be written", file.display()))
}
