//! A linear layer: an activation before cuBLAS's product, the bias after it; gradients for those operands only that have a
//! history. bf16 rows meet f32 weights as bf16, and the weight's gradient is summed and kept in f32.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Layout, Result, Tensor};

use super::activation;
use super::launch::{Argument, Launch, room};
use super::operand::{Operand, lend, pack, suffix, tensor, word};
use super::product::product_of_turned;
use super::signature::LINEAR;
use super::sums::{Runs, Table};
use crate::kernel::activate::Activation;

const THREADS: usize = 256;
/// Threads of a block that sums columns, one for each 16 bytes of a row.
const COLUMNS: usize = 128;

/// A storage and the part of it that is meant.
type Given<'a> = (&'a CudaStorage, &'a Layout);

/// `f(x) Wᵀ + b` with `x` `(..., in)`, `W` `(out, in)`, `b` `(out)`, all contiguous.
///
/// # Errors
/// Numbers that are neither f32 nor bf16.
pub(crate) fn forward(
    before: Option<Activation>,
    x: Given<'_>,
    weight: Given<'_>,
    bias: Given<'_>,
) -> Result<CudaStorage> {
    let (out_dim, in_dim) = weight.1.shape().dims2()?;
    let (dtype, from) = (x.0.dtype(), Operand::new(x.0, x.1)?);
    let made = before.map(|activation| activation::forward(activation, from, in_dim)).transpose()?;
    let (input, start) = made.as_ref().map_or((x.0, from.start), |made| (made, 0));
    let rows = from.count / (in_dim * before.map_or(1, Activation::fan_in));
    let input_layout = Layout::contiguous_with_offset((rows, in_dim), start);
    let (mut weight_copy, mut bias_copy) = (None, None);
    let (weight, weight_layout) = in_type(weight, dtype, &mut weight_copy)?;
    let sizes = (1, rows, out_dim, in_dim);
    let mut y = input.matmul(weight, sizes, &input_layout, &weight_layout.transpose(0, 1)?)?;
    // The kernel takes f32 biases for bf16 rows, but not the other way round.
    let bias_type = if dtype == DType::F32 { dtype } else { bias.0.dtype() };
    let (bias, bias_layout) = in_type(bias, bias_type, &mut bias_copy)?;
    add_bias(&mut y, rows * out_dim, Operand::new(bias, &bias_layout)?)?;
    Ok(y)
}

/// The operand itself if it is of the type, else a copy in `place`.
fn in_type<'a>(
    given: Given<'a>,
    dtype: DType,
    place: &'a mut Option<CudaStorage>,
) -> Result<(&'a CudaStorage, Layout)> {
    let (storage, layout) = given;
    if storage.dtype() == dtype {
        return Ok((storage, layout.clone()));
    }
    Ok((place.insert(storage.to_dtype(layout, dtype)?), Layout::contiguous(layout.shape())))
}

/// Adds a bias to `count` numbers of a fresh product, in place.
fn add_bias(product: &mut CudaStorage, count: usize, bias: Operand<'_>) -> Result<()> {
    let (device, dtype) = (product.device().clone(), product.dtype());
    let kernel = format!("bias_{}_{}", suffix(dtype)?, suffix(bias.dtype())?);
    Launch::new(LINEAR, kernel, count.div_ceil(THREADS * pack(dtype)), THREADS).run(
        &device,
        vec![
            Argument::Write(product),
            Argument::Read(bias),
            Argument::Long(count as u64),
            Argument::Word(word(bias.count)?),
        ],
    )
}

/// Gradients of [`forward`]'s `x`, weight and bias: of those with a history. `grad` need not be contiguous.
///
/// # Errors
/// As [`forward`].
pub(crate) fn backward(
    before: Option<Activation>,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    grad: &Tensor,
) -> Result<[Option<Tensor>; 3]> {
    let (out_dim, in_dim) = weight.dims2()?;
    let grad = grad.contiguous()?.reshape(((), out_dim))?;
    let mut found = [None, None, None];
    if x.track_op() {
        let for_input = grad.matmul(&weight.detach().to_dtype(x.dtype())?)?;
        found[0] = Some(match before {
            Some(activation) => activation::backward(activation, x, &for_input, in_dim)?,
            None => for_input.reshape(x.shape())?,
        });
    }
    let (lent_x, lent_grad) = (lend(x), lend(&grad));
    let (from, grads) = (lent_x.operand()?, lent_grad.operand()?);
    if weight.track_op() {
        let made = before.map(|activation| activation::forward(activation, from, in_dim)).transpose()?;
        let rows = grads.count / out_dim;
        let input = made.as_ref().map_or(from, |made| Operand::whole(made, rows * in_dim));
        let product = product_of_turned(grads, input, [out_dim, in_dim, rows])?;
        found[1] = Some(tensor(product, weight.shape()).to_dtype(weight.dtype())?);
    }
    if bias.track_op() {
        found[2] = Some(tensor(column_sum(grads, out_dim, bias.dtype())?, bias.shape()));
    }
    Ok(found)
}

/// Sum over all rows of `width`, in a type.
///
/// # Errors
/// Numbers that are neither f32 nor bf16.
pub(crate) fn column_sum(x: Operand<'_>, width: usize, dtype: DType) -> Result<CudaStorage> {
    let (device, rows, whole) = (x.device(), x.count / width, Table::whole(x.count / width));
    let packed = width.is_multiple_of(pack(x.dtype())) && x.is_aligned();
    let runs = Runs::new(rows, [whole, whole]);
    let mut partial = room(device, runs.count() * width, DType::F32)?;
    let columns = if packed { width / pack(x.dtype()) } else { width };
    let launch = Launch::new(LINEAR, format!("columns_{}", suffix(x.dtype())?), runs.count(), COLUMNS);
    Launch { blocks: [runs.count(), columns.div_ceil(COLUMNS)], ..launch }.run(
        device,
        vec![
            Argument::Write(&mut partial),
            Argument::Read(x),
            runs.argument()?,
            Argument::Word(word(width)?),
            Argument::Word(u32::from(packed)),
        ],
    )?;
    runs.gather(&partial, width, whole, dtype)
}
