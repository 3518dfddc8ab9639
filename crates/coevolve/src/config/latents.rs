//! `latents`: the video VAE in place of the blocks of pixels, and the cache of what it makes.

use std::path::{Path, PathBuf};

use cola_data::CacheOptions;
use cola_dit_world::Alignment;
use serde::{Deserialize, Serialize};

use super::ExperimentConfig;
use crate::plan::PhaseKind;

/// What encodes clips besides `codec`, and where encoded ones are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentsConfig {
    /// Folder of the published video VAE, `config.json` and safetensors; it stays frozen, and is no part of a checkpoint.
    /// With it `dit.action.frames_per_latent` 1 encodes every frame by itself, 4 chunks of up to 17 frames. Empty takes
    /// the blocks of pixels of `codec`.
    #[serde(default)]
    pub vae: PathBuf,
    /// Folder in which the VAE's latents are kept; several runs may share it. Empty encodes every clip anew. Changes speed
    /// only.
    #[serde(default)]
    pub cache: PathBuf,
    /// GiB that the cache may take up. Once they are used, nothing more is kept.
    #[serde(default = "size")]
    pub size: f64,
}

fn size() -> f64 {
    20.0
}

/// Blocks of pixels, no cache.
impl Default for LatentsConfig {
    fn default() -> Self {
        Self { vae: PathBuf::new(), cache: PathBuf::new(), size: size() }
    }
}

/// `None` for an empty path.
fn some(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

impl LatentsConfig {
    /// The VAE's folder.
    pub fn vae(&self) -> Option<&Path> {
        some(&self.vae)
    }

    /// The cache's folder and bounds.
    pub fn cache(&self) -> Option<(&Path, CacheOptions)> {
        let bytes = (self.size * f64::from(1 << 30)) as u64;
        some(&self.cache).map(|folder| (folder, CacheOptions::within(bytes)))
    }
}

/// The largest block of pixels that becomes one latent pixel: 768 channels, a table of 2.4 MB.
const MOST_FACTOR: usize = 16;

/// A rule that holds or not, and what to say if it does not.
type Rule = (bool, String);

impl ExperimentConfig {
    /// Latent frames of a training clip; of a number of frames that [`check`](Self::check) refuses, the frames.
    pub fn latent_frames(&self) -> usize {
        let alignment = Alignment::new(self.dit.action.frames_per_latent);
        alignment
            .ok()
            .and_then(|found| found.latent_frames(self.data.frames).ok())
            .unwrap_or(self.data.frames)
    }

    /// What the codec asks of the other sections.
    pub(super) fn latents_rules(&self) -> Vec<Rule> {
        let latents = &self.latents;
        let mut rules = match latents.vae() {
            Some(_) => self.vae_rules(),
            None => self.block_rules(),
        };
        let encodes = |kind: PhaseKind| kind != PhaseKind::Lam;
        let crops = self.plan.phases().iter().any(|phase| encodes(phase.kind) && phase.kind.crops());
        let cache = latents.cache().is_some();
        rules.push((
            latents.size.is_finite() && latents.size >= 0.0,
            format!("latents.size is {}; expected GiB, at least 0", latents.size),
        ));
        rules.push((
            !cache || latents.vae().is_some(),
            "latents.cache is set and latents.vae is not; blocks of pixels are made faster than they are read: empty one, \
             or set the other"
                .into(),
        ));
        rules.push((
            !cache || !crops || self.data.crops > 0 || self.data.crop.area == [1.0, 1.0],
            "latents.cache is set, but with data.crops = 0 every sample has a crop of its own, which would never be met \
             again: set data.crops to the crops that each clip may have, e.g. 4, or data.crop.area to [1.0, 1.0]"
                .into(),
        ));
        rules
    }

    fn block_rules(&self) -> Vec<Rule> {
        let channels = self.codec.factor.saturating_mul(self.codec.factor).saturating_mul(3);
        vec![
            (
                self.codec.factor <= MOST_FACTOR,
                format!(
                    "codec.factor is {}; expected at most {MOST_FACTOR}, since the codec's table grows with its fourth power",
                    self.codec.factor
                ),
            ),
            (
                self.codec.factor > 0 && self.data.world_size.is_multiple_of(self.codec.factor.max(1)),
                format!(
                    "data.world_size is {}; codec.factor {} must divide it",
                    self.data.world_size, self.codec.factor
                ),
            ),
            (
                self.dit.in_channels == channels,
                format!(
                    "dit.in_channels is {}; the codec makes 3 * factor² = {channels}",
                    self.dit.in_channels
                ),
            ),
            (
                self.dit.action.frames_per_latent == 1,
                format!(
                    "dit.action.frames_per_latent is {}; the space-to-depth codec keeps every frame: set 1",
                    self.dit.action.frames_per_latent
                ),
            ),
        ]
    }

    /// The VAE's own sizes are those of its files, see [`crate::SystemParams::new`].
    fn vae_rules(&self) -> Vec<Rule> {
        let frames_per_latent = self.dit.action.frames_per_latent;
        let fits = |frames: usize| match Alignment::new(frames_per_latent) {
            Ok(alignment) => alignment.latent_frames(frames).map(|_| ()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let frames = fits(self.data.frames);
        let horizon = self.evaluation.horizon;
        vec![
            (frames.is_ok(), format!("data.frames: {}", frames.err().unwrap_or_default())),
            (
                frames_per_latent > 0 && horizon.is_multiple_of(frames_per_latent.max(1)),
                format!(
                    "evaluation.horizon is {horizon}; it must be a multiple of dit.action.frames_per_latent = \
                     {frames_per_latent}"
                ),
            ),
        ]
    }
}
