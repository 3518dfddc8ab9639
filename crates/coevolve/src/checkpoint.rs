//! Checkpoints: folders that are complete or absent.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Var};
use cola_files::{sync_folder, write_atomically};
use cola_lam::{CodeRestart, codebook_version};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::ExperimentConfig;
use crate::health::Health;
use crate::optim::{AdamW, Moments};
use crate::run::Run;
use crate::stored_lam::{check_version, write_version};
use crate::system::SystemParams;
use crate::window::Window;

/// Version of `state.json`.
const FORMAT: u32 = 1;

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
    /// The latent action model came from another run.
    #[serde(default)]
    pub lam_given: bool,
}

impl State {
    /// Where a run stands; [`save`] fills in what follows from the optimizer.
    pub(crate) fn of(run: &Run) -> Self {
        Self {
            format: FORMAT,
            step: run.step,
            updates: BTreeMap::new(),
            restart: run.restart.clone(),
            health: Some(run.health.clone()),
            window: Some(run.window.clone()),
            lam_given: run.lam_given,
        }
    }
}

fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// Complete checkpoints below `root`, oldest first.
pub fn list(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("step-"))
        })
        .filter(|path| path.join("state.json").is_file())
        .collect();
    found.sort();
    found
}

/// Writes a checkpoint below `root`: everything into a folder aside, synced, then one rename. Older checkpoints beyond
/// `keep` are removed afterwards.
pub(crate) fn save(
    root: &Path,
    config: &ExperimentConfig,
    params: &SystemParams,
    optimizer: &AdamW,
    mut state: State,
) -> Result<PathBuf, Error> {
    let io = |doing| move |source| Error::Io { path: root.to_path_buf(), doing, source };
    let target = root.join(folder_name(state.step));
    let aside = root.join(format!(".{}.part", folder_name(state.step)));
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(io("removing an unfinished checkpoint"))?;
    }
    fs::create_dir_all(&aside).map_err(io("making the checkpoint folder"))?;
    params.save(&aside)?;
    let mut tensors = HashMap::new();
    for (name, moments) in &optimizer.moments {
        tensors.insert(format!("first.{name}"), moments.first.as_detached_tensor());
        tensors.insert(format!("second.{name}"), moments.second.as_detached_tensor());
        state.updates.insert(name.clone(), moments.steps);
    }
    cola_nn::save_tensors(tensors, &aside.join("optimizer.safetensors"))?;
    write_atomically(aside.join("config.toml"), config.to_toml()?.as_bytes())
        .map_err(io("writing config.toml"))?;
    write_version(&aside, &codebook_version(&config.lam, &params.lam)?)?;
    let text = serde_json::to_vec_pretty(&state).map_err(|error| Error::State {
        file: aside.join("state.json"),
        field: "whole file".into(),
        found: error.to_string(),
        expected: "a state that JSON can hold".into(),
        mend: "report this as a bug",
    })?;
    write_atomically(aside.join("state.json"), &text).map_err(io("writing state.json"))?;
    if target.exists() {
        // Only when the same step is reached again after a resume from an older checkpoint; both hold the same bits.
        fs::remove_dir_all(&target).map_err(io("replacing a checkpoint"))?;
    }
    fs::rename(&aside, &target).map_err(io("renaming the checkpoint"))?;
    sync_folder(root).map_err(io("syncing the checkpoint folder"))?;
    let all = list(root);
    for old in &all[..all.len().saturating_sub(config.schedule.keep.max(1))] {
        fs::remove_dir_all(old).map_err(io("removing an old checkpoint"))?;
    }
    Ok(target)
}

/// The configuration stored with a checkpoint.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`].
pub fn config(folder: &Path) -> Result<ExperimentConfig, Error> {
    ExperimentConfig::read(&folder.join("config.toml"))
}

/// Reads a checkpoint's state into parameters and optimizer.
pub(crate) fn load(
    folder: &Path,
    config: &ExperimentConfig,
    params: &SystemParams,
    optimizer: &mut AdamW,
    device: &Device,
) -> Result<State, Error> {
    let file = folder.join("state.json");
    let text =
        fs::read(&file).map_err(|source| Error::Io { path: file.clone(), doing: "reading", source })?;
    let wrong = |field: &str, found: String, expected: String| Error::State {
        file: file.clone(),
        field: field.into(),
        found,
        expected,
        mend: "delete this checkpoint's folder: --resume then takes the one before it",
    };
    let state: State = serde_json::from_slice(&text).map_err(|error| {
        wrong("whole file", format!("no state ({error})"), "the fields of a version 1 state".into())
    })?;
    if state.format != FORMAT {
        return Err(wrong("format", state.format.to_string(), FORMAT.to_string()));
    }
    if state.step > config.plan.steps() {
        return Err(wrong(
            "step",
            state.step.to_string(),
            format!("at most {} of the plan", config.plan.steps()),
        ));
    }
    if state.restart.idle().len() != config.lam.codes {
        let found = format!("{} counters", state.restart.idle().len());
        return Err(wrong("restart.idle", found, format!("{} codes", config.lam.codes)));
    }
    if state.health.as_ref().is_some_and(|health| !health.fits(&config.lam)) {
        let expected = format!("codes of {} positions, {} entries", config.lam.tokens, config.lam.codes);
        return Err(wrong("health.stretches", "codes of another codebook".into(), expected));
    }
    if state.window.as_ref().is_some_and(|window| !window.fits(&config.lam)) {
        let expected = format!("codes of {} positions, {} entries", config.lam.tokens, config.lam.codes);
        return Err(wrong("window.usage", "codes of another codebook".into(), expected));
    }
    params.load(folder)?;
    check_version(folder, &codebook_version(&config.lam, &params.lam)?)?;
    let tensors = cola_nn::read_tensors(&folder.join("optimizer.safetensors"))?;
    let known: BTreeMap<String, Var> =
        params.vars(crate::plan::Trains::default()).into_iter().map(|(name, var, _)| (name, var)).collect();
    let mut moments = BTreeMap::new();
    for (name, steps) in &state.updates {
        let Some(var) = known.get(name) else {
            return Err(wrong(
                "updates",
                format!("variable `{name}`"),
                "variables of this model only".into(),
            ));
        };
        let moment = |kind: &str| -> Result<Var, Error> {
            match tensors.get(&format!("{kind}.{name}")) {
                Some(tensor) if tensor.shape() == var.shape() && tensor.dtype() == var.dtype() => {
                    Ok(Var::from_tensor(&tensor.to_device(device)?)?)
                }
                other => Err(Error::State {
                    file: folder.join("optimizer.safetensors"),
                    field: format!("{kind}.{name}"),
                    found: other.map_or("absent".into(), |tensor| {
                        format!("{:?} {:?}", tensor.dtype(), tensor.dims())
                    }),
                    expected: format!("{:?} {:?}", var.dtype(), var.dims()),
                    mend: "delete this checkpoint's folder: --resume then takes the one before it",
                }),
            }
        };
        moments.insert(
            name.clone(),
            Moments { first: moment("first")?, second: moment("second")?, steps: *steps },
        );
    }
    optimizer.moments = moments;
    Ok(state)
}
