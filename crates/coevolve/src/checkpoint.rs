//! Checkpoints: folders that are complete or absent, and that are checked before they are believed.

mod counters;
mod digest;
mod load;
mod rotate;
mod save;
pub(crate) mod shapes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cola_lam::CodeRestart;
use serde::{Deserialize, Serialize};

use self::digest::Digest;
pub use self::digest::verify;
pub(crate) use self::load::{examine, load};
pub(crate) use self::rotate::prepare;
pub(crate) use self::save::{save, write};
use crate::Error;
use crate::config::ExperimentConfig;
use crate::divergence::Skips;
use crate::health::Health;
use crate::run::Run;
use crate::window::Window;

/// Version of `state.json`; version 1 had no checksums.
const FORMAT: u32 = 2;

/// What all damaged checkpoints have in common.
const MEND: &str = "--resume takes the one before it";

/// The part of a checkpoint that is not tensors, `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of this file.
    pub format: u32,
    /// Optimizer steps done, over all phases of the plan.
    pub step: u64,
    /// Updates of each variable so far.
    pub updates: BTreeMap<String, u64>,
    /// Idle counters of the codes.
    pub restart: CodeRestart,
    /// The window of codes and how long each warning has held; older checkpoints have none.
    #[serde(default)]
    pub(crate) health: Option<Health>,
    /// What the next record will tell of the steps since the last one; older checkpoints are at records and have none.
    #[serde(default)]
    pub(crate) window: Option<Window>,
    /// Steps that were left out.
    #[serde(default)]
    pub(crate) skips: Skips,
    /// The latent action model came from another run.
    #[serde(default)]
    pub lam_given: bool,
    /// Clips of the source; 0 in older checkpoints, which do not tell.
    #[serde(default)]
    pub(crate) clips: usize,
    /// Length and checksum of every other file of the folder; older checkpoints have none.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, Digest>,
}

impl State {
    /// Where a run stands, without what follows from its optimizer and its files.
    fn of(run: &Run) -> Self {
        Self {
            format: FORMAT,
            step: run.step,
            updates: BTreeMap::new(),
            restart: run.restart.clone(),
            health: Some(run.health.clone()),
            window: Some(run.window.clone()),
            skips: run.skips,
            lam_given: run.lam_given,
            clips: run.clips,
            files: BTreeMap::new(),
        }
    }

    /// Reads `state.json` of a checkpoint folder.
    fn read(folder: &Path) -> Result<Self, Error> {
        let file = folder.join("state.json");
        let text =
            fs::read(&file).map_err(|source| Error::Io { path: file.clone(), doing: "reading", source })?;
        let wrong = |field: &str, found: String, expected: String| Error::State {
            file: file.clone(),
            field: field.into(),
            found,
            expected,
            mend: MEND,
        };
        let state: Self = serde_json::from_slice(&text).map_err(|error| {
            wrong("whole file", format!("no state ({error})"), "the fields of a state".into())
        })?;
        if !(1..=FORMAT).contains(&state.format) {
            return Err(wrong("format", state.format.to_string(), format!("1 to {FORMAT}")));
        }
        Ok(state)
    }
}

fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The step of a folder named by [`folder_name`].
pub(crate) fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// Complete checkpoints below `root`, oldest first; that they are complete does not say that no bit of them has changed
/// since, which [`verify`] does.
pub fn list(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten();
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| Some((step_of(&path)?, path)))
        .filter(|(_, path)| path.join("state.json").is_file())
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The configuration stored with a checkpoint.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`].
pub fn config(folder: &Path) -> Result<ExperimentConfig, Error> {
    ExperimentConfig::read(&folder.join("config.toml"))
}
