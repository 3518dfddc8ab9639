//! GELU, SiLU and the SiLU gate.

use candle_core::{CudaStorage, Result, Tensor};

use super::launch::{Argument, Launch, room};
use super::operand::{Operand, lend, pack, suffix, tensor, word};
use super::signature::ACTIVATION;

const THREADS: usize = 256;

/// A function of one number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Gelu,
    Silu,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }
}

/// One thread for each 16 bytes.
fn launch(kernel: &str, x: Operand<'_>, count: usize) -> Result<Launch> {
    let kernel = format!("{kernel}_{}", suffix(x.dtype())?);
    Ok(Launch::new(ACTIVATION, kernel, count.div_ceil(THREADS * pack(x.dtype())), THREADS))
}

/// `f(x)`.
///
/// # Errors
/// Numbers that are neither f32 nor bf16.
pub(crate) fn forward(function: Function, x: Operand<'_>) -> Result<CudaStorage> {
    let mut y = room(x.device(), x.count, x.dtype())?;
    let arguments = vec![Argument::Write(&mut y), Argument::Read(x), Argument::Long(x.count as u64)];
    launch(&format!("{}_forward", function.name()), x, x.count)?.run(x.device(), arguments)?;
    Ok(y)
}

/// `grad f'(x)`; `grad` need not be contiguous.
///
/// # Errors
/// As [`forward`]; a gradient of another type or size.
pub(crate) fn backward(function: Function, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let grad = grad.contiguous()?;
    let (lent_x, lent_grad) = (lend(x), lend(&grad));
    let (from, grads) = (lent_x.operand()?, lent_grad.operand()?);
    grads.expect(from.count, from.dtype())?;
    let mut dx = room(from.device(), from.count, from.dtype())?;
    let arguments = vec![
        Argument::Write(&mut dx),
        Argument::Read(from),
        Argument::Read(grads),
        Argument::Long(from.count as u64),
    ];
    launch(&format!("{}_backward", function.name()), from, from.count)?.run(from.device(), arguments)?;
    Ok(tensor(dx, x.shape()))
}

/// `p silu(s)` of rows `(p, s)` of `2 half`.
///
/// # Errors
/// As [`forward`].
pub(crate) fn gate_forward(both: Operand<'_>, half: usize) -> Result<CudaStorage> {
    let count = both.count / 2;
    let mut y = room(both.device(), count, both.dtype())?;
    let arguments = vec![
        Argument::Write(&mut y),
        Argument::Read(both),
        Argument::Long(count as u64),
        Argument::Word(word(half)?),
    ];
    launch("silu_gate_forward", both, count)?.run(both.device(), arguments)?;
    Ok(y)
}

/// The gradient of [`gate_forward`], both halves in one tensor.
///
/// # Errors
/// As [`backward`].
pub(crate) fn gate_backward(both: &Tensor, grad: &Tensor, half: usize) -> Result<Tensor> {
    let grad = grad.contiguous()?;
    let (lent_both, lent_grad) = (lend(both), lend(&grad));
    let (from, grads) = (lent_both.operand()?, lent_grad.operand()?);
    grads.expect(from.count / 2, from.dtype())?;
    let mut result = room(from.device(), from.count, from.dtype())?;
    let arguments = vec![
        Argument::Write(&mut result),
        Argument::Read(from),
        Argument::Read(grads),
        Argument::Long(grads.count as u64),
        Argument::Word(word(half)?),
    ];
    launch("silu_gate_backward", from, grads.count)?.run(from.device(), arguments)?;
    Ok(tensor(result, both.shape()))
}
