//! The product that candle has no form of: narrow operands, a wide result.

#![allow(unsafe_code, reason = "cuBLAS takes addresses")]

use candle_core::cuda::WrapErr;
use candle_core::cuda::cudarc::cublas::{result, sys};
use candle_core::cuda_backend::gemm_reduced_precision_f32;
use candle_core::{CudaStorage, DType, Result};

use super::launch::{address, address_mut, room};
use super::operand::Operand;

/// `aᵀ b` in f32, with `a` `(rows, m)` and `b` `(rows, n)` of one type: `(m, n)`. Of weights: a gradient that was rounded
/// to bf16 would lose what many small steps add up to.
///
/// # Errors
/// Operands of other sizes or types; a product that cuBLAS refuses.
pub(super) fn product_of_turned(
    a: Operand<'_>,
    b: Operand<'_>,
    [m, n, rows]: [usize; 3],
) -> Result<CudaStorage> {
    a.expect(rows * m, a.dtype())?;
    b.expect(rows * n, a.dtype())?;
    let (kind, compute) = match a.dtype() {
        DType::BF16 => (sys::cudaDataType_t::CUDA_R_16BF, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F),
        DType::F32 if gemm_reduced_precision_f32() => {
            (sys::cudaDataType_t::CUDA_R_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32)
        }
        DType::F32 => (sys::cudaDataType_t::CUDA_R_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F),
        other => candle_core::bail!("no product of numbers of type {other:?} with a result in f32"),
    };
    let length = |value: usize| {
        i32::try_from(value).map_err(|_| candle_core::Error::Msg(format!("{value} is too much for cuBLAS")))
    };
    let [m, n, rows] = [length(m)?, length(n)?, length(rows)?];
    let device = a.device();
    let (handle, stream) = (device.cublas_handle(), device.cuda_stream());
    let mut c = room(device, m as usize * n as usize, DType::F32)?;
    {
        let ((a, _a_guard), (b, _b_guard)) = (address(a, &stream)?, address(b, &stream)?);
        let (c, _c_guard) = address_mut(&mut c, 0, &stream)?;
        let (one, zero) = (1f32, 0f32);
        // SAFETY: the operands' lengths and types were compared with the sizes above, the result has `m n` numbers; the
        // factors are f32, as the way of computing wants them, and are read before the call returns. cuBLAS sees rows as
        // columns, so the result's factors change places: `b` as it is stored, `a` turned.
        unsafe {
            result::gemm_ex(
                *handle.handle(),
                sys::cublasOperation_t::CUBLAS_OP_N,
                sys::cublasOperation_t::CUBLAS_OP_T,
                n,
                m,
                rows,
                (&raw const one).cast(),
                b as *const _,
                kind,
                n,
                a as *const _,
                kind,
                m,
                (&raw const zero).cast(),
                c as *mut _,
                sys::cudaDataType_t::CUDA_R_32F,
                n,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
            )
        }
        .w()?;
    }
    Ok(c)
}
