//! AdamW in one pass over gradient, variable, both moments and a running average; squares of gradients in one pass.
//!
//! Both are bound by memory: each number is read once and written once.

use half::bf16;

use super::write::Real;
use super::{for_each, vectorised};

/// Numbers that one task takes: the slices of a task fit into a core's own cache.
pub(crate) const BLOCK: usize = 1 << 14;

/// A gradient's number as the variable's type.
pub(crate) trait Widen<T>: Copy + Send + Sync {
    fn widen(self) -> T;
}

impl Widen<f32> for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Widen<f64> for f32 {
    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }
}

impl Widen<f64> for f64 {
    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }
}

impl Widen<f32> for bf16 {
    /// The upper half of an f32; without `half`'s care for signalling NaN, which would not vectorise.
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

impl Widen<f64> for bf16 {
    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(Widen::<f32>::widen(self))
    }
}

/// `g <- scale g`, `m <- beta1 m + rest1 g`, `v <- beta2 v + rest2 g²`, `w <- keep w - step m / (sqrt(second v) + eps)`,
/// `average <- average_keep average + average_rest w`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants<T> {
    pub(crate) scale: T,
    pub(crate) beta1: T,
    pub(crate) rest1: T,
    pub(crate) beta2: T,
    pub(crate) rest2: T,
    pub(crate) keep: T,
    pub(crate) step: T,
    pub(crate) second: T,
    pub(crate) eps: T,
    pub(crate) average_keep: T,
    pub(crate) average_rest: T,
}

/// The numbers of one variable, or of a part of it.
pub(crate) struct Numbers<'a, T, G> {
    pub(crate) grad: &'a [G],
    pub(crate) var: &'a mut [T],
    pub(crate) first: &'a mut [T],
    pub(crate) second: &'a mut [T],
    /// Empty if none is kept.
    pub(crate) average: &'a mut [T],
}

impl<'a, T: Real, G: Widen<T>> Numbers<'a, T, G> {
    /// One step.
    pub(crate) fn update(self, constants: &Constants<T>) {
        let averaged = !self.average.is_empty();
        for_each(self.var.len(), self.blocks(), |block| {
            vectorised(
                #[inline(always)]
                || {
                    let moments = block.first.iter_mut().zip(block.second.iter_mut());
                    let numbers = block.grad.iter().zip(block.var.iter_mut()).zip(moments);
                    // The choice is made out here: within the loop it would keep it from being vectorised.
                    if averaged {
                        for (((g, w), (m, v)), average) in numbers.zip(block.average.iter_mut()) {
                            one(constants, g.widen(), w, m, v);
                            *average = constants.average_keep * *average + constants.average_rest * *w;
                        }
                    } else {
                        for ((g, w), (m, v)) in numbers {
                            one(constants, g.widen(), w, m, v);
                        }
                    }
                },
            );
        });
    }

    fn blocks(self) -> impl Iterator<Item = Self> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let size = BLOCK.min(rest.var.len());
            (size > 0).then(|| {
                let (grad, tail) = rest.grad.split_at(size);
                rest.grad = tail;
                Self {
                    grad,
                    var: head(&mut rest.var, size),
                    first: head(&mut rest.first, size),
                    second: head(&mut rest.second, size),
                    average: head(&mut rest.average, size),
                }
            })
        })
    }
}

/// Takes away the first numbers, or all if there are fewer.
fn head<'a, T>(values: &mut &'a mut [T], size: usize) -> &'a mut [T] {
    let size = size.min(values.len());
    let (head, tail) = std::mem::take(values).split_at_mut(size);
    *values = tail;
    head
}

#[inline(always)]
fn one<T: Real>(c: &Constants<T>, g: T, w: &mut T, m: &mut T, v: &mut T) {
    let g = g * c.scale;
    *m = c.beta1 * *m + c.rest1 * g;
    *v = c.beta2 * *v + c.rest2 * (g * g);
    *w = c.keep * *w - c.step * *m / ((c.second * *v).root() + c.eps);
}

/// Sum of squares of at most one block, in f64: no square of an f32 overflows, and the order of the sum is fixed.
pub(crate) fn squares<G: Widen<f64>>(values: &[G]) -> f64 {
    const LANES: usize = 16;
    vectorised(
        #[inline(always)]
        || {
            let (blocks, rest) = values.as_chunks::<LANES>();
            let mut lanes = [0f64; LANES];
            for block in blocks {
                for (lane, x) in lanes.iter_mut().zip(block) {
                    let x = x.widen();
                    *lane += x * x;
                }
            }
            for (lane, x) in lanes.iter_mut().zip(rest) {
                let x = x.widen();
                *lane += x * x;
            }
            lanes.iter().sum()
        },
    )
}
