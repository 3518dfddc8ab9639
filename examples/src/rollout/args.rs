//! The command line of `rollout`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::DeviceName;

/// Published video transformer.
pub const STDIT3: &str = "hpcai-tech/OpenSora-STDiT-v3";
/// Published video VAE.
pub const VAE: &str = "hpcai-tech/OpenSora-VAE-v1.2";

/// Sizes of a model of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Everything there, all of it small: seconds.
    Tiny,
    /// The published and the paper's sizes: 1.4 billion numbers, 6.5 GB of memory.
    Xl,
}

/// Arguments of `rollout`. What is left out takes the model's own value.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct RolloutArgs {
    /// A checkpoint folder of the program coevolve (OUT/checkpoints/step-...), or a folder or id on the hub in the
    /// published layout, such as hpcai-tech/OpenSora-STDiT-v3 [default: the small generator of this repository].
    #[arg(long, value_name = "PATH_OR_ID", conflicts_with = "random", help_heading = "Model")]
    pub weights: Option<String>,
    /// The video VAE that goes with published weights: a folder or id on the hub.
    #[arg(long, value_name = "PATH_OR_ID", default_value = VAE, requires = "weights", help_heading = "Model")]
    pub vae: String,
    /// Random parameters: nothing is learned, only sizes and speed are real. Every step computes the whole window.
    #[arg(long, help_heading = "Model")]
    pub random: bool,
    /// Sizes of random models. `xl` stops after one evaluation of the transformer at 256 x 256 pixels unless told
    /// otherwise.
    #[arg(long, value_enum, default_value = "tiny", requires = "random", help_heading = "Model")]
    pub size: Size,
    /// The first frame, PNG or JPEG; its centre is cut out and resized [default: a held-out RoboDesk clip's].
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub image: Option<PathBuf>,
    /// Side of the frames, pixels [default: 256; a run's own; 64 for random tiny models].
    #[arg(long, value_name = "PIXELS", help_heading = "Input")]
    pub side: Option<usize>,
    /// Latent actions, one for each transition: a safetensors file whose tensor `actions` is (N, action_dim) in floats,
    /// or (N, tokens) in whole numbers, the codes of a coevolve checkpoint. Without actions the model runs free.
    #[arg(long, value_name = "FILE", conflicts_with = "random_actions", help_heading = "Input")]
    pub actions: Option<PathBuf>,
    /// Random latent actions: codes where the model has a codebook, standard normal numbers elsewhere.
    #[arg(long, help_heading = "Input")]
    pub random_actions: bool,
    /// Frames of the video, the first one included [default: one more than there are actions, else about 8].
    #[arg(long, value_name = "N", help_heading = "Rollout")]
    pub frames: Option<usize>,
    /// Euler steps of the sampler [default: 10].
    #[arg(long, value_name = "N", help_heading = "Rollout")]
    pub steps: Option<usize>,
    /// Guidance towards the actions; 1 is none and halves the time [default: a run's own, 4 for published weights].
    #[arg(long, value_name = "SCALE", help_heading = "Rollout")]
    pub guidance: Option<f64>,
    /// Frames per second that the model is told; also the speed of the videos, but for at least 2.5.
    #[arg(long, value_name = "RATE", help_heading = "Rollout")]
    pub fps: Option<f64>,
    /// Latent frames that the model sees at once [default: as trained, at most those of the video].
    #[arg(long, value_name = "N", help_heading = "Rollout")]
    pub window: Option<usize>,
    /// Latent frames kept as history where the video outgrows the window [default: as trained].
    #[arg(long, value_name = "N", help_heading = "Rollout")]
    pub context: Option<usize>,
    /// Video frames of a latent frame behind the first: 1, or 4 with the temporal VAE, where a video has 1 + 4 k frames
    /// [default: 1, or what a checkpoint was trained for].
    #[arg(long, value_name = "1|4", help_heading = "Rollout")]
    pub frames_per_latent: Option<usize>,
    /// Seeds the noise, random actions and random parameters. The same seed gives the same bits on a CPU.
    #[arg(long, default_value_t = 0, help_heading = "Rollout")]
    pub seed: u64,
    /// Output folder [default: out/rollout, then out/rollout-2 and so on].
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu", help_heading = "Output")]
    pub device: DeviceName,
}
