//! The rotation trick: a token's gradient turns with the token.

use candle_core::{D, Result, Tensor};

/// Shorter vectors count as this long.
const SHORTEST: f64 = 1e-6;

/// `(|e|/|x|) R x`, where the rotation `R` maps `x/|x|` to `e/|e|`, and `R` and the ratio are constants: in value `e`, in
/// gradient (arXiv 2410.06424, as in lucidrains' vector-quantize-pytorch) with `u = x/|x|`, `v = e/|e|`,
/// `w = (u + v)/|u + v|`
///
/// ```text
/// R x = x - 2 w (w·x) + 2 v (u·x)        dL/dx = (|e|/|x|) (g - 2 w (w·g) + 2 u (v·g))
/// ```
///
/// All lengths are at least 1e-6, so zeros and opposite vectors stay finite.
///
/// # Shapes
/// Tokens `x` and their codes `e`, both `(..., d)`; `e` gets no gradient.
pub(super) fn rotated(x: &Tensor, e: &Tensor) -> Result<Tensor> {
    let (token, code) = (x.detach(), e.detach());
    let (token_length, code_length) = (length(&token)?, length(&code)?);
    let (u, v) = (token.broadcast_div(&token_length)?, code.broadcast_div(&code_length)?);
    let between = (&u + &v)?;
    let w = between.broadcast_div(&length(&between)?)?;
    let along = |direction: &Tensor| (x * direction)?.sum_keepdim(D::Minus1);
    let mirrored = w.broadcast_mul(&(along(&w)? * 2.0)?)?;
    let turned = v.broadcast_mul(&(along(&u)? * 2.0)?)?;
    ((x - mirrored)? + turned)?.broadcast_mul(&(code_length / token_length)?)
}

fn length(x: &Tensor) -> Result<Tensor> {
    x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(SHORTEST)
}
