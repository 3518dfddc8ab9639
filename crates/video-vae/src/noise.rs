//! What makes a sample of the two posteriors.

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::normal;
use rand::Rng;

use crate::error::InputError;

/// Standard normal numbers for the posteriors of a video.
#[derive(Clone, Debug)]
pub struct Noise {
    /// For the latent images, all frames of the first video first: `(B F, latent_channels, H, W)`.
    pub images: Tensor,
    /// For the latents: `(B, embed_dim, T, H, W)`.
    pub latents: Tensor,
}

impl Noise {
    /// First the images', then the latents', in this order from one generator.
    pub(crate) fn draw(
        [images, latents]: [&[usize]; 2],
        (dtype, device): (DType, &Device),
        rng: &mut impl Rng,
    ) -> Result<Self> {
        let images = normal(images, device, rng)?.to_dtype(dtype)?;
        Ok(Self { images, latents: normal(latents, device, rng)?.to_dtype(dtype)? })
    }

    /// Refuses noise of other shapes.
    pub(crate) fn check(&self, [images, latents]: [&[usize]; 2]) -> std::result::Result<(), InputError> {
        for (which, noise, expected) in [("image", &self.images, images), ("latent", &self.latents, latents)]
        {
            if noise.dims() != expected {
                let (found, expected) = (noise.dims().to_vec(), expected.to_vec());
                return Err(InputError::Noise { which, found, expected });
            }
        }
        Ok(())
    }
}
