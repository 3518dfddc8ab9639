//! GELU (tanh formula) and SiLU.

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

/// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³)))`, computed as `x sigmoid(2 u)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let twice = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
    // 2u = x (a + b x²)
    let argument = ((x.sqr()? * (twice * 0.044715))? + twice)?.mul(x)?;
    x * sigmoid(&argument)?
}

/// `x sigmoid(x)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x * sigmoid(x)?
}
