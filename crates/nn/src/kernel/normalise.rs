//! Norms over the last dimension with an optional scale and shift, each shared by groups of rows.

use candle_core::{CpuStorage, Result, Tensor};

use super::element::{Element, storage};
use super::groups::{Groups, cut, gather, runs};
use super::{for_each, lanes, lend, serves, tables, task_rows, tensor, vectorised};
#[cfg(feature = "cuda")]
use crate::cuda;

/// What keeps the root away from zero.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floor {
    /// Added to the mean square.
    Add(f32),
    /// The least mean square; rows below it are scaled by a constant.
    Least(f32),
}

impl Floor {
    /// One over the root of a mean square, and whether that is a constant.
    #[inline(always)]
    pub(crate) fn inverse(self, square: f32) -> (f32, bool) {
        match self {
            Self::Add(eps) => (1.0 / (square + eps).sqrt(), false),
            Self::Least(least) if square < least => (1.0 / least.sqrt(), true),
            Self::Least(_) => (1.0 / square.sqrt(), false),
        }
    }
}

/// `(x - mean) / root (offset + scale) + shift`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalise {
    /// Subtract the mean?
    pub(crate) centred: bool,
    pub(crate) floor: Floor,
    /// 0 for a scale that is a factor, 1 for one that is a change.
    pub(crate) offset: f32,
}

/// Of one row.
#[derive(Clone, Copy)]
struct Statistics {
    mean: f32,
    inverse: f32,
    /// The root is a constant: no gradient through it.
    flat: bool,
}

impl Normalise {
    pub(crate) fn layer(eps: f64) -> Self {
        Self { centred: true, floor: Floor::Add(eps as f32), offset: 0.0 }
    }

    pub(crate) fn rms(floor: Floor) -> Self {
        Self { centred: false, floor, offset: 0.0 }
    }

    /// Fused, if these tensors can be served. A shift needs a scale.
    pub(crate) fn apply(
        self,
        x: &Tensor,
        scale: Option<&Tensor>,
        shift: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        let Some(&width) = x.dims().last() else { return Ok(None) };
        if !serves(&[x]) || ![scale, shift].into_iter().flatten().all(|table| serves(&[table])) {
            return Ok(None);
        }
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() && !cuda::normalise::serves(x.device(), width)? {
            return Ok(None);
        }
        let whole = Groups::whole(x.elem_count() / width);
        let groups = |table: Option<&Tensor>| table.map_or(Some(whole), |table| Groups::new(x, table));
        let (Some(scales), Some(shifts)) = (groups(scale), groups(shift)) else { return Ok(None) };
        let op = Fused { norm: self, scales, shifts };
        let x = x.contiguous()?;
        match (scale, shift) {
            (None, _) => x.apply_op1(op),
            (Some(scale), None) => {
                let [scale] = tables(&x, [scale])?;
                x.apply_op2(&scale, op)
            }
            (Some(scale), Some(shift)) => {
                let [scale, shift] = tables(&x, [scale, shift])?;
                x.apply_op3(&scale, &shift, op)
            }
        }
        .map(Some)
    }

    #[inline(always)]
    fn statistics<E: Element>(&self, x: &[E]) -> Statistics {
        let share = 1.0 / x.len() as f32;
        let mean = if self.centred { lanes::sum(x, |x| x) * share } else { 0.0 };
        let (inverse, flat) = self.floor.inverse(lanes::sum(x, |x| (x - mean) * (x - mean)) * share);
        Statistics { mean, inverse, flat }
    }

    /// One row forward.
    #[inline(always)]
    fn row<E: Element>(&self, y: &mut [E], x: &[E], scale: Option<&[f32]>, shift: Option<&[f32]>) {
        let Statistics { mean, inverse, .. } = self.statistics(x);
        let offset = self.offset;
        let normed = x.iter().map(|x| (x.widen() - mean) * inverse);
        match (scale, shift) {
            (None, _) => y.iter_mut().zip(normed).for_each(|(y, x)| *y = E::narrow(x)),
            (Some(scale), None) => {
                for ((y, x), scale) in y.iter_mut().zip(normed).zip(scale) {
                    *y = E::narrow(x * (offset + scale));
                }
            }
            (Some(scale), Some(shift)) => {
                for (((y, x), scale), shift) in y.iter_mut().zip(normed).zip(scale).zip(shift) {
                    *y = E::narrow(x * (offset + scale) + shift);
                }
            }
        }
    }

