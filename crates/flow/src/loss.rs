//! The training side: corruption and velocity loss.

use candle_core::{D, DType, Result, Tensor};

use crate::given::Given;

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

/// `x_t = (1 - t/1000) clean + (t/1000) noise`, every frame.
///
/// # Shapes
/// `clean` and `noise` `(B, C, T, H, W)`, `t` `(B)` in `[0, 1000]`; returns `(B, C, T, H, W)` in the dtype of `clean`.
///
/// # Errors
/// Tensor arithmetic.
pub fn add_noise(clean: &Tensor, noise: &Tensor, t: &Tensor) -> Result<Tensor> {
    let s = (t.to_dtype(clean.dtype())? / 1000.0)?.reshape((clean.dim(0)?, 1, 1, 1, 1))?;
    clean.broadcast_mul(&s.affine(-1.0, 1.0)?)? + noise.broadcast_mul(&s)?
}

/// [`add_noise`] on the generated frames, the given ones clean; and the velocity to predict.
///
/// # Shapes
/// `clean` and `noise` `(B, C, T, H, W)`, `t` `(B)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn corrupt(clean: &Tensor, noise: &Tensor, t: &Tensor, given: &Given) -> Result<Noised> {
    Ok(Noised {
        x: given.choose(&add_noise(clean, noise, t)?, clean)?,
        t: t.clone(),
        target: (clean - noise)?.detach(),
        given: given.clone(),
    })
}

/// Mean squared error of the velocity over the generated frames, one number a clip: `(B)`, in f32 or wider. A clip of
/// which every frame is given has none to take the mean of: NaN.
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
