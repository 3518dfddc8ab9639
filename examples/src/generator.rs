//! The pre-trained video model that a run starts from: shipped, made by the run, or named.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cola_coevolve::{ExperimentConfig, Generator, Run, SystemParams};

use crate::folder::RunFolder;
use crate::outlook::show_loaded;
use crate::output::write;
use crate::sources::{Sources, generator as shipped};
use crate::training::train;

/// Reads backbone and codec into `params`, as `start.generator` says. One that is made here is kept below the run's
/// folder and found there again; `plain` is for its training.
///
/// # Errors
/// A generator of another model, files that are missing or damaged, the pre-training's.
pub fn load(
    plain: bool,
    folder: &RunFolder,
    config: &ExperimentConfig,
    params: &SystemParams,
    sources: &Sources,
    device: &Device,
) -> Result<()> {
    let found = match &config.start.generator {
        Generator::Folder(given) => Some(check(given, config)?),
        Generator::Shipped if differences(&shipped(), config)?.is_empty() => {
            println!("generator  the shipped one ({})", shipped().display());
            return loaded(params, &shipped());
        }
        Generator::Shipped => {
            println!("generator  the shipped one is for another model, latents or view; one is made here");
            None
        }
        Generator::Make => None,
    };
    let found = match found {
        Some(found) => found,
        None => make(plain, folder, config, sources, device)?,
    };
    println!("generator  {}", found.display());
    loaded(params, &found)
}

fn loaded(params: &SystemParams, folder: &Path) -> Result<()> {
    params.load_generator(folder)?;
    show_loaded("backbone", &params.backbone, &folder.join("backbone.safetensors"));
    show_loaded("codec", &params.codec, &folder.join("codec.safetensors"));
    Ok(())
}

/// Refuses a named generator that is not there or that was made for another model, latents or view. One without a
/// `config.toml` beside it is judged by its tensors alone, when they are read.
///
/// # Errors
/// The fields that differ.
pub fn check(folder: &Path, config: &ExperimentConfig) -> Result<PathBuf> {
    if !folder.join("backbone.safetensors").is_file() || !folder.join("codec.safetensors").is_file() {
        bail!(
            "start.generator {}: no generator (backbone.safetensors and codec.safetensors) here; name a checkpoint, or the \
             folder OUT/pretrain/generator of a run that made one",
            folder.display()
        );
    }
    if folder.join("config.toml").is_file() {
        let differences = differences(folder, config)?;
        if !differences.is_empty() {
            bail!(
                "start.generator {}: made for another model, latents or view: {} differs; take its values over, or set \
                 start.generator=make",
                folder.display(),
                differences.join(", ")
            );
        }
    }
    Ok(folder.to_path_buf())
}

/// Makes it, or goes on making it, or finds it made.
fn make(
    plain: bool,
    folder: &RunFolder,
    config: &ExperimentConfig,
    sources: &Sources,
    device: &Device,
) -> Result<PathBuf> {
    let own = folder.pretrain()?;
    let finished = own.path("generator");
    if finished.join("config.toml").is_file() {
        return Ok(finished);
    }
    let plan = ExperimentConfig { plan: config.pretrain.clone(), ..config.clone() };
    let mut run = if own.has_checkpoint() {
        Run::resume_with(&own.checkpoints(), &plan, device)?
    } else {
        let run = Run::new(&plan, device)?;
        run.fit_codec(&sources.train)?;
        run
    };
    train(plain, &mut run, &own, sources, None, device)?;
    std::fs::create_dir_all(&finished).with_context(|| format!("{}: cannot be made", finished.display()))?;
    run.params().save_generator(&finished)?;
    // Last, because its presence says that the generator is complete.
    write(&finished.join("config.toml"), plan.to_toml()?.as_bytes())?;
    Ok(finished)
}

/// In which of the things that matter to it a stored generator was made for another configuration; it has no actions.
fn differences(folder: &Path, config: &ExperimentConfig) -> Result<Vec<&'static str>> {
    let made = ExperimentConfig::read(&folder.join("config.toml"))?;
    let mut dit = config.dit.clone();
    dit.action = made.dit.action.clone();
    let of = |config: &ExperimentConfig| (config.flow.time, config.flow.given_min, config.flow.given_max);
    let pairs = [
        ("dit", made.dit == dit),
        ("codec", made.codec == config.codec),
        ("flow", of(&made) == of(config)),
        ("data.region", made.data.region == config.data.region),
        ("data.world_size", made.data.world_size == config.data.world_size),
        ("data.frames", made.data.frames == config.data.frames),
    ];
    Ok(pairs.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect())
}
