//! Between pixels and latents: the door behind which the video VAE or a fixed transform stands.

use candle_core::{DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use serde::{Deserialize, Serialize};

mod vae;

pub use vae::VaeCodec;

/// Pixels `(B, T, 3, H, W)` in `[0, 1]` to normalised latents `(B, C, T', H', W')` and back. Never trained here.
pub trait LatentCodec {
    /// Latent channels.
    fn channels(&self) -> usize;

    /// Pixels along the side of one latent pixel.
    fn factor(&self) -> usize;

    /// Video frames of each latent frame behind the first.
    fn frames_per_latent(&self) -> usize;

    /// Video to latents, without history.
    ///
    /// # Errors
    /// Sides that the codec does not divide.
    fn encode(&self, video: &Tensor) -> Result<Tensor>;

    /// Latents to `frames` video frames, clamped to `[0, 1]`.
    ///
    /// # Errors
    /// A number of frames that the latents do not hold.
    fn decode(&self, latents: &Tensor, frames: usize) -> Result<Tensor>;
}

/// [`SpaceToDepth`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecConfig {
    /// Side of the square block of pixels that becomes the channels of one latent pixel.
    pub factor: usize,
    /// How far the channels are evened out: each is divided by (its standard deviation)^whiten. At 0 the latents are
    /// pixels up to a rotation, and noise hides a block's details long before its mean; at 1 all channels weigh alike,
    /// compression noise included. In between, both matter.
    pub whiten: f64,
}

/// A fixed, invertible codec for small pictures: each frame alone, blocks of `factor x factor` pixels become channels
/// through an orthonormal cosine transform and an orthonormal colour rotation, then shift and scale for each channel, as
/// a VAE's latents have them. Exact up to rounding.
#[derive(Clone, Debug)]
pub struct SpaceToDepth {
    /// `(3 f², 3 f²)`, orthonormal; row = latent channel, column = (colour, row, column) of the block.
    basis: Tensor,
    shift: Tensor,
    scale: Tensor,
    factor: usize,
}

impl SpaceToDepth {
    /// Buffers `shift` and `scale` `(3 f²)`; fresh ones are 0 and 1.
    ///
    /// # Errors
    /// A stored buffer of another shape, a factor of 0.
    pub fn new(config: &CodecConfig, vb: VarBuilder) -> Result<Self> {
        let f = config.factor;
        if f == 0 {
            candle_core::bail!("codec.factor is 0; it must be at least 1");
        }
        let channels = 3 * f * f;
        Ok(Self {
            basis: Tensor::from_vec(basis(f), (channels, channels), vb.device())?.to_dtype(vb.dtype())?,
            shift: vb.get_with_hints(channels, "shift", Init::Const(0.0))?,
            scale: vb.get_with_hints(channels, "scale", Init::Const(1.0))?,
            factor: f,
        })
    }

    /// Shift and scale that give latents of mean 0 and mean square 1 over `video` `(B, T, 3, H, W)`, evened out as the
    /// configuration says.
    ///
    /// # Errors
    /// As [`LatentCodec::encode`].
    pub fn fit(config: &CodecConfig, video: &Tensor) -> Result<(Tensor, Tensor)> {
        let channels = 3 * config.factor * config.factor;
        let plain = Self {
            basis: Tensor::from_vec(basis(config.factor), (channels, channels), video.device())?
                .to_dtype(video.dtype())?,
            shift: Tensor::zeros(channels, video.dtype(), video.device())?,
            scale: Tensor::ones(channels, video.dtype(), video.device())?,
            factor: config.factor,
        };
        let rows = plain.blocks(video)?.reshape(((), channels))?.to_dtype(DType::F64)?;
        let shift = rows.mean(0)?;
        let variance = rows.broadcast_sub(&shift)?.sqr()?.mean(0)?;
        // Channels quieter than half a grey level hold no picture; they are not blown up.
        let deviation: Vec<f64> =
            variance.sqrt()?.to_vec1::<f64>()?.into_iter().map(|d| d.max(0.5 / 255.0)).collect();
        let evened: Vec<f64> = deviation.iter().map(|d| d.powf(-config.whiten)).collect();
        let power =
            deviation.iter().zip(&evened).map(|(d, s)| (d * s).powi(2)).sum::<f64>() / channels as f64;
        let scale: Vec<f64> = evened.iter().map(|s| s / power.sqrt()).collect();
        let scale = Tensor::from_vec(scale, channels, video.device())?;
        Ok((shift.to_dtype(video.dtype())?, scale.to_dtype(video.dtype())?))
    }

