//! The step of AdamW, in place: global norm, clipping factor, update and running average.
//!
//! On the CPU each gradient is read once for the norm; one more pass reads gradient, variable and moments and writes
//! variable and moments. Nothing of a gradient's size is allocated, and results have the same bits on any number of
//! threads. A CUDA device takes all variables at once: two launches for the norm, one for the steps. What neither serves
//! takes candle's own operations.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Storage, Tensor, Var};
use half::bf16;
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::kernel::adamw::{BLOCK, Constants, Numbers, Widen, squares};
#[cfg(feature = "cuda")]
use crate::kernel::serves;
use crate::kernel::write::{Real, values_mut, write};
use crate::kernel::{WORTH_THREADS, for_each};

/// The numbers of one variable's step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub rate: f64,
    /// Decoupled weight decay; the variable is multiplied by `1 - rate * decay`.
    pub decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Which update of this variable it is, counted from 1: the moments are corrected for their start at zero.
    pub count: u64,
    /// Factor of the gradient, e.g. from clipping.
    pub scale: f64,
}

/// A running average of a variable: `values <- decay * values + (1 - decay) * variable`, after the update.
#[derive(Clone, Copy, Debug)]
pub struct Average<'a> {
    /// The average; it starts as a copy of the variable.
    pub values: &'a Var,
    /// Between 0 (the variable itself) and 1 (never changes).
    pub decay: f64,
}

/// One variable and what its update reads and writes; all of one shape, and none sharing memory with another.
#[derive(Clone, Copy, Debug)]
pub struct AdamUpdate<'a> {
    /// The variable, f32 or f64.
    pub var: &'a Var,
    /// Its gradient: of the variable's type, or bf16 for an f32 variable.
    pub grad: &'a Tensor,
    /// First moment, of the variable's type; zeros at the start.
    pub first: &'a Var,
    /// Second moment, of the variable's type; zeros at the start.
    pub second: &'a Var,
    /// A running average of the variable.
    pub average: Option<Average<'a>>,
    /// The step's numbers.
    pub step: AdamStep,
}

/// The root of the sum of the squares of all numbers, added up in f64 and in a fixed order.
///
/// # Errors
/// Tensor arithmetic. A sum that is not finite is no error.
pub fn global_norm<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<f64> {
    let mut square = 0f64;
    let contiguous: Vec<Tensor> =
        tensors.into_iter().map(|tensor| tensor.detach().contiguous()).collect::<Result<_>>()?;
    let mut lent = Vec::new();
    let tensors: Vec<&Tensor> = contiguous.iter().collect();
    #[cfg(feature = "cuda")]
    let tensors = on_devices(tensors, &mut square)?;
    for tensor in &tensors {
        if tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::BF16) {
            lent.push(tensor.storage_and_layout());
        } else {
            let wide = if tensor.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let sum = tensor.to_dtype(wide)?.sqr()?.sum_all()?;
            square += sum.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        }
    }
    let blocks: Vec<Block<'_>> =
        lent.iter().flat_map(|(storage, layout)| blocks(storage.deref(), layout)).collect();
    let mut sums = vec![0f64; blocks.len()];
    for_each(blocks.iter().map(Block::len).sum(), sums.iter_mut().zip(&blocks), |(sum, block)| {
        *sum = match block {
            Block::F32(values) => squares(values),
            Block::F64(values) => squares(values),
            Block::Bf16(values) => squares(values),
        };
    });
    Ok((square + sums.iter().sum::<f64>()).sqrt())
}

/// Adds up the squares of what lies on CUDA devices, and returns the other tensors.
#[cfg(feature = "cuda")]
fn on_devices<'a>(tensors: Vec<&'a Tensor>, square: &mut f64) -> Result<Vec<&'a Tensor>> {
    let (mut own, rest): (Vec<&Tensor>, Vec<_>) =
        tensors.into_iter().partition(|tensor| tensor.device().is_cuda() && serves(&[tensor]));
    while let Some(device) = own.first().map(|tensor| tensor.device()) {
        let (here, others) = own.into_iter().partition(|tensor| tensor.device().same_device(device));
        let here: Vec<&Tensor> = here;
        let here = here.into_iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        *square += cuda::adamw::squares(&here)?;
        own = others;
    }
    Ok(rest)
}

