//! Both GELUs, SiLU and the SiLU gate.

use candle_core::{CudaStorage, Result, Tensor};

use super::launch::{Argument, Launch, room};
use super::operand::{Operand, lend, pack, suffix, tensor, word};
use super::signature::ACTIVATION;
use crate::kernel::activate::Activation;

const THREADS: usize = 256;

/// One thread for each 16 bytes of `count` numbers.
fn launch(activation: Activation, direction: &str, x: Operand<'_>, count: usize) -> Result<Launch> {
    let name = match activation {
        Activation::Gelu => "gelu",
        Activation::GeluErf => "gelu_erf",
        Activation::Silu => "silu",
        Activation::SiluGate => "silu_gate",
    };
    let kernel = format!("{name}_{direction}_{}", suffix(x.dtype())?);
    Ok(Launch::new(ACTIVATION, kernel, count.div_ceil(THREADS * pack(x.dtype())), THREADS))
}

/// How much there is to do: numbers of the result, and for the gate those of one of its rows.
fn sizes(activation: Activation, count: usize, width: usize) -> Result<Vec<Argument<'static>>> {
    let count = Argument::Long(count as u64);
    Ok(if activation == Activation::SiluGate {
        vec![count, Argument::Word(word(width)?)]
    } else {
        vec![count]
    })
}

/// `f(x)`, rows of `width`.
///
/// # Errors
/// Numbers that are neither f32 nor bf16.
pub(crate) fn forward(activation: Activation, x: Operand<'_>, width: usize) -> Result<CudaStorage> {
    let count = x.count / activation.fan_in();
    let mut y = room(x.device(), count, x.dtype())?;
    let mut arguments = vec![Argument::Write(&mut y), Argument::Read(x)];
    arguments.extend(sizes(activation, count, width)?);
    launch(activation, "forward", x, count)?.run(x.device(), arguments)?;
    Ok(y)
}

/// The gradient of `x` from that of `f(x)`, rows of `width`; `grad` need not be contiguous.
///
/// # Errors
/// As [`forward`]; a gradient of another type or size.
pub(crate) fn backward(activation: Activation, x: &Tensor, grad: &Tensor, width: usize) -> Result<Tensor> {
    let grad = grad.contiguous()?;
    let (lent_x, lent_grad) = (lend(x), lend(&grad));
    let (from, grads) = (lent_x.operand()?, lent_grad.operand()?);
    let count = from.count / activation.fan_in();
    grads.expect(count, from.dtype())?;
    let mut dx = room(from.device(), from.count, from.dtype())?;
    let mut arguments = vec![Argument::Write(&mut dx), Argument::Read(from), Argument::Read(grads)];
    arguments.extend(sizes(activation, count, width)?);
    launch(activation, "backward", from, count)?.run(from.device(), arguments)?;
    Ok(tensor(dx, x.shape()))
}
