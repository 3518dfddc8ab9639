//! What the encoder knows about a latent.

use candle_core::{Result, Tensor};
use cola_nn::normal;
use rand::Rng;

/// Bounds of the logarithm of the variance.
const LOGVAR: (f64, f64) = (-30.0, 20.0);

/// A Gaussian for each number of the latents.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_video_vae::Posterior;
///
/// # fn main() -> candle_core::Result<()> {
/// let mean_and_logvar = Tensor::new(&[[3f32, 0.0]], &Device::Cpu)?.reshape((1, 2, 1, 1, 1))?;
/// let posterior = Posterior::new(&mean_and_logvar)?;
/// let z = posterior.sample_with(&Tensor::full(0.5f32, (1, 1, 1, 1, 1), &Device::Cpu)?)?;
/// assert_eq!(z.flatten_all()?.to_vec1::<f32>()?, [3.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Posterior {
    mean: Tensor,
    logvar: Tensor,
}

impl Posterior {
    /// From `(B, 2 C, ...)`: means, then logarithms of variances, which are clamped to -30 and 20.
    ///
    /// # Errors
    /// An odd number of channels.
    pub fn new(parameters: &Tensor) -> Result<Self> {
        let channels = parameters.dim(1)?;
        if !channels.is_multiple_of(2) {
            candle_core::bail!("posterior: {channels} channels are no pairs of mean and variance");
        }
        let half = channels / 2;
        Ok(Self {
            mean: parameters.narrow(1, 0, half)?.contiguous()?,
            logvar: parameters.narrow(1, half, half)?.contiguous()?.clamp(LOGVAR.0, LOGVAR.1)?,
        })
    }

    /// `(B, C, ...)`.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// Logarithm of the variance, `(B, C, ...)`.
    pub fn logvar(&self) -> &Tensor {
        &self.logvar
    }

    /// `mean + exp(logvar / 2) noise`.
    ///
    /// # Errors
    /// Noise of another shape.
    pub fn sample_with(&self, noise: &Tensor) -> Result<Tensor> {
        &self.mean + (&self.logvar * 0.5)?.exp()?.mul(noise)?
    }

    /// [`Posterior::sample_with`] noise from the caller's generator.
    ///
    /// # Errors
    /// The device's.
    pub fn sample(&self, rng: &mut impl Rng) -> Result<Tensor> {
        let noise = normal(self.mean.dims(), self.mean.device(), rng)?.to_dtype(self.mean.dtype())?;
        self.sample_with(&noise)
    }

    /// A sample with the noise, or the mean without.
    pub(crate) fn point(&self, noise: Option<&Tensor>) -> Result<Tensor> {
        match noise {
            Some(noise) => self.sample_with(noise),
            None => Ok(self.mean.clone()),
        }
    }

    /// One posterior from those of successive chunks.
    pub(crate) fn cat(chunks: &[Self]) -> Result<Self> {
        let join = |part: fn(&Self) -> &Tensor| Tensor::cat(&chunks.iter().map(part).collect::<Vec<_>>(), 2);
        Ok(Self { mean: join(Self::mean)?, logvar: join(Self::logvar)? })
    }
}
