//! The command line of `dataset`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cola_data::Format;

use crate::args::DeviceName;
use crate::lam::args::{RegionArgs, at_least_one};

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// What is in a dataset: episodes, rates, cameras, splits, action ranges, texts.
    ///
    /// Writes a contact sheet (sheet.png), a histogram of every action component (actions.png) and all numbers
    /// (inspect.json).
    Inspect(InspectArgs),
    /// What is wrong with a dataset: every row is read, every frame of every camera decoded.
    ///
    /// Errors are what cannot be read or must not be learned from: rows or pictures that cannot be read, another number
    /// of rows than of frames, times that do not ascend, numbers that are not finite, black pictures. Warnings are what may
    /// be meant: gaps in time, a rate that is not that of the times, pictures of one colour, pictures that stand still,
    /// actions that never change.
    ///
    /// Exit status: 0 without errors, 1 with errors; with --strict 1 with warnings as well.
    ///
    /// Examples:
    ///   dataset validate path/to/dataset                        prints what it finds, writes validate.json
    ///   dataset validate path/to/dataset --repair               and exclude.json, the episodes and frames to leave out
    ///   dataset validate path/to/dataset --strict --frozen 30   for a machine that decides whether a set is taken
    #[command(verbatim_doc_comment)]
    Validate(ValidateArgs),
    /// Another format: a LeRobot v3.0 dataset that the original Python package opens, or safetensors shards.
    ///
    /// Every frame is kept, in every camera. Where no actions are stored --fps may choose another rate, by nearest times.
    /// Splits go along; a list from `validate --repair` cuts episodes apart where frames are left out.
    ///
    /// LeRobot has one rate and no other times. Frames at irregular times are sampled by nearest times where there are no
    /// actions; with actions, episodes are cut at gaps, and other irregular times are refused.
    ///
    /// An episode in shards is in memory as a whole: one with more than 4 GiB of pictures is refused. Make the pictures
    /// smaller with --side, or fewer with --fps.
    ///
    /// Examples:
    ///   dataset convert path/to/dataset --out out/lerobot                     videos (H.264)
    ///   dataset convert demos.hdf5 --rate 20 --png --out out/lerobot          pictures kept exactly
    ///   dataset convert path/to/videos --fps 5 --side 256 --out out/lerobot   film at one rate and size
    ///   dataset convert path/to/rlds --to shards --out out/shards             decoded once, read without a decoder
    #[command(verbatim_doc_comment)]
    Convert(ConvertArgs),
    /// A dataset of the drawn table: scripted episodes with true actions, in LeRobot v3.0.
    ///
    /// Examples:
    ///   dataset draw --out out/tabletop
    ///   dataset draw --episodes 1000 --size 64 --look random --out out/tabletop
    #[command(verbatim_doc_comment)]
    Draw(DrawArgs),
    /// Latents of whole episodes through a video codec, as safetensors shards.
    ///
    /// Each shard holds tensors `episode.000012` of shape (channels, frames, height, width); latents.json tells what they
    /// were made of, with shapes and a CRC32C of every file. A run that was cut off goes on where it was: start it again
    /// with the same arguments.
    ///
    /// Examples:
    ///   dataset encode                                                    the shipped clips through the shipped codec
    ///   dataset encode path/to/dataset --checkpoint out/coevolve          as a run's world model sees them
    ///   dataset encode path/to/dataset --vae hpcai-tech/OpenSora-VAE-v1.2 --side 256 --frames-per-latent 4
    #[command(verbatim_doc_comment)]
    Encode(EncodeArgs),
}

/// Which dataset, and what it does not tell about itself.
#[derive(Args, Clone, Debug)]
pub struct DatasetArgs {
    /// A dataset: its folder or file [default: the RoboDesk clips of this repository].
    pub path: Option<PathBuf>,
    /// Its format: lerobot, videos, robomimic, libero, rlds, agibot or shards [default: found by looking].
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub format: Option<Format>,
    /// Frames per second, where the format does not store them (HDF5, RLDS).
    #[arg(long, value_name = "HZ", value_parser = rate, help_heading = "Data")]
    pub rate: Option<f64>,
    /// List of the videos to use, .csv or .jsonl, for a folder of videos.
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub manifest: Option<PathBuf>,
    /// Field of the action, where there are several; joined with +.
    #[arg(long, value_name = "FIELDS", help_heading = "Data")]
    pub action: Option<String>,
    /// One camera [default: all, or for latents the only or alphabetically first one].
    #[arg(long, value_name = "KEY", help_heading = "Data")]
    pub camera: Option<String>,
    /// One split of the dataset [default: all episodes].
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub split: Option<String>,
}

