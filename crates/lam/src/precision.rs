//! How precisely losses and distances are computed.

use candle_core::{DType, Result, Tensor};

/// f64 stays, everything else becomes f32: sums of half-precision numbers lose what they add up.
pub(crate) fn at_least_f32(x: &Tensor) -> Result<Tensor> {
    if x.dtype() == DType::F64 { Ok(x.clone()) } else { x.to_dtype(DType::F32) }
}
