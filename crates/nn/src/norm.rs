//! LayerNorm with or without parameters, RMS norms; all differentiable.

use candle_core::{D, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::kernel::in_wide;
use crate::kernel::normalise::{Floor, Normalise};

/// Layer norm without parameters over the last dimension: `(x - mean) / sqrt(var + eps)`, biased variance.
///
/// # Errors
/// Tensor arithmetic.
pub fn layer_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    if let Some(y) = Normalise::layer(eps).apply(x, None, None)? {
        return Ok(y);
    }
    in_wide(x, |x| {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
        centred.broadcast_div(&deviation)
    })
}

/// `weight * x / sqrt(mean(x²) + eps)` over the last dimension (Open-Sora's and Llama's form).
///
/// # Errors
/// Tensor arithmetic.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if let Some(y) = Normalise::rms(Floor::Add(eps as f32)).apply(x, Some(weight), None)? {
        return Ok(y);
    }
    in_wide(x, |x| {
        let size = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
        x.broadcast_div(&size)?.broadcast_mul(&weight.to_dtype(x.dtype())?)
    })
}

/// Layer norm with scale and shift; parameters `weight` and `bias`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) eps: f64,
}

impl LayerNorm {
    /// Over a last dimension of `dim`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(dim: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints(dim, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(dim, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, eps })
    }

    /// `(..., dim)` to the same shape.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(y) = Normalise::layer(self.eps).apply(x, Some(&self.weight), Some(&self.bias))? {
            return Ok(y);
        }
        in_wide(x, |x| {
            let (weight, bias) = (self.weight.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
            layer_norm(x, self.eps)?.broadcast_mul(&weight)?.broadcast_add(&bias)
        })
    }
}

/// Where the mean square is below this, [`RmsNorm`] is linear.
const LEAST_SQUARE: f64 = 1e-16;

/// `g x / max(|x| / sqrt(dim), 1e-8)`: the latent action model's RMS norm; parameter `g`.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    gain: Tensor,
}

impl RmsNorm {
    /// Over a last dimension of `dim`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { gain: vb.get_with_hints(dim, "g", Init::Const(1.0))? })
    }

    /// `(..., dim)` to the same shape.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let norm = Normalise::rms(Floor::Least(LEAST_SQUARE as f32));
        if let Some(y) = norm.apply(x, Some(&self.gain), None)? {
            return Ok(y);
        }
        // The clamp is below the root: max(sqrt(m), 1e-8) = sqrt(max(m, 1e-16)), and the root has a slope everywhere.
        in_wide(x, |x| {
            let size = x.sqr()?.mean_keepdim(D::Minus1)?.maximum(LEAST_SQUARE)?.sqrt()?;
            x.broadcast_div(&size)?.broadcast_mul(&self.gain.to_dtype(x.dtype())?)
        })
    }
}
