//! Where a model comes from, recognised by its files; only configurations are read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cola_coevolve::{ExperimentConfig, checkpoint};
use cola_dit_world::{ActionConfig, DitConfig, PublishedConfig};
use cola_video_vae::VideoVaeConfig;
use cola_weights::{Hub, read_config, resolve};

use crate::rollout::args::{RolloutArgs, STDIT3, Size};
use crate::sources::generator;

/// What kind of files a model has.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A checkpoint folder of a training run, or the part of one that knows no actions.
    Run(PathBuf),
    /// Folders or ids in the published layout.
    Published {
        /// Folder of the transformer.
        weights: PathBuf,
        /// Folder or id of the VAE.
        vae: String,
    },
    /// No files.
    Random {
        /// Sizes.
        size: Size,
        /// The VAE's.
        vae: Box<VideoVaeConfig>,
    },
}

/// A model that is not there yet.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its files.
    pub kind: Kind,
    /// Sizes of transformer and action conditioner.
    pub dit: DitConfig,
    /// Where the usual values of a rollout stand: the run's configuration, or the paper's.
    pub usual: Box<ExperimentConfig>,
}

/// Actions that a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionSpace {
    /// Numbers of an action.
    pub dim: usize,
    /// Codes of an action, and entries of the codebook that they come from.
    pub codebook: Option<(usize, usize)>,
}

impl Origin {
    /// The model that the arguments name.
    ///
    /// # Errors
    /// A path that is no checkpoint, an id that cannot be fetched, a configuration that is not understood, another
    /// number of frames a latent than the model's.
    pub fn of(args: &RolloutArgs, hub: &Hub) -> Result<Self> {
        let wanted = args.frames_per_latent;
        if args.random {
            let (dit, vae) = match args.size {
                Size::Tiny => (tiny(), VideoVaeConfig::tiny()),
                Size::Xl => (DitConfig::paper(), VideoVaeConfig::open_sora_v1_2()),
            };
            let kind = Kind::Random { size: args.size, vae: Box::new(vae) };
            return Ok(Self { kind, dit: at_rate(dit, wanted), usual: Box::new(ExperimentConfig::paper()) });
        }
        let Some(named) = &args.weights else {
            return Self::run(generator(), wanted);
        };
        let folder = resolve(named, hub)?;
        if folder.join("backbone.safetensors").is_file() && folder.join("config.toml").is_file() {
            return Self::run(folder, wanted);
        }
        if !folder.join("config.json").is_file() {
            bail!(not_a_checkpoint(&folder));
        }
        let (published, _) = read_config::<PublishedConfig>(&folder)?;
        let stored = published.cola_world.is_some();
        let config = published.config().with_context(|| folder.join("config.json").display().to_string())?;
        let dit = match stored {
            true => same_rate(config.paper_form(), wanted)?,
            false => at_rate(DitConfig { action: DitConfig::paper().action, ..config.paper_form() }, wanted),
        };
        let kind = Kind::Published { weights: folder, vae: args.vae.clone() };
        Ok(Self { kind, dit, usual: Box::new(ExperimentConfig::paper()) })
    }

    /// A checkpoint folder of a training run; `wanted` frames a latent, or the model's own number.
    ///
    /// # Errors
    /// A configuration that is not understood, another number of frames a latent.
    pub fn run(folder: PathBuf, wanted: Option<usize>) -> Result<Self> {
        let config = checkpoint::config(&folder)?;
        let dit = same_rate(config.dit.clone(), wanted)?;
        Ok(Self { kind: Kind::Run(folder), dit, usual: Box::new(config) })
    }

    /// The actions that the model takes, if it takes any.
    pub fn actions(&self) -> Option<ActionSpace> {
        let dim = self.dit.action.action_dim;
        let Kind::Run(folder) = &self.kind else {
            return Some(ActionSpace { dim, codebook: None });
        };
        let lam = &self.usual.lam;
        let codebook = folder.join("lam.safetensors").is_file().then_some((lam.tokens, lam.codes));
        folder.join("action.safetensors").is_file().then_some(ActionSpace { dim, codebook })
    }

    /// Pixels along the side of a latent.
    pub fn factor(&self) -> usize {
        match &self.kind {
            Kind::Run(_) => self.usual.codec.factor,
            Kind::Published { .. } => VideoVaeConfig::open_sora_v1_2().spatial_vae.factor(),
            Kind::Random { vae, .. } => vae.spatial_vae.factor(),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Run(folder) if *folder == generator() => {
                f.write_str("the shipped generator, without actions")
            }
            Kind::Run(folder) => write!(f, "{}, a training run's", folder.display()),
            Kind::Published { weights, vae } => write!(f, "{}, with the VAE {vae}", weights.display()),
            Kind::Random { size: Size::Tiny, .. } => f.write_str("random, tiny"),
            Kind::Random { size: Size::Xl, .. } => f.write_str("random, xl"),
        }
    }
}

/// The published shape over the smallest VAE.
fn tiny() -> DitConfig {
    DitConfig { in_channels: 4, patch: 2, pred_sigma: true, ..DitConfig::tiny() }
}

fn at_rate(config: DitConfig, wanted: Option<usize>) -> DitConfig {
    let frames_per_latent = wanted.unwrap_or(1);
    DitConfig { action: ActionConfig { frames_per_latent, ..config.action }, ..config }
}

fn same_rate(config: DitConfig, wanted: Option<usize>) -> Result<DitConfig> {
    let stored = config.action.frames_per_latent;
    match wanted {
        Some(wanted) if wanted != stored => {
            bail!("--frames-per-latent {wanted}: this model was made for {stored}; leave the option out")
        }
        _ => Ok(config),
    }
}

fn not_a_checkpoint(folder: &Path) -> String {
    if let Some(newest) = checkpoint::list(&folder.join("checkpoints")).last() {
        let folder = folder.display();
        return format!(
            "{folder}: a run's folder; name one of its checkpoints: --weights {}",
            newest.display()
        );
    }
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    let mut found = match names.is_empty() {
        true if folder.is_file() => "a file instead of a folder".into(),
        true => "no files".into(),
        false => names.join(", "),
    };
    if more > 0 {
        found += &format!(" and {more} more");
    }
    format!(
        "{}: not a checkpoint: found {found}; expected config.toml and backbone.safetensors (a checkpoint of the program \
         coevolve, OUT/checkpoints/step-...) or config.json with safetensors beside it (the published layout, such as \
         {STDIT3})",
        folder.display()
    )
}
