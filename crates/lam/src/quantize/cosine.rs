//! Vectors of length 1.

use candle_core::{D, Result, Tensor};

/// Shorter vectors are divided by this instead of by their length (lucidrains).
const SHORTEST: f64 = 1e-6;

/// `x / max(|x|, 1e-6)` along the last dimension, with a gradient; a vector of zeros stays one and gets a finite one.
///
/// Between unit vectors `|x - c|² = 2 - 2 x·c`, so the nearest code is the one with the largest cosine (jafar, jasmine,
/// lucidrains).
pub(super) fn unit(x: &Tensor) -> Result<Tensor> {
    // The bound stands inside the root: a root's own gradient at zero is infinite.
    let length = x.sqr()?.sum_keepdim(D::Minus1)?.maximum(SHORTEST * SHORTEST)?.sqrt()?;
    x.broadcast_div(&length)
}