enum Block<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    Bf16(&'a [bf16]),
}

impl Block<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }
}

fn blocks<'a>(storage: &'a Storage, layout: &Layout) -> Vec<Block<'a>> {
    let Some((start, end)) = layout.contiguous_offsets() else { return Vec::new() };
    match storage {
        Storage::Cpu(CpuStorage::F32(all)) => all[start..end].chunks(BLOCK).map(Block::F32).collect(),
        Storage::Cpu(CpuStorage::F64(all)) => all[start..end].chunks(BLOCK).map(Block::F64).collect(),
        Storage::Cpu(CpuStorage::BF16(all)) => all[start..end].chunks(BLOCK).map(Block::Bf16).collect(),
        _ => Vec::new(),
    }
}

/// One step of AdamW for each variable, in place. Drop the graph first: it would see the new values.
///
/// ```text
/// g = scale grad
/// first  <- beta1 first  + (1 - beta1) g
/// second <- beta2 second + (1 - beta2) g²
/// var    <- (1 - rate decay) var - rate first / (1 - beta1^count) / (sqrt(second / (1 - beta2^count)) + eps)
/// ```
///
/// # Errors
/// Tensors of different shapes, dtypes that [`AdamUpdate`] does not name, one tensor in two places of an update. Updates
/// before the one at fault may have been applied.
pub fn adamw(updates: &[AdamUpdate<'_>]) -> Result<()> {
    updates.iter().try_for_each(check)?;
    let (cpu, other): (Vec<&AdamUpdate<'_>>, Vec<_>) =
        updates.iter().partition(|update| update.var.device().is_cpu());
    // Small variables are dealt out whole, large ones are cut: no thread waits for a lock or for a straggler.
    let (small, large): (Vec<&AdamUpdate<'_>>, Vec<_>) =
        cpu.into_iter().partition(|update| update.var.elem_count() < WORTH_THREADS);
    small.par_iter().try_for_each(|update| in_place(update))?;
    large.into_iter().try_for_each(in_place)?;
    #[cfg(feature = "cuda")]
    let other = step_on_devices(other)?;
    other.into_iter().try_for_each(composed)
}

/// Steps what lies on CUDA devices, and returns the other updates.
#[cfg(feature = "cuda")]
fn step_on_devices<'a>(updates: Vec<&'a AdamUpdate<'a>>) -> Result<Vec<&'a AdamUpdate<'a>>> {
    let (mut own, rest): (Vec<&AdamUpdate<'_>>, Vec<_>) =
        updates.into_iter().partition(|update| cuda::adamw::serves(update));
    while let Some(device) = own.first().map(|update| update.var.device()) {
        let (here, others) = own.into_iter().partition(|update| update.var.device().same_device(device));
        let here: Vec<&AdamUpdate<'_>> = here;
        let ready = |update: &'a AdamUpdate<'a>| Ok((update, update.grad.contiguous()?, constants(update)));
        cuda::adamw::step(&here.into_iter().map(ready).collect::<Result<Vec<_>>>()?)?;
        own = others;
    }
    Ok(rest)
}

fn check(update: &AdamUpdate<'_>) -> Result<()> {
    let AdamUpdate { var, grad, first, second, average, .. } = update;
    let others = [Some(*grad), Some(first.as_tensor()), Some(second.as_tensor())];
    let all: Vec<&Tensor> = std::iter::once(var.as_tensor())
        .chain(others.into_iter().flatten())
        .chain(average.map(|average| average.values.as_tensor()))
        .collect();
    if update.step.count == 0 {
        candle_core::bail!("the updates of a variable are counted from 1, found 0");
    }
    for (index, tensor) in all.iter().enumerate() {
        if tensor.shape() != var.shape() {
            candle_core::bail!(
                "a variable of shape {:?} cannot be updated with a tensor of shape {:?}",
                var.dims(),
                tensor.dims()
            );
        }
        if all[..index].iter().any(|other| other.id() == tensor.id()) {
            candle_core::bail!("the same tensor stands in two places of an update");
        }
    }
    Ok(())
}

fn in_place(update: &AdamUpdate<'_>) -> Result<()> {
    update.var.inplace_op2(&update.grad.contiguous()?, &InPlace(update))
}

struct InPlace<'a>(&'a AdamUpdate<'a>);

impl InPlace<'_> {
    fn update<T: Real, G: Widen<T>>(&self, var: &mut [T], grad: &[G]) -> Result<()> {
        let AdamUpdate { first, second, average, .. } = self.0;
        let constants = constants::<T>(self.0);
        write(first, |first| {
            write(second, |second| match average {
                Some(average) => write(average.values, |average| {
                    Numbers { grad, var, first, second, average }.update(&constants);
                    Ok(())
                }),
                None => {
                    Numbers { grad, var, first, second, average: &mut [] }.update(&constants);
                    Ok(())
                }
            })
        })
    }
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, var: &mut CpuStorage, at: &Layout, grad: &CpuStorage, grad_at: &Layout) -> Result<()> {
        let Some((start, end)) = grad_at.contiguous_offsets() else {
            candle_core::bail!("the gradient is not contiguous");
        };
        match (&*var, grad) {
            (CpuStorage::F32(_), CpuStorage::F32(grad)) => {
                self.update::<f32, _>(values_mut(var, at)?, &grad[start..end])
            }
            (CpuStorage::F32(_), CpuStorage::BF16(grad)) => {
                self.update::<f32, _>(values_mut(var, at)?, &grad[start..end])
            }
            (CpuStorage::F64(_), CpuStorage::F64(grad)) => {
                self.update::<f64, _>(values_mut(var, at)?, &grad[start..end])
            }
            _ => candle_core::bail!(
                "a variable has to be f32 or f64, its gradient of the same type or bf16 for f32; found {:?} and {:?}",
                self.0.var.dtype(),
                self.0.grad.dtype()
            ),
        }
    }
}

/// One over what a moment has gathered of its weight after `count` steps.
fn correction(beta: f64, count: u64) -> f64 {
    1.0 / (1.0 - beta.powi(count.min(i32::MAX as u64) as i32))
}

fn constants<T: Real>(update: &AdamUpdate<'_>) -> Constants<T> {
    let step = update.step;
    let average = update.average.map_or(0.0, |average| average.decay);
    Constants {
        scale: T::from_f64(step.scale),
        beta1: T::from_f64(step.beta1),
        rest1: T::from_f64(1.0 - step.beta1),
        beta2: T::from_f64(step.beta2),
        rest2: T::from_f64(1.0 - step.beta2),
        keep: T::from_f64(1.0 - step.rate * step.decay),
        step: T::from_f64(step.rate * correction(step.beta1, step.count)),
        second: T::from_f64(correction(step.beta2, step.count)),
        eps: T::from_f64(step.eps),
        average_keep: T::from_f64(average),
        average_rest: T::from_f64(1.0 - average),
    }
}

fn composed(update: &AdamUpdate<'_>) -> Result<()> {
    let AdamUpdate { var, grad, first, second, average, .. } = update;
    let c = constants::<f64>(update);
    let grad = (grad.detach().to_dtype(var.dtype())? * c.scale)?;
    let m = ((first.as_detached_tensor() * c.beta1)? + (&grad * c.rest1)?)?;
    let v = ((second.as_detached_tensor() * c.beta2)? + (grad.sqr()? * c.rest2)?)?;
    let w = ((var.as_detached_tensor() * c.keep)? - ((&m * c.step)? / ((&v * c.second)?.sqrt()? + c.eps)?)?)?;
    first.set(&m)?;
    second.set(&v)?;
    if let Some(average) = average {
        let kept = (average.values.as_detached_tensor() * c.average_keep)?;
        average.values.set(&(kept + (&w * c.average_rest)?)?)?;
    }
    var.set(&w)
}
