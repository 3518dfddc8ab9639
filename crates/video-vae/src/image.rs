//! Single pictures.

mod attention;
mod decoder;
mod encoder;
mod middle;

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::CausalConv3d;

pub use decoder::ImageDecoder;
pub use encoder::ImageEncoder;

use crate::error::{InputError, check_latents, check_pictures};
use crate::{ImageConfig, Posterior};

/// Pictures to latent images of an eighth of their sides, and back (the SDXL type of `AutoencoderKL`).
///
/// A picture of 256 x 256 pixels is 0.27 TFLOP to encode and 0.62 to decode at the published size (0.53 as computed here: the
/// convolutions behind an enlargement take 4 products for 9).
///
/// Attention layers are found by their names of today (`to_q`, `to_k`, `to_v`, `to_out.0`) or, where the parameters only
/// have those, by the older ones (`query`, `key`, `value`, `proj_attn`).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::Params;
/// use cola_video_vae::{ImageConfig, ImageVae};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let vae = ImageVae::new(&ImageConfig::tiny(), params.trainable())?;
/// let pictures = Tensor::zeros((2, 3, 16, 24), DType::F32, &Device::Cpu)?; // grey: pixels in [-1, 1]
/// let posterior = vae.encode(&pictures)?;
/// assert_eq!(posterior.mean().dims(), [2, 4, 2, 3]);
/// assert_eq!(vae.decode(posterior.mean())?.dims(), pictures.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImageVae {
    config: ImageConfig,
    encoder: ImageEncoder,
    quant_conv: CausalConv3d,
    post_quant_conv: CausalConv3d,
    decoder: ImageDecoder,
}

impl ImageVae {
    /// Parameters as in the published checkpoint below `spatial_vae.module.`.
    ///
    /// # Errors
    /// A configuration that [`ImageConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &ImageConfig, vb: VarBuilder) -> Result<Self> {
        let (one, two) = (config.latent_channels, 2 * config.latent_channels);
        Ok(Self {
            config: config.clone(),
            encoder: ImageEncoder::new(config, vb.pp("encoder"))?,
            quant_conv: CausalConv3d::of_images(two, two, 1, vb.pp("quant_conv"))?,
            post_quant_conv: CausalConv3d::of_images(one, one, 1, vb.pp("post_quant_conv"))?,
            decoder: ImageDecoder::new(config, vb.pp("decoder"))?,
        })
    }

    /// The model's sizes.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Pictures `(N, in_channels, H, W)`, pixels in `[-1, 1]`, to the posterior of `(N, latent_channels, H / factor,
    /// W / factor)`; not multiplied by the scaling factor. In the pictures' dtype.
    ///
    /// # Errors
    /// [`InputError`]: no picture, other channels, sides that are no multiples of [`ImageConfig::factor`].
    pub fn encode(&self, pictures: &Tensor) -> Result<Posterior> {
        is_of_rank(pictures, 4, "pictures", "(samples, channels, height, width)")?;
        check_pictures("pictures", pictures.dims(), self.config.in_channels, self.config.factor())?;
        let parameters = self.quant_conv.forward(&self.encoder.forward(&pictures.unsqueeze(2)?)?)?;
        Posterior::new(&parameters.squeeze(2)?)
    }

    /// Latent images `(N, latent_channels, H, W)`, not multiplied by the scaling factor, to pictures `(N, in_channels,
    /// H factor, W factor)`: about in `[-1, 1]`, not clamped.
    ///
    /// # Errors
    /// [`InputError`]: no latent image, other channels, no pixels.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        is_of_rank(latents, 4, "latent images", "(samples, channels, height, width)")?;
        check_latents("latent images", latents.dims(), self.config.latent_channels)?;
        self.decoder.forward(&self.post_quant_conv.forward(&latents.unsqueeze(2)?)?)?.squeeze(2)
    }
}

/// Refuses a tensor with another number of dimensions.
pub(crate) fn is_of_rank(
    x: &Tensor,
    rank: usize,
    what: &'static str,
    expected: &'static str,
) -> std::result::Result<(), InputError> {
    if x.rank() == rank {
        return Ok(());
    }
    Err(InputError::Rank { what, found: x.dims().to_vec(), expected })
}
