//! Sizes of the whole VAE, and what no VAE can have.

mod image;
mod temporal;

use serde::{Deserialize, Serialize};

pub use image::ImageConfig;
pub use temporal::TemporalConfig;

/// A configuration that no model can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size that another has to divide.
    #[error("{field} is {found}; it must be a multiple of {unit} ({why})")]
    Multiple {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What must divide it.
        unit: usize,
        /// Why.
        why: &'static str,
    },
    /// A size that is zero.
    #[error("{field} is 0; it must be at least 1")]
    Zero {
        /// The field, as in the configuration file.
        field: &'static str,
    },
    /// A size that no model has.
    #[error("{field} is {found}; it must be at most {most}")]
    TooLarge {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What is allowed.
        most: usize,
    },
    /// A real number out of range.
    #[error("{field} must be {expected}")]
    Number {
        /// The field, as in the configuration file.
        field: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// Levels and the steps between them.
    #[error(
        "temporal_vae.temporal_downsample has {found} entries; {levels} levels have {} steps between them",
        levels - 1
    )]
    Steps {
        /// Entries.
        found: usize,
        /// Levels.
        levels: usize,
    },
    /// A model of another kind.
    #[error("{field} is {found}; it must be {expected}, which is what this is a port of")]
    Kind {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// Two parts that do not fit together.
    #[error("{field} is {found}; it must be {expected}, as {other}")]
    Unequal {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: usize,
        /// The field that it has to follow.
        other: &'static str,
        /// That field's value.
        expected: usize,
    },
}

impl ConfigError {
    /// The field that is wrong, as in the configuration file.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Multiple { field, .. }
            | Self::Zero { field }
            | Self::TooLarge { field, .. }
            | Self::Number { field, .. }
            | Self::Kind { field, .. }
            | Self::Unequal { field, .. } => field,
            Self::Steps { .. } => "temporal_vae.temporal_downsample",
        }
    }
}

/// Sizes that no model has, and that would be asked for before anything can say that they are wrong.
const WIDEST: usize = 1 << 16;
const DEEPEST: usize = 1 << 10;
/// Levels: each but the last halves something.
const LEVELS: usize = 16;

/// Refuses the first field that is above its bound.
fn not_above(fields: &[(&'static str, usize, usize)]) -> Result<(), ConfigError> {
    match fields.iter().find(|(_, value, most)| value > most) {
        Some(&(field, found, most)) => Err(ConfigError::TooLarge { field, found, most }),
        None => Ok(()),
    }
}

/// Refuses the first field that is zero.
fn not_zero(fields: &[(&'static str, usize)]) -> Result<(), ConfigError> {
    match fields.iter().find(|(_, value)| *value == 0) {
        Some((field, _)) => Err(ConfigError::Zero { field }),
        None => Ok(()),
    }
}

/// Image VAE, temporal VAE and what lies between them and the latents. The first two are named as in the published state
/// dict, where the image VAE is `spatial_vae`.
///
/// ```
/// use cola_video_vae::VideoVaeConfig;
///
/// let config = VideoVaeConfig::open_sora_v1_2();
/// assert_eq!(config.check(), Ok(()));
/// assert_eq!((config.spatial_vae.factor(), config.temporal_vae.latent_frames(17)), (8, 5));
/// assert_eq!(config.spatial_vae.scaling_factor, 0.18215);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoVaeConfig {
    /// Pixels to latent images.
    pub spatial_vae: ImageConfig,
    /// Latent images to fewer latents.
    pub temporal_vae: TemporalConfig,
    /// What is taken from each channel of the latents.
    pub shift: Vec<f64>,
    /// What each channel is divided by behind that.
    pub scale: Vec<f64>,
    /// Images that go through the image VAE together: bounds the memory, changes no bit of the result.
    pub micro_batch: usize,
}

impl VideoVaeConfig {
    /// The published model: 393,341,007 parameters.
    pub fn open_sora_v1_2() -> Self {
        Self {
            spatial_vae: ImageConfig::open_sora_v1_2(),
            temporal_vae: TemporalConfig::open_sora_v1_2(),
            shift: vec![-0.10, 0.34, 0.27, 0.98],
            scale: vec![3.85, 2.32, 2.33, 3.06],
            micro_batch: 4,
        }
    }

    /// The same shape, narrow and shallow, for tests.
    pub fn tiny() -> Self {
        Self {
            spatial_vae: ImageConfig::tiny(),
            temporal_vae: TemporalConfig::tiny(),
            ..Self::open_sora_v1_2()
        }
    }

    /// Refuses sizes that do not fit together.
    ///
    /// # Errors
    /// The field, its value and what would do.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.spatial_vae.check()?;
        self.temporal_vae.check()?;
        not_zero(&[("micro_batch", self.micro_batch)])?;
        let (latent, embed) = ("spatial_vae.latent_channels", "temporal_vae.embed_dim");
        let (channels, width) = (self.spatial_vae.latent_channels, self.temporal_vae.embed_dim);
        for (field, found, other, expected) in [
            ("temporal_vae.in_out_channels", self.temporal_vae.in_out_channels, latent, channels),
            ("the number of entries of shift", self.shift.len(), embed, width),
            ("the number of entries of scale", self.scale.len(), embed, width),
        ] {
            if found != expected {
                return Err(ConfigError::Unequal { field, found, other, expected });
            }
        }
        if self.shift.iter().any(|shift| !shift.is_finite()) {
            return Err(ConfigError::Number { field: "shift", expected: "finite" });
        }
        if self.scale.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
            return Err(ConfigError::Number { field: "scale", expected: "finite and above 0" });
        }
        Ok(())
    }
}
