//! The command line of `evaluate`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use cola_metrics::{I3d, Network, Protocol};

use crate::args::DeviceName;
use crate::evaluate::rollouts::Told;

/// Arguments of `evaluate`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct EvaluateArgs {
    /// Real clips: a folder of videos (.mp4, .mov, or folders of numbered PNG or JPEG pictures), or a LeRobot v3.0
    /// dataset [default: the RoboDesk clips of this repository].
    #[arg(value_name = "REAL", help_heading = "Input")]
    pub real: Option<PathBuf>,
    /// Generated clips of the same kind: videos of the same names, or a dataset with as many episodes in the split.
    #[arg(value_name = "GENERATED", conflicts_with = "checkpoint", help_heading = "Input")]
    pub generated: Option<PathBuf>,
    /// Compare the dataset with what this checkpoint (or run) of the program coevolve makes of its first frames
    /// [default, where there is no GENERATED: the small generator of this repository].
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    pub checkpoint: Option<PathBuf>,
    /// Split of the datasets [default: valid].
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    pub split: Option<String>,
    /// Camera of the datasets [default: the only one, or the alphabetically first].
    #[arg(long, value_name = "KEY", help_heading = "Input")]
    pub camera: Option<String>,
    /// Frames of a clip; videos and episodes are cut into as many whole clips as they hold. FVD sees those behind the
    /// given ones, 15 unless told otherwise; never compare FVDs of different lengths.
    #[arg(long, default_value_t = 16, value_name = "N", help_heading = "Input")]
    pub frames: usize,
    /// At most so many clips, from the first [default: all].
    #[arg(long, value_name = "N", help_heading = "Input")]
    pub clips: Option<usize>,
    /// Bring the frames of both sides to HEIGHTxWIDTH pixels, such as 256x256 [default: as they are; with a checkpoint,
    /// the model's size].
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "checkpoint", help_heading = "Input")]
    pub size: Option<(usize, usize)>,
    /// Clips that may be unreadable; they are named and left out. One more ends the program.
    #[arg(long, default_value_t = 10, value_name = "N", help_heading = "Input")]
    pub budget: usize,

    /// Frames at the start of a clip that a model was shown: they are left out of every number.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Protocol")]
    pub given: usize,
    /// Choices that reproduce a published lineage; see docs/metrics.md.
    #[arg(long, default_value = "cola-world", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(Protocol::NAMES), help_heading = "Protocol")]
    pub protocol: String,
    /// ImageNet backbone for LPIPS: alex, vgg or squeeze, and a safetensors file of torchvision's weights (with --features
    /// hub also an id). Without it LPIPS is left out.
    #[arg(long, value_name = "NETWORK=FILE", value_parser = lpips, help_heading = "Protocol")]
    pub lpips: Option<(Network, String)>,
    /// I3D weights for FVD in safetensors, or with --features hub an id [default: the Kinetics-400 weights of this repository].
    #[arg(long, value_name = "FILE", conflicts_with = "no_fvd", help_heading = "Protocol")]
    pub i3d: Option<String>,
    /// Leave FVD out: the rest takes a tenth of the time.
    #[arg(long, help_heading = "Protocol")]
    pub no_fvd: bool,

    /// What a checkpoint is told [default: own, where it knows actions].
    #[arg(long, value_enum, help_heading = "Rollouts")]
    pub actions: Option<Told>,
    /// Guidance towards the actions [default: the run's own].
    #[arg(long, value_name = "SCALE", help_heading = "Rollouts")]
    pub guidance: Option<f64>,
    /// Seeds the noise. The same seed gives the same bits on a CPU.
    #[arg(long, default_value_t = 0, help_heading = "Rollouts")]
    pub seed: u64,

    /// Clips in the pictures of the best and the worst.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Output")]
    pub show: usize,
    /// Output folder [default: out/evaluate, then out/evaluate-2 and so on].
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu", help_heading = "Output")]
    pub device: DeviceName,
}

impl EvaluateArgs {
    /// The protocol with what the command line says.
    ///
    /// # Errors
    /// Clips that are all conditioning.
    pub fn protocol(&self) -> Result<Protocol> {
        let mut protocol = Protocol::preset(&self.protocol)?;
        protocol.given = self.given;
        if self.given >= self.frames {
            bail!("--given {} of --frames {}: no frame is left to score", self.given, self.frames);
        }
        if !self.no_fvd && self.frames - self.given < I3d::SHORTEST {
            bail!(
                "--frames {}, --given {}: FVD needs at least {} frames behind the given ones; give longer clips or --no-fvd",
                self.frames,
                self.given,
                I3d::SHORTEST
            );
        }
        if let Some((network, file)) = &self.lpips {
            if protocol.lpips.network != *network {
                protocol.name += &format!(" with LPIPS of {}", network.name());
                protocol.lpips.network = *network;
            }
            protocol.lpips_weights = format!("weights {file}");
        }
        if let Some(file) = &self.i3d {
            protocol.fvd.weights = format!("weights {file}");
        }
        Ok(protocol)
    }

    /// Split of the datasets.
    pub fn split(&self) -> &str {
        self.split.as_deref().unwrap_or("valid")
    }

    /// Whether REAL is a LeRobot dataset.
    pub fn is_dataset(path: &Path) -> bool {
        path.join("meta/info.json").is_file()
    }
}

fn size(text: &str) -> Result<(usize, usize)> {
    let parsed = text.split_once('x').and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    match parsed {
        Some((height @ 1..=4096, width @ 1..=4096)) => Ok((height, width)),
        _ => bail!("expected HEIGHTxWIDTH in pixels, at most 4096 each, such as 256x256"),
    }
}

fn lpips(text: &str) -> Result<(Network, String)> {
    let (network, file) =
        text.split_once('=').context("expected NETWORK=FILE, such as alex=alexnet.safetensors")?;
    let network = Network::ALL.into_iter().find(|known| known.name() == network);
    Ok((network.context("expected alex, vgg or squeeze in front of `=`")?, file.to_string()))
}
