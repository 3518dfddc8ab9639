//! Which frames of a clip are known.

use candle_core::{DType, Device, Result, Tensor};

/// Which frames are given (clean, time 0, no loss) and which are generated.
///
/// ```
/// use candle_core::Device;
/// use cola_flow::Given;
///
/// let given = Given::first(1, 3, 1, &Device::Cpu)?;
/// assert_eq!(given.generated().to_vec2::<f32>()?, [[0.0, 1.0, 1.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Given {
    generated: Tensor,
}

impl Given {
    /// The first `given` of `frames` latent frames of every clip are given; 0 generates all of them.
    ///
    /// # Errors
    /// No frame left to generate.
    pub fn first(batch: usize, frames: usize, given: usize, device: &Device) -> Result<Self> {
        if given >= frames {
            candle_core::bail!("{given} given frames leave none of {frames} to generate");
        }
        let row: Vec<f32> = (0..frames).map(|f| if f < given { 0.0 } else { 1.0 }).collect();
        Ok(Self { generated: Tensor::from_vec(row, (1, frames), device)?.repeat((batch, 1))? })
    }

    /// From a mask `(B, T)` of any dtype: nonzero means generated, 0 means given.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn from_mask(generated: &Tensor) -> Result<Self> {
        Ok(Self { generated: generated.ne(0.0)?.to_dtype(DType::F32)? })
    }

    /// `(B, T)` f32: 1 where a frame is generated, 0 where it is given.
    pub fn generated(&self) -> &Tensor {
        &self.generated
    }

    /// Frames from `generated` where they are generated, from `given` elsewhere, bit for bit; both `(B, C, T, H, W)`.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn choose(&self, generated: &Tensor, given: &Tensor) -> Result<Tensor> {
        let (b, t) = self.generated.dims2()?;
        let mask = self.generated.to_dtype(DType::U8)?.reshape((b, 1, t, 1, 1))?;
        mask.broadcast_as(given.shape())?.where_cond(&generated.broadcast_as(given.shape())?, given)
    }
}
