//! The published `config.json` of the VAE pipeline, and what of it this port computes.

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, VideoVaeConfig};

/// `config.json` as Open-Sora v1.2 writes it. It names the two models instead of describing them, so sizes other than the
/// published ones stand under a key of their own, which other programs pass over.
///
/// Field names as in the reference's `VideoAutoencoderPipelineConfig`; the published file itself was not at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedConfig {
    /// `VideoAutoencoderPipeline`.
    pub model_type: String,
    /// The image VAE.
    pub vae_2d: PublishedImages,
    /// The temporal VAE.
    pub vae_temporal: PublishedTime,
    /// Frames that are encoded together.
    pub micro_frame_size: usize,
    /// What is taken from each channel of the latents.
    pub shift: Vec<f64>,
    /// What each channel is divided by behind that.
    pub scale: Vec<f64>,
    /// Sizes of a model that is not the published one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cola_world: Option<VideoVaeConfig>,
}

/// What the pipeline says of its image VAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedImages {
    /// `VideoAutoencoderKL`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Images that go through it together; all if absent.
    pub micro_batch_size: Option<usize>,
}

/// What the pipeline says of its temporal VAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedTime {
    /// `VAE_Temporal_SD`.
    #[serde(rename = "type")]
    pub kind: String,
}

const PIPELINE: &str = "VideoAutoencoderPipeline";
const IMAGES: &str = "VideoAutoencoderKL";
const TIME: &str = "VAE_Temporal_SD";

impl Default for PublishedImages {
    fn default() -> Self {
        let micro_batch_size = Some(VideoVaeConfig::open_sora_v1_2().micro_batch);
        Self { kind: IMAGES.into(), micro_batch_size }
    }
}

impl Default for PublishedTime {
    fn default() -> Self {
        Self { kind: TIME.into() }
    }
}

impl Default for PublishedConfig {
    fn default() -> Self {
        Self::of(&VideoVaeConfig::open_sora_v1_2())
    }
}

impl PublishedConfig {
    /// The model that the file describes.
    ///
    /// # Errors
    /// Models of another kind; what [`VideoVaeConfig::check`] refuses.
    pub fn config(&self) -> Result<VideoVaeConfig, ConfigError> {
        for (field, found, expected) in [
            ("model_type", &self.model_type, PIPELINE),
            ("vae_2d.type", &self.vae_2d.kind, IMAGES),
            ("vae_temporal.type", &self.vae_temporal.kind, TIME),
        ] {
            if found != expected {
                return Err(ConfigError::Kind { field, found: found.clone(), expected });
            }
        }
        let mut config = self.cola_world.clone().unwrap_or_else(VideoVaeConfig::open_sora_v1_2);
        config.temporal_vae.micro_frame_size = self.micro_frame_size;
        config.micro_batch = self.vae_2d.micro_batch_size.unwrap_or(usize::MAX);
        (config.shift, config.scale) = (self.shift.clone(), self.scale.clone());
        config.check()?;
        Ok(config)
    }

    /// The file of a model; the published one gets no addition.
    pub fn of(config: &VideoVaeConfig) -> Self {
        let published = VideoVaeConfig::open_sora_v1_2();
        let same =
            config.spatial_vae == published.spatial_vae && config.temporal_vae == published.temporal_vae;
        let micro_batch_size = (config.micro_batch != usize::MAX).then_some(config.micro_batch);
        Self {
            model_type: PIPELINE.into(),
            vae_2d: PublishedImages { kind: IMAGES.into(), micro_batch_size },
            vae_temporal: PublishedTime::default(),
            micro_frame_size: config.temporal_vae.micro_frame_size,
            shift: config.shift.clone(),
            scale: config.scale.clone(),
            cola_world: (!same).then(|| config.clone()),
        }
    }
}
