//! The nearest row of a table.

use candle_core::{CpuStorage, D, DType, Device, Result, Storage, Tensor};
use half::bf16;

use crate::kernel::nearest::{Codes, find};
#[cfg(feature = "cuda")]
use crate::kernel::serves;

/// Index of the nearest row of `codebook` for each row of `x`: the least `sum((x - c)²)`. The lowest index wins ties; a
/// row whose distances are all NaN gets the last index.
///
/// Distances are computed in f32, or in f64 if `x` is, by this formula and not by its expanded form, which loses its
/// digits where codes are nearly equal. The result is an index: no gradient passes. In f32 and bf16 only the best
/// distance so far is kept of the `N K`.
///
/// # Shapes
/// - `x`: `(N, D)`, any floating dtype
/// - `codebook`: `(K, D)`, `K >= 1`, any floating dtype; it is converted to the dtype of the distances
/// - returns `(N)` u32
///
/// # Errors
/// Shapes that do not fit, an empty codebook.
pub fn nearest_code(x: &Tensor, codebook: &Tensor) -> Result<Tensor> {
    let ((rows, size), (codes, code_size)) = (x.dims2()?, codebook.dims2()?);
    if size != code_size || codes == 0 {
        candle_core::bail!(
            "rows of shape {:?} have no nearest row in a codebook of shape {:?}",
            x.dims(),
            codebook.dims()
        );
    }
    let wide = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let (x, codebook) = (x.detach(), codebook.detach().to_dtype(wide)?);
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() && serves(&[&x]) {
        return crate::cuda::nearest(&x, &codebook);
    }
    if !x.device().is_cpu() || wide == DType::F64 || size == 0 {
        return composed(&x.to_dtype(wide)?, &codebook);
    }
    let values = codebook.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let codes = Codes::new(&values, size);
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let from = layout.start_offset();
    let found = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => find(&values[from..][..rows * size], &codes, |x: f32| x),
        Storage::Cpu(CpuStorage::BF16(values)) => find(&values[from..][..rows * size], &codes, bf16::to_f32),
        _ => {
            drop(storage);
            return composed(&x.to_dtype(wide)?, &codebook);
        }
    };
    Tensor::from_vec(found, rows, &Device::Cpu)
}

fn composed(x: &Tensor, codebook: &Tensor) -> Result<Tensor> {
    let codes = codebook.dim(0)?;
    let distances = x.unsqueeze(1)?.broadcast_sub(codebook)?.sqr()?.sum(D::Minus1)?; // (N, K)
    // A parallel argmin may return any of several equal distances, so the indices are compared, too.
    let hit = distances.broadcast_eq(&distances.min_keepdim(D::Minus1)?)?;
    let index = Tensor::arange(0u32, codes as u32, x.device())?.broadcast_as(distances.shape())?;
    let last = Tensor::full(codes as u32 - 1, distances.shape(), x.device())?;
    hit.where_cond(&index, &last)?.min(D::Minus1)
}
