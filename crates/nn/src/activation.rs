//! GELU (tanh formula), SiLU and the SiLU gate.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};

use crate::kernel::exp::sigmoid;
use crate::kernel::{for_each, lend, serves, task_rows, tensor, values, vectorised};

/// 2 sqrt(2 / pi), and that times 0.044715.
const GELU_LINEAR: f64 = 1.595_769_121_605_730_7;
const GELU_CUBIC: f64 = GELU_LINEAR * 0.044715;

/// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³)))`, computed as `x sigmoid(2 u)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if serves(&[x]) {
        return x.contiguous()?.apply_op1(Pointwise::<Gelu>(PhantomData));
    }
    // 2u = x (a + b x²)
    let argument = ((x.sqr()? * GELU_CUBIC)? + GELU_LINEAR)?.mul(x)?;
    x * candle_nn::ops::sigmoid(&argument)?
}

/// `x sigmoid(x)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    if serves(&[x]) {
        return x.contiguous()?.apply_op1(Pointwise::<Silu>(PhantomData));
    }
    x * candle_nn::ops::sigmoid(x)?
}

/// `p silu(s)` with `(p, s)` the two halves of the last dimension.
pub(crate) fn gated_silu(both: &Tensor) -> Result<Tensor> {
    let half = both.dim(D::Minus1)? / 2;
    if serves(&[both]) && both.dim(D::Minus1)? == 2 * half {
        return both.contiguous()?.apply_op1(SiluGate { half });
    }
    let part = |start: usize| both.narrow(D::Minus1, start, half);
    part(0)?.mul(&silu(&part(half)?)?)
}

/// A function of one number.
trait Function: Send + Sync + 'static {
    const NAME: &'static str;
    fn value(x: f32) -> f32;
    fn slope(x: f32) -> f32;
}

struct Gelu;

impl Function for Gelu {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x * (GELU_LINEAR as f32 + GELU_CUBIC as f32 * (x * x)))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let cubic = GELU_CUBIC as f32 * (x * x);
        let s = sigmoid(x * (GELU_LINEAR as f32 + cubic));
        s + s * (1.0 - s) * (x * (GELU_LINEAR as f32 + 3.0 * cubic))
    }
}

struct Silu;

impl Function for Silu {
    const NAME: &'static str = "silu";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let s = sigmoid(x);
        s + s * (1.0 - s) * x
    }
}

/// One pass forward, one backward; the derivative is recomputed from the input.
struct Pointwise<F>(PhantomData<F>);

impl<F: Function> CustomOp1 for Pointwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let mut y = vec![0f32; x.len()];
        let task = task_rows(1);
        for_each(x.len(), y.chunks_mut(task).zip(x.chunks(task)), |(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = F::value(*x);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (lent_x, lent_grad) = (lend(x), lend(&grad));
        let (x_values, grad) = (lent_x.values()?, lent_grad.values()?);
        let mut dx = vec![0f32; x_values.len()];
        let task = task_rows(1);
        let tasks = dx.chunks_mut(task).zip(x_values.chunks(task)).zip(grad.chunks(task));
        for_each(x_values.len(), tasks, |((dx, x), grad)| {
            vectorised(
                #[inline(always)]
                || {
                    for ((dx, x), grad) in dx.iter_mut().zip(x).zip(grad) {
                        *dx = grad * F::slope(*x);
                    }
                },
            );
        });
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// Reads both halves where they lie and writes one gradient for both.
struct SiluGate {
    half: usize,
}

impl CustomOp1 for SiluGate {
    fn name(&self) -> &'static str {
        "silu-gate"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let both = values(storage, layout)?;
        let half = self.half;
        let mut y = vec![0f32; both.len() / 2];
        let task = task_rows(half) * half;
        for_each(both.len(), y.chunks_mut(task).zip(both.chunks(2 * task)), |(y, both)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, both) in y.chunks_exact_mut(half).zip(both.chunks_exact(2 * half)) {
                        let (value, gate) = both.split_at(half);
                        for ((y, value), gate) in y.iter_mut().zip(value).zip(gate) {
                            *y = value * Silu::value(*gate);
                        }
                    }
                },
            );
        });
        let mut shape = layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = half;
        }
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn bwd(&self, both: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (lent_both, lent_grad) = (lend(both), lend(&grad));
        let (both_values, grad) = (lent_both.values()?, lent_grad.values()?);
        let half = self.half;
        let mut result = vec![0f32; both_values.len()];
        let task = task_rows(half) * half;
        let tasks = result.chunks_mut(2 * task).zip(both_values.chunks(2 * task)).zip(grad.chunks(task));
        for_each(both_values.len(), tasks, |((result, both), grad)| {
            vectorised(
                #[inline(always)]
                || {
                    let rows = result.chunks_exact_mut(2 * half).zip(both.chunks_exact(2 * half));
                    for ((result, both), grad) in rows.zip(grad.chunks_exact(half)) {
                        gate_slope(result, both, grad);
                    }
                },
            );
        });
        Ok(Some(tensor(result, both.shape())?))
    }
}

/// The gradient of one row of `p silu(s)`.
#[inline(always)]
fn gate_slope(result: &mut [f32], both: &[f32], grad: &[f32]) {
    let (d_value, d_gate) = result.split_at_mut(grad.len());
    let (value, gate) = both.split_at(grad.len());
    let (d_value, d_gate) = (&mut d_value[..grad.len()], &mut d_gate[..grad.len()]);
    let gate = &gate[..grad.len()];
    for i in 0..grad.len() {
        let s = sigmoid(gate[i]);
        let silu = gate[i] * s;
        d_value[i] = grad[i] * silu;
        d_gate[i] = grad[i] * value[i] * (s + silu * (1.0 - s));
    }
}
