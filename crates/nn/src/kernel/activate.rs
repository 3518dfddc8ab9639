//! Activations as one loop forward and one backward, recomputed from the input where they are needed.

use super::element::{Element, converted};
use super::erf::erf;
use super::exp::{exp, sigmoid};
use super::{for_each, task_rows, vectorised};

/// 2 sqrt(2 / pi), and that times 0.044715.
pub(crate) const GELU_LINEAR: f64 = 1.595_769_121_605_730_7;
pub(crate) const GELU_CUBIC: f64 = GELU_LINEAR * 0.044715;

/// 1 / sqrt(2 pi).
const NORMAL_PEAK: f32 = 0.398_942_3;

/// A function of each number, or of a pair of numbers from the two halves of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x sigmoid(2 sqrt(2/pi) (x + 0.044715 x³))`.
    Gelu,
    /// `x/2 (1 + erf(x / sqrt(2)))`.
    GeluErf,
    /// `x sigmoid(x)`.
    Silu,
    /// `p silu(s)` with `(p, s)` the two halves of a row.
    SiluGate,
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * sigmoid(x * (GELU_LINEAR as f32 + GELU_CUBIC as f32 * (x * x)))
}

/// The normal distribution function.
#[inline(always)]
fn normal_below(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

#[inline(always)]
fn gelu_erf(x: f32) -> f32 {
    x * normal_below(x)
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// Value and derivative.
#[inline(always)]
fn gelu_slope(x: f32) -> (f32, f32) {
    let cubic = GELU_CUBIC as f32 * (x * x);
    let s = sigmoid(x * (GELU_LINEAR as f32 + cubic));
    (x * s, s + s * (1.0 - s) * (x * (GELU_LINEAR as f32 + 3.0 * cubic)))
}

#[inline(always)]
fn gelu_erf_slope(x: f32) -> (f32, f32) {
    let below = normal_below(x);
    (x * below, below + x * (NORMAL_PEAK * exp(-0.5 * (x * x))))
}

#[inline(always)]
fn silu_slope(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s + s * (1.0 - s) * x)
}

impl Activation {
    /// Numbers of a row that make one of the result.
    pub(crate) fn fan_in(self) -> usize {
        if self == Self::SiluGate { 2 } else { 1 }
    }

    /// The values, `width` to a row.
    pub(crate) fn apply<E: Element>(self, x: &[E], width: usize) -> Vec<f32> {
        match self {
            Self::Gelu => converted(x, |x| gelu(x.widen())),
            Self::GeluErf => converted(x, |x| gelu_erf(x.widen())),
            Self::Silu => converted(x, |x| silu(x.widen())),
            Self::SiluGate => gate(x, width),
        }
    }

    /// The input's gradient from that of the values; on request also the values anew.
    pub(crate) fn back<E: Element>(
        self,
        x: &[E],
        mut grad: Vec<f32>,
        width: usize,
        wants_values: bool,
    ) -> (Vec<E>, Vec<f32>) {
        let mut values = vec![0f32; if wants_values { grad.len() } else { 0 }];
        match self {
            Self::Gelu => chain(x, &mut grad, &mut values, gelu_slope),
            Self::GeluErf => chain(x, &mut grad, &mut values, gelu_erf_slope),
            Self::Silu => chain(x, &mut grad, &mut values, silu_slope),
            Self::SiluGate => {
                let result = gate_back(x, &grad, width);
                return (result, if wants_values { gate(x, width) } else { values });
            }
        }
        (E::stored(grad), values)
    }
}

/// `grad *= slope(x)`, and the values, if there is room for them.
fn chain<E: Element>(
    x: &[E],
    grad: &mut [f32],
    values: &mut [f32],
    function: impl Fn(f32) -> (f32, f32) + Send + Sync,
) {
    let task = task_rows(1);
    let length = grad.len();
    if values.is_empty() {
        for_each(length, grad.chunks_mut(task).zip(x.chunks(task)), |(grad, x)| {
            vectorised(
                #[inline(always)]
                || grad.iter_mut().zip(x).for_each(|(grad, x)| *grad *= function(x.widen()).1),
            );
        });
        return;
    }
    let tasks = grad.chunks_mut(task).zip(values.chunks_mut(task)).zip(x.chunks(task));
    for_each(length, tasks, |((grad, values), x)| {
        vectorised(
            #[inline(always)]
            || {
                for ((grad, value), x) in grad.iter_mut().zip(values.iter_mut()).zip(x) {
                    let (own, slope) = function(x.widen());
                    *value = own;
                    *grad *= slope;
                }
            },
        );
    });
}

fn gate<E: Element>(both: &[E], half: usize) -> Vec<f32> {
    let mut y = vec![0f32; both.len() / 2];
    let task = task_rows(half) * half;
    for_each(both.len(), y.chunks_mut(task).zip(both.chunks(2 * task)), |(y, both)| {
        vectorised(
            #[inline(always)]
            || {
                for (y, both) in y.chunks_exact_mut(half).zip(both.chunks_exact(2 * half)) {
                    let (value, gate) = both.split_at(half);
                    for ((y, value), gate) in y.iter_mut().zip(value).zip(gate) {
                        *y = value.widen() * silu(gate.widen());
                    }
                }
            },
        );
    });
    y
}

fn gate_back<E: Element>(both: &[E], grad: &[f32], half: usize) -> Vec<E> {
    let mut result = vec![E::default(); both.len()];
    let task = task_rows(half) * half;
    let tasks = result.chunks_mut(2 * task).zip(both.chunks(2 * task)).zip(grad.chunks(task));
    for_each(both.len(), tasks, |((result, both), grad)| {
        vectorised(
            #[inline(always)]
            || {
                let rows = result.chunks_exact_mut(2 * half).zip(both.chunks_exact(2 * half));
                for ((result, both), grad) in rows.zip(grad.chunks_exact(half)) {
                    gate_row_back(result, both, grad);
                }
            },
        );
    });
    result
}

#[inline(always)]
fn gate_row_back<E: Element>(result: &mut [E], both: &[E], grad: &[f32]) {
    let (d_value, d_gate) = result.split_at_mut(grad.len());
    let (value, gate) = both.split_at(grad.len());
    let (d_value, d_gate) = (&mut d_value[..grad.len()], &mut d_gate[..grad.len()]);
    let gate = &gate[..grad.len()];
    for i in 0..grad.len() {
        let (silu, slope) = silu_slope(gate[i].widen());
        d_value[i] = E::narrow(grad[i] * silu);
        d_gate[i] = E::narrow(grad[i] * value[i].widen() * slope);
    }
}
