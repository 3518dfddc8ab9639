//! The command line that every training program understands, and the devices of all programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use clap::{Args, ValueEnum};
use cola_coevolve::{ExperimentConfig, Generator, checkpoint};
use cola_data::Region;

use crate::sources::{robodesk, same_folder};

/// Where the tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// The first CUDA device; needs a build with `--features cuda`.
    Cuda,
}

impl DeviceName {
    /// The device.
    ///
    /// # Errors
    /// CUDA without the feature or without a GPU.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if !cfg!(feature = "cuda") => {
                bail!(
                    "--device cuda: this program was built without CUDA; build it with --features cuda, or use --device cpu"
                )
            }
            Self::Cuda => {
                Device::new_cuda(0).context("--device cuda: no usable CUDA device here; use --device cpu")
            }
        }
    }
}

/// Sizes and lengths that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// Everything once, in seconds; the figures mean nothing. For checking an installation.
    Smoke,
    /// RoboDesk at 32 pixels, two CPU cores, minutes.
    Tiny,
    /// The same with models of four times the parameters, generator made by the run: about 25 minutes.
    Small,
    /// A drawn square moved by a random action, 16 pixels; needs no data.
    Toy,
    /// The paper's sizes. For a large GPU.
    Paper,
}

impl Scale {
    /// The preset's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Toy => "toy",
            Self::Paper => "paper",
        }
    }
}

/// Arguments of a training program.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Preset that the configuration starts from.
    #[arg(long, value_enum, default_value = "tiny", conflicts_with = "config")]
    pub scale: Scale,
    /// Start from this TOML file instead of a preset (every run writes one: OUT/config.toml).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Phases and their optimizer steps, in the paper's notation: LAM (latent action model alone), WARM (world model
    /// frozen, its gradient teaches the actions), E2E (everything), WM (world model alone). `K` means thousand.
    #[arg(long, value_name = "PLAN")]
    pub plan: Option<String>,
    /// Naive joint training for comparison: every WARM phase becomes E2E of the same length.
    #[arg(long)]
    pub without_warmup: bool,
    /// Seeds initial values, sample order, crops, noise and times. The same seed gives the same bits on a CPU.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Your own clips, `data.path`: a dataset of any format that `dataset inspect` reads, or a mixture of them as a .toml
    /// file [default: the RoboDesk clips of this repository]. Whole frames are used unless --set data.region=... cuts
    /// them.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Output folder [default: `out/` and the name of the program, then -2 and so on if that is taken].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Change one value of the configuration; may be repeated. Example: --set data.batch=16
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Print the resolved configuration as TOML, every value explained, and do nothing else. `--config` takes it back.
    #[arg(long, conflicts_with = "resume")]
    pub print_config: bool,
    /// Continue the run in the output folder from its newest checkpoint: everything is as it was, weights, moments, steps
    /// and order. --set, --data and --plan may change what decides no step done so far (the end of the plan, `schedule`,
    /// `health`, where the data lies); anything else is refused by name.
    #[arg(long, conflicts_with_all = ["scale", "config"])]
    pub resume: bool,
    /// Start a new run from the weights of another run (its folder or one of its checkpoints), `start.init_from`: weights
    /// only, all of them, no moments and no steps. To go on with a run, use --resume.
    #[arg(long, value_name = "DIR")]
    pub init_from: Option<PathBuf>,
    /// Start from the inverse dynamics model and codebook of another run (its folder or one of its checkpoints), for
    /// example of stage one of the two-stage baseline, `start.lam_from`: weights only.
    #[arg(long, value_name = "DIR")]
    pub lam_from: Option<PathBuf>,
    /// Make the pre-trained video generator anew, instead of taking the one of this repository: `start.generator=make`.
    #[arg(long)]
    pub pretrain: bool,
    /// Save and stop when the codebook has collapsed, instead of warning only; see `health` in the configuration.
    #[arg(long)]
    pub stop_on_collapse: bool,
    /// Plain lines and bars instead of the dashboard, also on a terminal.
    #[arg(long)]
    pub plain: bool,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceName,
}

/// The checkpoint that a user means: the folder itself, or the newest one of a run's folder.
///
/// # Errors
/// Neither of them.
pub fn checkpoint_at(path: &Path) -> Result<PathBuf> {
    if path.join("state.json").is_file() || path.join("lam.safetensors").is_file() {
        return Ok(path.to_path_buf());
    }
    let candidates = [path.join("checkpoints"), path.to_path_buf()];
    candidates.iter().find_map(|folder| checkpoint::list(folder).pop()).with_context(|| {
        format!(
            "{}: neither a checkpoint (OUT/checkpoints/step-...) nor the folder of a run that has one",
            path.display()
        )
    })
}

impl RunArgs {
    /// The resolved configuration of a new run.
    ///
    /// # Errors
    /// A file, key or value that is not understood.
    pub fn experiment(&self) -> Result<ExperimentConfig> {
        let mut config = match &self.config {
            Some(file) => ExperimentConfig::read(file)?,
            None => ExperimentConfig::preset(self.scale.name())?,
        };
        // A preset's cut-out belongs to the pictures that it was chosen for.
        if self.config.is_none() && self.named_data().is_some_and(|data| !same_folder(data, &robodesk())) {
            config.data.region = Region::FULL;
        }
        self.applied_to(config)
    }

    /// A configuration with the values that the command line sets; its relative paths are taken from the working folder.
    ///
    /// # Errors
    /// A key or value that is not understood.
    pub fn applied_to(&self, config: ExperimentConfig) -> Result<ExperimentConfig> {
        let mut config = config.with_all(&self.overrides)?;
        for (path, place) in [
            (&self.data, &mut config.data.path),
            (&self.init_from, &mut config.start.init_from),
            (&self.lam_from, &mut config.start.lam_from),
        ] {
            if let Some(path) = path {
                place.clone_from(path);
            }
        }
        if self.pretrain {
            config.start.generator = Generator::Make;
        }
        if let Some(plan) = &self.plan {
            config.plan = plan.parse()?;
        }
        if let Some(seed) = self.seed {
            config.seed = seed;
        }
        if self.without_warmup {
            config.plan = config.plan.without_warmup();
        }
        config.check()?;
        Ok(config.with_paths_from(&std::env::current_dir().context("the working folder")?))
    }

    /// The dataset that the command line names, either way.
    fn named_data(&self) -> Option<&Path> {
        let set = self.overrides.iter().rev().find_map(|text| {
            let (key, path) = text.split_once('=')?;
            let path = path.trim().trim_matches(['"', '\'']);
            (key.trim() == "data.path" && !path.is_empty()).then(|| Path::new(path))
        });
        self.data.as_deref().or(set)
    }
}
