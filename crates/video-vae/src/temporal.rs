//! Clips of any length, chunk by chunk.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::CausalConv3d;

use crate::{Decoder, Encoder, Posterior, TemporalConfig};

/// Encoder, decoder and the two small convolutions at the latents.
///
/// A clip is cut into chunks of `micro_frame_size` frames, each encoded and decoded by itself. Zero frames in front bring
/// a chunk to a multiple of the time factor: 17 frames become 5 latents, one frame becomes one.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::Params;
/// use cola_video_vae::{TemporalConfig, TemporalVae};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let vae = TemporalVae::new(&TemporalConfig::tiny(), params.trainable())?;
/// let images = Tensor::zeros((1, 4, 20, 2, 2), DType::F32, &Device::Cpu)?;
/// let z = vae.encode(&images)?.sample(&mut cola_random::stream(0, "posterior", 0, 0))?;
/// assert_eq!(z.dims(), [1, 4, 6, 2, 2]); // 5 of the first 17 frames, 1 of the last 3
/// assert_eq!(vae.decode(&z, 20)?.dims(), images.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TemporalVae {
    config: TemporalConfig,
    encoder: Encoder,
    quant_conv: CausalConv3d,
    post_quant_conv: CausalConv3d,
    decoder: Decoder,
}

impl TemporalVae {
    /// Parameters as in the published checkpoint below `temporal_vae.`.
    ///
    /// # Errors
    /// A configuration that [`TemporalConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &TemporalConfig, vb: VarBuilder) -> Result<Self> {
        let (inner, outer) = (config.latent_embed_dim, config.embed_dim);
        Ok(Self {
            config: config.clone(),
            encoder: Encoder::new(config, vb.pp("encoder"))?,
            quant_conv: CausalConv3d::new(2 * inner, 2 * outer, [1; 3], vb.pp("quant_conv").pp("conv"))?,
            post_quant_conv: CausalConv3d::new(outer, inner, [1; 3], vb.pp("post_quant_conv").pp("conv"))?,
            decoder: Decoder::new(config, vb.pp("decoder"))?,
        })
    }

    /// The model's sizes.
    pub fn config(&self) -> &TemporalConfig {
        &self.config
    }

    /// Latent images `(B, in_out_channels, T, H, W)` to the posterior of `(B, embed_dim, T', H, W)`, `T'` from
    /// [`TemporalConfig::latent_frames`].
    ///
    /// # Errors
    /// Another number of channels, no frames.
    pub fn encode(&self, x: &Tensor) -> Result<Posterior> {
        let frames = x.dim(2)?;
        if frames == 0 {
            candle_core::bail!("temporal VAE: there is no frame to encode");
        }
        let size = self.config.micro_frame_size;
        let chunks: Vec<Posterior> = (0..frames)
            .step_by(size)
            .map(|start| self.encode_chunk(&x.narrow(2, start, size.min(frames - start))?))
            .collect::<Result<_>>()?;
        Posterior::cat(&chunks)
    }

    /// Latents `(B, embed_dim, T', H, W)` to `frames` latent images `(B, in_out_channels, frames, H, W)`.
    ///
    /// # Errors
    /// A number of frames that does not belong to that of the latents.
    pub fn decode(&self, z: &Tensor, frames: usize) -> Result<Tensor> {
        let expected = self.config.latent_frames(frames);
        if frames == 0 || z.dim(2)? != expected {
            candle_core::bail!(
                "temporal VAE: {frames} frames have {expected} latents, the tensor is {:?}",
                z.dims()
            );
        }
        let size = self.config.micro_frame_size;
        let latents = self.config.latent_frames(size);
        let chunks: Vec<Tensor> = (0..frames.div_ceil(size))
            .map(|chunk| {
                let start = chunk * latents;
                let z = z.narrow(2, start, latents.min(expected - start))?;
                self.decode_chunk(&z, size.min(frames - chunk * size))
            })
            .collect::<Result<_>>()?;
        Tensor::cat(&chunks, 2)
    }

    /// Zero frames in front of a chunk.
    fn padding(&self, frames: usize) -> usize {
        frames.next_multiple_of(self.config.time_factor()) - frames
    }

    fn encode_chunk(&self, x: &Tensor) -> Result<Posterior> {
        let x = x.pad_with_zeros(2, self.padding(x.dim(2)?), 0)?;
        Posterior::new(&self.quant_conv.forward(&self.encoder.forward(&x)?)?)
    }

    fn decode_chunk(&self, z: &Tensor, frames: usize) -> Result<Tensor> {
        let x = self.decoder.forward(&self.post_quant_conv.forward(z)?)?;
        x.narrow(2, self.padding(frames), frames)
    }
}