    /// `(B, T, 3, H, W)` to rotated blocks `(B, T, h, w, C)`, not yet shifted and scaled.
    fn blocks(&self, video: &Tensor) -> Result<Tensor> {
        let (b, t, colours, height, width) = video.dims5()?;
        let f = self.factor;
        if colours != 3 || !height.is_multiple_of(f) || !width.is_multiple_of(f) {
            candle_core::bail!("video {:?} must have 3 colours and sides that {f} divides", video.dims());
        }
        let (h, w) = (height / f, width / f);
        let rows = video
            .reshape(vec![b * t, 3, h, f, w, f])?
            .permute(vec![0, 2, 4, 1, 3, 5])? // (B T, h, w, 3, f, f)
            .contiguous()?
            .reshape((b * t * h * w, 3 * f * f))?;
        rows.matmul(&self.basis.t()?)?.reshape((b, t, h, w, 3 * f * f))
    }
}

impl LatentCodec for SpaceToDepth {
    fn channels(&self) -> usize {
        3 * self.factor * self.factor
    }

    fn factor(&self) -> usize {
        self.factor
    }

    fn frames_per_latent(&self) -> usize {
        1
    }

    fn encode(&self, video: &Tensor) -> Result<Tensor> {
        let rows = self.blocks(&video.detach())?.broadcast_sub(&self.shift)?.broadcast_mul(&self.scale)?;
        rows.permute((0, 4, 1, 2, 3))?.contiguous() // (B, C, T, h, w)
    }

    fn decode(&self, latents: &Tensor, frames: usize) -> Result<Tensor> {
        let (b, channels, t, h, w) = latents.dims5()?;
        if t != frames {
            candle_core::bail!("{t} latent frames of this codec hold {t} video frames, not {frames}");
        }
        let f = self.factor;
        let rows = latents.permute((0, 2, 3, 4, 1))?.contiguous()?;
        let rows = rows.broadcast_div(&self.scale)?.broadcast_add(&self.shift)?;
        rows.reshape((b * t * h * w, channels))?
            .matmul(&self.basis)?
            .reshape(vec![b * t, h, w, 3, f, f])?
            .permute(vec![0, 3, 1, 4, 2, 5])? // (B T, 3, h, f, w, f)
            .contiguous()?
            .reshape((b, t, 3, h * f, w * f))?
            .clamp(0.0, 1.0)
    }
}

/// Kronecker product of a colour rotation and two cosine transforms of type II, all orthonormal.
fn basis(f: usize) -> Vec<f64> {
    let (a, b, c) = (1.0 / 3f64.sqrt(), 1.0 / 2f64.sqrt(), 1.0 / 6f64.sqrt());
    let colour = [[a, a, a], [b, 0.0, -b], [c, -2.0 * c, c]];
    let n = f as f64;
    let cosine = |frequency: usize, place: usize| {
        let height = if frequency == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
        height * (std::f64::consts::PI * (place as f64 + 0.5) * frequency as f64 / n).cos()
    };
    let mut values = Vec::with_capacity(9 * f * f * f * f);
    for row in &colour {
        for u in 0..f {
            for v in 0..f {
                for weight in row {
                    for y in 0..f {
                        for x in 0..f {
                            values.push(weight * cosine(u, y) * cosine(v, x));
                        }
                    }
                }
            }
        }
    }
    values
}
