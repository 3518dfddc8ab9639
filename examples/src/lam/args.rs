//! The command line of `lam`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::{DeviceName, RunArgs};
use crate::signals::EXIT_STATUS;

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Train a latent action model with its forward dynamics model: stage one of the two-stage baseline.
    ///
    /// Leaves a run's folder with checkpoints, curves, sheets of codes and a verdict. `coevolve --lam-from OUT` goes on
    /// from it, with a frozen model (--plan WM2K) or jointly (--plan E2E2K).
    #[command(after_help = EXIT_STATUS)]
    Train(RunArgs),
    /// Write the latent actions of a video or dataset to a table, .parquet or .csv, one row for each transition.
    ///
    /// Any length: windows slide over the video; memory does not grow with that of a video file. Every row carries the version of the
    /// codebook, because codes of different models must never be mixed.
    Encode(EncodeArgs),
    /// Can real actions be read from the latent ones? Linear probe and ridge, beside the best constant and shuffled
    /// latents; then the adapter from real actions to codes.
    Probe(ProbeArgs),
    /// What does each code mean? How often it occurs, and a sheet of example frame pairs and of its mean change.
    Codes(CodesArgs),
    /// The verdict on a model in plain words. Exit status 3 if its codebook has collapsed.
    Health(HealthArgs),
}

/// Which model, on which clips.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// A run's folder or one of its checkpoints, of this program or of coevolve [default: the small model of this
    /// repository].
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub lam: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu", help_heading = "Model")]
    pub device: DeviceName,
}

/// A part of each frame.
#[derive(Args, Clone, Debug)]
pub struct RegionArgs {
    /// The part of each frame that is used, as fractions of its height and width [default: as trained; the whole frame of
    /// another dataset; the centred square of a video file].
    #[arg(
        long,
        value_name = "TOP,LEFT,HEIGHT,WIDTH",
        value_delimiter = ',',
        num_args = 1,
        help_heading = "Data"
    )]
    pub region: Option<Vec<f64>>,
}

/// Clips of a dataset.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// A LeRobot v3.0 dataset [default: the RoboDesk clips of this repository; the drawn world for a model of the toy
    /// preset].
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data: Option<PathBuf>,
    /// Which part of each frame.
    #[command(flatten)]
    pub region: RegionArgs,
}

/// Arguments of `lam encode`.
#[derive(Args, Clone, Debug)]
pub struct EncodeArgs {
    /// A video file (mp4 or mov, H.264) or the folder of a LeRobot v3.0 dataset.
    pub input: PathBuf,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The table to write; the ending decides on its kind.
    #[arg(
        long,
        value_name = "FILE.parquet|.csv",
        default_value = "actions.parquet",
        help_heading = "Output"
    )]
    pub out: PathBuf,
    /// Splits of a dataset, joined by commas [default: all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Data")]
    pub splits: Option<Vec<String>>,
    /// Take every n-th frame of a video file [default: as trained]. Datasets are read as trained.
    #[arg(long, value_name = "N", help_heading = "Data", value_parser = at_least_one)]
    pub stride: Option<usize>,
    /// Which part of each frame.
    #[command(flatten)]
    pub region: RegionArgs,
    /// Leave out the embeddings: codes and times only.
    #[arg(long, help_heading = "Output")]
    pub codes_only: bool,
}

/// Arguments of `lam probe`.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The clips.
    #[command(flatten)]
    pub data: DataArgs,
    /// The tokens before quantization instead of the codes' embeddings.
    #[arg(long)]
    pub pre_quantised: bool,
    /// Transitions for training the probes, at most.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub train: usize,
    /// Held-out transitions, at most.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub valid: usize,
    /// Seeds start values, batches and shuffling.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for `probe.json` and the adapter [default: out/probe, then out/probe-2 and so on].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `lam codes`.
#[derive(Args, Clone, Debug)]
pub struct CodesArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The clips.
    #[command(flatten)]
    pub data: DataArgs,
    /// Split of the dataset.
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Clips looked at, spread evenly over the split.
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = at_least_one)]
    pub clips: usize,
    /// Example pairs for each code.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = at_least_one)]
    pub examples: usize,
    /// Folder for the sheets and `codes.csv` [default: out/codes, then out/codes-2 and so on].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `lam health`.
#[derive(Args, Clone, Debug)]
pub struct HealthArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The clips.
    #[command(flatten)]
    pub data: DataArgs,
    /// Split of the dataset.
    #[arg(long, default_value = "valid")]
    pub split: String,
    /// Clips looked at, spread evenly over the split.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = at_least_one)]
    pub clips: usize,
    /// The verdict as JSON as well.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A whole number that is not 0.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a whole number".into()),
    }
}
