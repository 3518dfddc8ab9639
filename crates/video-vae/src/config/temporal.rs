//! Sizes of the temporal VAE.

use serde::{Deserialize, Serialize};

use super::{ConfigError, DEEPEST, LEVELS, WIDEST, not_above, not_zero};

/// The temporal VAE; field names follow Open-Sora's `VAE_Temporal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporalConfig {
    /// Channels of the latent images that go in and come out.
    pub in_out_channels: usize,
    /// Channels between encoder and `quant_conv` (there twice as many), and between `post_quant_conv` and decoder.
    pub latent_embed_dim: usize,
    /// Channels of the latents.
    pub embed_dim: usize,
    /// Width of a level of multiplier 1.
    pub filters: usize,
    /// Residual blocks of each level, and of the middle.
    pub num_res_blocks: usize,
    /// Width of each level in `filters`.
    pub channel_multipliers: Vec<usize>,
    /// Whether the frame rate is halved behind each level but the last.
    pub temporal_downsample: Vec<bool>,
    /// Groups of every group norm.
    pub num_groups: usize,
    /// What keeps a group norm's root away from zero.
    pub norm_eps: f64,
    /// Frames that are encoded together; chunks do not see each other.
    pub micro_frame_size: usize,
}

impl TemporalConfig {
    /// The published model: 309,687,144 parameters.
    pub fn open_sora_v1_2() -> Self {
        Self {
            in_out_channels: 4,
            latent_embed_dim: 4,
            embed_dim: 4,
            filters: 128,
            num_res_blocks: 4,
            channel_multipliers: vec![1, 2, 2, 4],
            temporal_downsample: vec![false, true, true],
            num_groups: 32,
            norm_eps: 1e-5,
            micro_frame_size: 17,
        }
    }

    /// The same shape, narrow and shallow, for tests.
    pub fn tiny() -> Self {
        Self { filters: 4, num_res_blocks: 1, num_groups: 2, ..Self::open_sora_v1_2() }
    }

    /// Frames that become one.
    pub fn time_factor(&self) -> usize {
        1 << self.temporal_downsample.iter().filter(|halves| **halves).count()
    }

    /// Latent frames of a clip: those of its whole chunks and those of the rest, each rounded up.
    pub fn latent_frames(&self, frames: usize) -> usize {
        let of = |frames: usize| frames.div_ceil(self.time_factor());
        frames / self.micro_frame_size * of(self.micro_frame_size) + of(frames % self.micro_frame_size)
    }

    /// Channels of a level.
    pub(crate) fn width(&self, level: usize) -> usize {
        self.filters * self.channel_multipliers[level]
    }

    /// Refuses sizes that do not fit together.
    ///
    /// # Errors
    /// The field, its value and what would do.
    pub fn check(&self) -> Result<(), ConfigError> {
        not_zero(&[
            ("temporal_vae.in_out_channels", self.in_out_channels),
            ("temporal_vae.latent_embed_dim", self.latent_embed_dim),
            ("temporal_vae.embed_dim", self.embed_dim),
            ("temporal_vae.filters", self.filters),
            ("temporal_vae.num_groups", self.num_groups),
            ("temporal_vae.micro_frame_size", self.micro_frame_size),
            ("temporal_vae.channel_multipliers", self.channel_multipliers.iter().copied().min().unwrap_or(0)),
        ])?;
        let multipliers = &self.channel_multipliers;
        not_above(&[
            ("temporal_vae.in_out_channels", self.in_out_channels, WIDEST),
            ("temporal_vae.latent_embed_dim", self.latent_embed_dim, WIDEST),
            ("temporal_vae.embed_dim", self.embed_dim, WIDEST),
            ("temporal_vae.filters", self.filters, WIDEST),
            ("temporal_vae.num_groups", self.num_groups, WIDEST),
            ("temporal_vae.num_res_blocks", self.num_res_blocks, DEEPEST),
            ("temporal_vae.micro_frame_size", self.micro_frame_size, WIDEST),
            ("temporal_vae.channel_multipliers", multipliers.iter().copied().max().unwrap_or(0), DEEPEST),
            ("the number of entries of temporal_vae.channel_multipliers", multipliers.len(), LEVELS),
        ])?;
        if !self.norm_eps.is_finite() || self.norm_eps <= 0.0 {
            return Err(ConfigError::Number {
                field: "temporal_vae.norm_eps",
                expected: "finite and above 0",
            });
        }
        let (levels, found) = (self.channel_multipliers.len(), self.temporal_downsample.len());
        if found + 1 != levels {
            return Err(ConfigError::Steps { found, levels });
        }
        for level in 0..levels {
            let found = self.width(level);
            if !found.is_multiple_of(self.num_groups) {
                return Err(ConfigError::Multiple {
                    field: "temporal_vae.filters times a multiplier",
                    found,
                    unit: self.num_groups,
                    why: "group norm takes equal groups of channels",
                });
            }
        }
        Ok(())
    }
}