/// Arguments of `dataset inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// The dataset.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Episodes on the contact sheet, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = at_least_one)]
    pub episodes: usize,
    /// Frames of each, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub frames: usize,
    /// Folder for the results [default: out/dataset-inspect, then out/dataset-inspect-2 and so on].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `dataset validate`.
#[derive(Args, Clone, Debug)]
pub struct ValidateArgs {
    /// The dataset.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Identical pictures in a row that count as standing still.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub frozen: usize,
    /// Warnings count as errors: for the exit status, and for what --repair leaves out.
    #[arg(long)]
    pub strict: bool,
    /// Write exclude.json, the list of episodes and frames to leave out. The dataset itself is not touched.
    #[arg(long)]
    pub repair: bool,
    /// Folder for the results [default: out/dataset-validate, then out/dataset-validate-2 and so on].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What a dataset is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// LeRobot v3.0.
    Lerobot,
    /// Safetensors shards of this project.
    Shards,
}

/// Arguments of `dataset convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// The dataset.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// The format to write.
    #[arg(long, value_enum, default_value = "lerobot")]
    pub to: Target,
    /// Sides of every picture, pixels: one number for a square, or HEIGHTxWIDTH [default: as stored].
    #[arg(long, value_name = "SIDES", value_parser = sides)]
    pub side: Option<(usize, usize)>,
    /// Frames per second of the result [default: the dataset's, which has to be one for all episodes].
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub fps: Option<f64>,
    /// Keep pictures exactly, as PNGs in the tables, instead of as videos. For LeRobot.
    #[arg(long)]
    pub png: bool,
    /// Exclusion list that `validate --repair` wrote.
    #[arg(long, value_name = "FILE")]
    pub exclude: Option<PathBuf>,
    /// A new folder for the result.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `dataset draw`.
#[derive(Args, Clone, Debug)]
pub struct DrawArgs {
    /// Episodes; one of ten is for validation.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    pub episodes: usize,
    /// Side of a picture, pixels: even, at least 16.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub size: usize,
    /// Colours and view: plain, dark, wood, tilted or random.
    #[arg(long, value_name = "NAME", default_value = "plain")]
    pub look: String,
    /// Seeds everything.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Keep pictures exactly, as PNGs in the tables, instead of as videos.
    #[arg(long)]
    pub png: bool,
    /// A new folder for the result.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `256` or `240x320`.
fn sides(text: &str) -> Result<(usize, usize), String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=16_384).contains(side));
    let found = match text.split_once('x') {
        Some((height, width)) => side(height).zip(side(width)),
        None => side(text).map(|side| (side, side)),
    };
    found.ok_or_else(|| "expected one number for a square, or HEIGHTxWIDTH, such as 240x320".into())
}

/// Numbers of a stored latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LatentType {
    /// 32 bits.
    F32,
    /// 16 bits: half the room.
    F16,
}

/// Arguments of `dataset encode`.
#[derive(Args, Clone, Debug)]
pub struct EncodeArgs {
    /// The dataset.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Through the codec of a training run: its folder or one of its checkpoints [default: the small generator of this
    /// repository].
    #[arg(long, value_name = "DIR", conflicts_with = "vae", help_heading = "Codec")]
    pub checkpoint: Option<PathBuf>,
    /// Through the published video VAE: a folder, or an id on the hub (with --features hub).
    #[arg(long, value_name = "PATH_OR_ID", help_heading = "Codec")]
    pub vae: Option<String>,
    /// Video frames of a latent frame: 1, or 4 for all but the first of every chunk of 17.
    #[arg(long, value_name = "1|4", default_value_t = 1, value_parser = one_or_four, requires = "vae", help_heading = "Codec")]
    pub frames_per_latent: usize,
    /// Side of the frames, pixels [default: a run's own, 256 for the VAE].
    #[arg(long, value_name = "PIXELS", value_parser = at_least_one, help_heading = "Data")]
    pub side: Option<usize>,
    /// Which part of each frame.
    #[command(flatten)]
    pub region: RegionArgs,
    /// Take every n-th frame.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, help_heading = "Data")]
    pub stride: usize,
    /// Numbers of the latents.
    #[arg(long, value_enum, default_value = "f32", help_heading = "Output")]
    pub dtype: LatentType,
    /// Size at which a shard is closed, MiB; only a longer episode makes a larger one.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one, help_heading = "Output")]
    pub shard_mib: usize,
    /// Folder for shards and latents.json; one that holds a part of the same latents is completed.
    #[arg(long, value_name = "DIR", default_value = "out/dataset-encode", help_heading = "Output")]
    pub out: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu", help_heading = "Output")]
    pub device: DeviceName,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a number of frames per second above 0 is needed, such as 10".into()),
    }
}

fn one_or_four(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "4" => Ok(4),
        _ => Err("1 or 4 is needed".into()),
    }
}