    /// One row backward: writes the gradient of `x` to `dx`, the normed row to `normed`, and that row's gradient to
    /// `inner`.
    #[inline(always)]
    fn row_back<E: Element>(
        &self,
        dx: &mut [E],
        [normed, inner]: [&mut [f32]; 2],
        x: &[E],
        grad: &[E],
        scale: Option<&[f32]>,
    ) {
        let Statistics { mean, inverse, flat } = self.statistics(x);
        for (normed, x) in normed.iter_mut().zip(x) {
            *normed = (x.widen() - mean) * inverse;
        }
        match scale {
            None => inner.iter_mut().zip(grad).for_each(|(inner, grad)| *inner = grad.widen()),
            Some(scale) => {
                for ((inner, grad), scale) in inner.iter_mut().zip(grad).zip(scale) {
                    *inner = grad.widen() * (self.offset + scale);
                }
            }
        }
        let share = 1.0 / x.len() as f32;
        let average = if self.centred { lanes::sum(inner, |x| x) * share } else { 0.0 };
        let along = if flat { 0.0 } else { lanes::dot(inner, normed) * share };
        for ((dx, inner), normed) in dx.iter_mut().zip(inner.iter()).zip(normed.iter()) {
            *dx = E::narrow((inner - average - normed * along) * inverse);
        }
    }
}

/// The operation; without a scale or shift its groups are one.
pub(super) struct Fused {
    pub(super) norm: Normalise,
    pub(super) scales: Groups,
    pub(super) shifts: Groups,
}

impl Fused {
    pub(super) fn forward<E: Element>(
        &self,
        x: &[E],
        width: usize,
        scale: Option<&[f32]>,
        shift: Option<&[f32]>,
    ) -> CpuStorage {
        let mut y = vec![E::default(); x.len()];
        let rows = task_rows(width);
        let tasks = y.chunks_mut(rows * width).zip(x.chunks(rows * width)).enumerate();
        for_each(x.len(), tasks, |(task, (y, x))| {
            vectorised(
                #[inline(always)]
                || {
                    for (row, (y, x)) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).enumerate() {
                        let row = task * rows + row;
                        let scale = scale.map(|scale| &scale[self.scales.range(row, width)]);
                        let shift = shift.map(|shift| &shift[self.shifts.range(row, width)]);
                        self.norm.row(y, x, scale, shift);
                    }
                },
            );
        });
        storage(y)
    }

    /// Gradients of `x`, scale and shift: of those that exist and have a history.
    pub(super) fn loops_back<E: Element>(
        &self,
        x: &Tensor,
        scale: Option<&Tensor>,
        shift: Option<&Tensor>,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let width = x.dims().last().copied().unwrap_or(1);
        let grad = grad.contiguous()?;
        let (lent_x, lent_grad, lent_scale) = (lend(x), lend(&grad), scale.map(lend));
        let (xs, grads) = (lent_x.values::<E>()?, lent_grad.values::<E>()?);
        let scales = lent_scale.as_ref().map(|lent| lent.values()).transpose()?;
        let runs = runs(xs.len() / width, [self.scales, self.shifts]);

        let tracked = |table: Option<&Tensor>| table.is_some_and(Tensor::track_op);
        let partial = |wanted: bool| vec![0f32; if wanted { runs.len() * width } else { 0 }];
        let (wants_scale, wants_shift) = (tracked(scale), tracked(shift));
        let (mut for_scale, mut for_shift) = (partial(wants_scale), partial(wants_shift));
        let mut for_x = vec![E::default(); xs.len()];
        // An unwanted sum has no memory: its runs get empty slices.
        let (scale_width, shift_width) =
            (if wants_scale { width } else { 0 }, if wants_shift { width } else { 0 });
        let mut scale_rest = for_scale.as_mut_slice();
        let mut shift_rest = for_shift.as_mut_slice();
        let tasks = runs.iter().zip(cut(&mut for_x, &runs, width)).map(|(run, dx)| {
            let (scale_sum, rest) = std::mem::take(&mut scale_rest).split_at_mut(scale_width);
            scale_rest = rest;
            let (shift_sum, rest) = std::mem::take(&mut shift_rest).split_at_mut(shift_width);
            shift_rest = rest;
            (run, dx, scale_sum, shift_sum)
        });
        for_each(xs.len(), tasks, |(run, dx, scale_sum, shift_sum)| {
            let span = run.start * width..run.end * width;
            let (xs, grads) = (&xs[span.clone()], &grads[span]);
            let scale = scales.map(|scales| &scales[self.scales.range(run.start, width)]);
            let (mut normed, mut inner) = (vec![0f32; width], vec![0f32; width]);
            vectorised(
                #[inline(always)]
                || {
                    let rows = xs.chunks_exact(width).zip(grads.chunks_exact(width));
                    for (dx, (x, grad)) in dx.chunks_exact_mut(width).zip(rows) {
                        self.norm.row_back(dx, [&mut normed, &mut inner], x, grad, scale);
                        lanes::add_product(scale_sum, grad, &normed);
                        lanes::add(shift_sum, grad);
                    }
                },
            );
        });

        let table = |wanted: bool, partial: &[f32], groups: Groups, table: Option<&Tensor>| match table {
            Some(table) if wanted => tensor(gather(partial, &runs, groups, width), table.shape()).map(Some),
            _ => Ok(None),
        };
        Ok([
            if x.track_op() { Some(tensor(for_x, x.shape())?) } else { None },
            table(wants_scale, &for_scale, self.scales, scale)?,
            table(wants_shift, &for_shift, self.shifts, shift)?,
        ])
    }
}
