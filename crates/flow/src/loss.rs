//! The training side: given frames, corruption, velocity loss.

use candle_core::{D, DType, Device, Result, Tensor};

/// Which frames are given (clean, time 0, no loss) and which are generated.
#[derive(Clone, Debug)]
pub struct Given {
    generated: Tensor,
}

impl Given {
    /// The first `given` of `frames` latent frames of every clip are given.
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

    /// From a mask `(B, T)`: nonzero means generated, 0 means given.
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

    /// Frames from `generated` where they are generated, from `given` elsewhere; both `(B, C, T, H, W)`.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn choose(&self, generated: &Tensor, given: &Tensor) -> Result<Tensor> {
        let (b, t) = self.generated.dims2()?;
        let mask = self.generated.to_dtype(DType::U8)?.reshape((b, 1, t, 1, 1))?;
        mask.broadcast_as(given.shape())?.where_cond(&generated.broadcast_as(given.shape())?, given)
    }
}

/// A corrupted batch and what the network should say about it.
#[derive(Clone, Debug)]
pub struct Noised {
    /// `(B, C, T, H, W)`: noise on the generated frames, the clean given ones.
    pub x: Tensor,
    /// `(B)` f32 in `[0, 1000]`.
    pub t: Tensor,
    /// `clean - noise`, `(B, C, T, H, W)`; no history.
    pub target: Tensor,
    /// Which frames are given.
    pub given: Given,
}

/// `x_t = (1 - t/1000) clean + (t/1000) noise` on the generated frames.
///
/// # Shapes
/// `clean` and `noise` `(B, C, T, H, W)`, `t` `(B)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn corrupt(clean: &Tensor, noise: &Tensor, t: &Tensor, given: &Given) -> Result<Noised> {
    let b = clean.dim(0)?;
    let s = (t.to_dtype(clean.dtype())? / 1000.0)?.reshape((b, 1, 1, 1, 1))?;
    let x = (clean.broadcast_mul(&s.affine(-1.0, 1.0)?)? + noise.broadcast_mul(&s)?)?;
    Ok(Noised {
        x: given.choose(&x, clean)?,
        t: t.clone(),
        target: (clean - noise)?.detach(),
        given: given.clone(),
    })
}

/// Mean squared error of the velocity over the generated frames, one number a clip: `(B)`, in f32 or wider.
///
/// `velocity` may have more channels than the target (Open-Sora predicts a second half that flow never uses): only the
/// first are read. What is differentiated is the mean over the batch.
///
/// # Errors
/// Tensor arithmetic.
pub fn velocity_loss(velocity: &Tensor, noised: &Noised) -> Result<Tensor> {
    let channels = noised.target.dim(1)?;
    let wide = if velocity.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let error = (velocity.narrow(1, 0, channels)?.to_dtype(wide)? - noised.target.to_dtype(wide)?)?;
    let per_frame = error.sqr()?.mean(D::Minus1)?.mean(D::Minus1)?.mean(1)?; // (B, T)
    let generated = noised.given.generated().to_dtype(wide)?;
    (per_frame * &generated)?.sum(1)? / generated.sum(1)?
}
