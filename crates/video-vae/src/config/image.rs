//! Sizes of the image VAE.

use serde::{Deserialize, Serialize};

use super::{ConfigError, DEEPEST, LEVELS, WIDEST, not_above, not_zero};

/// The image VAE; field names follow diffusers' `AutoencoderKL`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Channels of each level, from pixels to latents; the sides are halved between levels.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each of the encoder's levels; the decoder's have one more.
    pub layers_per_block: usize,
    /// Groups of every group norm.
    pub norm_num_groups: usize,
    /// What keeps a group norm's root away from zero.
    pub norm_eps: f64,
    /// Channels of the pictures.
    pub in_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// What latents are multiplied with before anything else sees them.
    pub scaling_factor: f64,
}

impl ImageConfig {
    /// The published model: 83,653,863 parameters. Its latents are scaled by 0.18215, not by the 0.13025 of the image VAE
    /// that it was trained from.
    pub fn open_sora_v1_2() -> Self {
        Self {
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            norm_eps: 1e-6,
            in_channels: 3,
            latent_channels: 4,
            scaling_factor: 0.18215,
        }
    }

    /// The same shape, narrow and shallow, for tests.
    pub fn tiny() -> Self {
        Self {
            block_out_channels: vec![4, 8, 8, 8],
            layers_per_block: 1,
            norm_num_groups: 2,
            ..Self::open_sora_v1_2()
        }
    }

    /// Pixels along the side of a latent.
    pub fn factor(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// Channels of the last level.
    pub(crate) fn inner(&self) -> usize {
        self.block_out_channels.last().copied().unwrap_or(0)
    }

    /// Refuses sizes that do not fit together.
    ///
    /// # Errors
    /// The field, its value and what would do.
    pub fn check(&self) -> Result<(), ConfigError> {
        not_zero(&[
            ("spatial_vae.block_out_channels", self.block_out_channels.iter().copied().min().unwrap_or(0)),
            ("spatial_vae.layers_per_block", self.layers_per_block),
            ("spatial_vae.norm_num_groups", self.norm_num_groups),
            ("spatial_vae.in_channels", self.in_channels),
            ("spatial_vae.latent_channels", self.latent_channels),
        ])?;
        let channels = &self.block_out_channels;
        not_above(&[
            ("spatial_vae.block_out_channels", channels.iter().copied().max().unwrap_or(0), WIDEST),
            ("the number of entries of spatial_vae.block_out_channels", channels.len(), LEVELS),
            ("spatial_vae.layers_per_block", self.layers_per_block, DEEPEST),
            ("spatial_vae.norm_num_groups", self.norm_num_groups, WIDEST),
            ("spatial_vae.in_channels", self.in_channels, WIDEST),
            ("spatial_vae.latent_channels", self.latent_channels, WIDEST),
        ])?;
        if !self.norm_eps.is_finite() || self.norm_eps <= 0.0 {
            return Err(ConfigError::Number {
                field: "spatial_vae.norm_eps",
                expected: "finite and above 0",
            });
        }
        for &found in channels {
            if !found.is_multiple_of(self.norm_num_groups) {
                return Err(ConfigError::Multiple {
                    field: "an entry of spatial_vae.block_out_channels",
                    found,
                    unit: self.norm_num_groups,
                    why: "group norm takes equal groups of channels",
                });
            }
        }
        if !self.scaling_factor.is_finite() || self.scaling_factor <= 0.0 {
            let field = "spatial_vae.scaling_factor";
            return Err(ConfigError::Number { field, expected: "finite and above 0" });
        }
        Ok(())
    }
}
