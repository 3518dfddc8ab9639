//! Open-Sora's video VAE as a codec.

use candle_core::Result;
use candle_core::Tensor;
use cola_video_vae::{Cut, VideoVae};

use super::LatentCodec;

/// Open-Sora's video VAE behind the codec's door: pixels in `[0, 1]`, means of the posteriors, no noise.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_dit_world::{LatentCodec, VaeCodec};
/// use cola_nn::Params;
/// use cola_video_vae::{Cut, VideoVae, VideoVaeConfig};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let codec = VaeCodec::new(VideoVae::new(&VideoVaeConfig::tiny(), params.frozen())?, Cut::Frames);
/// let video = Tensor::zeros((1, 2, 3, 16, 16), DType::F32, &Device::Cpu)?; // (B, T, 3, H, W)
/// let latents = codec.encode(&video)?;
/// assert_eq!(latents.dims(), [1, codec.channels(), 2, 2, 2]);
/// assert_eq!(codec.decode(&latents, 2)?.dims(), video.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VaeCodec {
    vae: VideoVae,
    cut: Cut,
}

impl VaeCodec {
    /// [`Cut::Frames`]: one latent for every frame, each through the full VAE by itself, which the published transformer
    /// knows as pictures. [`Cut::Chunks`]: one for every four behind the first, of clips of `1 + 4 k <= 17` frames. Build
    /// the VAE over frozen parameters.
    pub fn new(vae: VideoVae, cut: Cut) -> Self {
        Self { vae, cut }
    }
}

impl LatentCodec for VaeCodec {
    fn channels(&self) -> usize {
        self.vae.config().temporal_vae.embed_dim
    }

    fn factor(&self) -> usize {
        self.vae.config().spatial_vae.factor()
    }

    fn frames_per_latent(&self) -> usize {
        match self.cut {
            Cut::Frames => 1,
            Cut::Chunks => self.vae.config().temporal_vae.time_factor(),
        }
    }

    fn encode(&self, video: &Tensor) -> Result<Tensor> {
        let pixels = video.detach().affine(2.0, -1.0)?.transpose(1, 2)?.contiguous()?; // (B, 3, T, H, W)
        self.vae.encode_mean(&pixels, self.cut)
    }

    fn decode(&self, latents: &Tensor, frames: usize) -> Result<Tensor> {
        let pixels = self.vae.decode(latents, frames, self.cut)?;
        pixels.transpose(1, 2)?.contiguous()?.affine(0.5, 0.5)?.clamp(0.0, 1.0)
    }
}
