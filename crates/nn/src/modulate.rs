//! Adaptive layer norm's two halves: scale and shift before a branch, gate after it.

use candle_core::{Result, Tensor};

use crate::norm::layer_norm;

/// `layer_norm(x) (1 + scale) + shift`, without norm parameters.
///
/// `scale` and `shift` broadcast against `x`, e.g. `(B, T, 1, C)` against `(B, T, S, C)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn modulate(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    layer_norm(x, eps)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)
}

/// `x + gate * branch`; `gate` broadcasts against `branch`.
///
/// # Errors
/// Tensor arithmetic.
pub fn gate_add(x: &Tensor, gate: &Tensor, branch: &Tensor) -> Result<Tensor> {
    x + branch.broadcast_mul(gate)?
}
