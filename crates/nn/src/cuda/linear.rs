//! A linear layer's bias after cuBLAS's product, with or without GELU, and the gradient of both.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Result, Shape, Tensor};

use super::launch::{Argument, Launch, room};
use super::operand::{Operand, lend, pack, suffix, tensor, word};
use super::signature::LINEAR;
use super::sums::{Runs, Table};

const THREADS: usize = 256;
/// Threads of a backward block, one for each 16 bytes of a row.
const COLUMNS: usize = 128;

/// Adds a bias to `count` numbers of a fresh product, in place.
///
/// # Errors
/// Types other than f32 with an f32 bias or bf16 with a bias of either.
pub(crate) fn add_bias(product: &mut CudaStorage, count: usize, bias: Operand<'_>) -> Result<()> {
    forward(product, count, bias, false).map(|_| ())
}

/// As [`add_bias`], and returns the GELU of the sums, which stay in `product` for the backward pass.
///
/// # Errors
/// As [`add_bias`].
pub(crate) fn add_bias_gelu(
    product: &mut CudaStorage,
    count: usize,
    bias: Operand<'_>,
) -> Result<CudaStorage> {
    match forward(product, count, bias, true)? {
        Some(y) => Ok(y),
        None => candle_core::bail!("the GELU after a bias gave no result"),
    }
}

fn forward(
    product: &mut CudaStorage,
    count: usize,
    bias: Operand<'_>,
    gelu: bool,
) -> Result<Option<CudaStorage>> {
    let (device, dtype) = (product.device().clone(), product.dtype());
    let mut y = gelu.then(|| room(&device, count, dtype)).transpose()?;
    let kernel = format!("bias_forward_{}_{}", suffix(dtype)?, suffix(bias.dtype())?);
    Launch::new(LINEAR, kernel, count.div_ceil(THREADS * pack(dtype)), THREADS).run(
        &device,
        vec![
            Argument::Write(product),
            Argument::write(y.as_mut()),
            Argument::Read(bias),
            Argument::Long(count as u64),
            Argument::Word(word(bias.count)?),
        ],
    )?;
    Ok(y)
}

/// The bias's gradient: the sum of the rows of `grad`, in the type and shape of `bias`.
///
/// # Errors
/// Numbers that are neither f32 nor bf16.
pub(crate) fn column_sum(grad: &Tensor, bias: &Tensor) -> Result<Tensor> {
    backward(None, grad, bias.shape(), bias.dtype()).map(|(_, sum)| sum)
}

/// The gradients of [`add_bias_gelu`]: of the sums `before` GELU, and of the bias.
///
/// # Errors
/// As [`column_sum`]; a gradient of another type or size.
pub(crate) fn gelu_backward(before: &Tensor, grad: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
    match backward(Some(before), grad, bias.shape(), bias.dtype())? {
        (Some(dx), sum) => Ok((dx, sum)),
        (None, _) => candle_core::bail!("the gradient of a GELU gave no result"),
    }
}

fn backward(
    before: Option<&Tensor>,
    grad: &Tensor,
    bias: &Shape,
    dtype: DType,
) -> Result<(Option<Tensor>, Tensor)> {
    let grad = grad.contiguous()?;
    let (lent_grad, lent_before) = (lend(&grad), before.map(lend));
    let grads = lent_grad.operand()?;
    let from = lent_before.as_ref().map(|lent| lent.operand()).transpose()?;
    let (device, width) = (grads.device(), bias.elem_count());
    let rows = grads.count / width;
    let mut packed = width.is_multiple_of(pack(grads.dtype())) && grads.is_aligned();
    if let Some(from) = from {
        from.expect(grads.count, grads.dtype())?;
        packed &= from.is_aligned();
    }
    let whole = Table::whole(rows);
    let runs = Runs::new(rows, [whole, whole]);
    let mut dx = from.map(|_| room(device, grads.count, grads.dtype())).transpose()?;
    let mut partial = room(device, runs.count() * width, DType::F32)?;
    let columns = if packed { width / pack(grads.dtype()) } else { width };
    let launch =
        Launch::new(LINEAR, format!("bias_backward_{}", suffix(grads.dtype())?), runs.count(), COLUMNS);
    Launch { blocks: [runs.count(), columns.div_ceil(COLUMNS)], ..launch }.run(
        device,
        vec![
            Argument::write(dx.as_mut()),
            Argument::Write(&mut partial),
            Argument::read(from),
            Argument::Read(grads),
            runs.argument()?,
            Argument::Word(word(width)?),
            Argument::Word(u32::from(packed)),
        ],
    )?;
    let sum = tensor(runs.gather(&partial, width, whole, dtype)?, bias);
    Ok((dx.map(|dx| tensor(dx, grad.shape())), sum))
}
