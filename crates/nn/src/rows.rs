//! Rows that are shared: added to many rows, and summed over all of them.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::kernel::element::{Element, for_element, storage};
use crate::kernel::groups::{Groups, column_sum, gather, runs};
use crate::kernel::{
    self, for_each, in_wide, lanes, lend, loops_serve, serves, task_rows, tensor, values, vectorised,
};

/// Sum over all dimensions but the last, `(.., D)` to `(D)`; differentiable.
///
/// # Errors
/// A scalar.
pub fn sum_leading(x: &Tensor) -> Result<Tensor> {
    let width = x.dim(candle_core::D::Minus1)?;
    if serves(&[x]) {
        return x.contiguous()?.apply_op1(SumLeading);
    }
    in_wide(x, |x| x.reshape((x.elem_count() / width.max(1), width))?.sum(0))
}

struct SumLeading;

impl CustomOp1 for SumLeading {
    fn name(&self) -> &'static str {
        "sum-leading"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let sum = for_element!(x, E => storage(E::stored(column_sum(values::<E>(x, layout)?, width))));
        Ok((sum, Shape::from(width)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let sum = cuda::linear::column_sum(cuda::Operand::new(x, layout)?, width, x.dtype())?;
        Ok((sum, Shape::from(width)))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        grad.broadcast_as(x.shape()).map(Some)
    }
}

/// `x + table`, where `table` broadcasts against `x`: positions, queries, biases. A table without history costs nothing
/// in the backward pass, and the gradient of one with history is summed in one pass.
///
/// # Shapes
/// `x` `(.., D)`; `table` broadcasts against it, e.g. `(N, D)` or `(T, 1, D)`; returns the shape of both together.
///
/// # Errors
/// Shapes that do not fit.
pub fn add_rows(x: &Tensor, table: &Tensor) -> Result<Tensor> {
    if loops_serve(&[x])
        && loops_serve(&[table])
        && let Some(groups) = Groups::new(x, table)
    {
        return x.contiguous()?.apply_op2(&kernel::table(table)?, AddRows { groups });
    }
    in_wide(x, |x| x.broadcast_add(&table.to_dtype(x.dtype())?))
}

struct AddRows {
    groups: Groups,
}

impl AddRows {
    fn add<E: Element>(&self, x: &[E], table: &[f32], width: usize) -> Vec<E> {
        let mut y = vec![E::default(); x.len()];
        let rows = task_rows(width);
        let tasks = y.chunks_mut(rows * width).zip(x.chunks(rows * width)).enumerate();
        for_each(x.len(), tasks, |(task, (y, x))| {
            vectorised(
                #[inline(always)]
                || {
                    let pairs = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for (row, (y, x)) in pairs.enumerate() {
                        let own = &table[self.groups.range(task * rows + row, width)];
                        for ((y, x), own) in y.iter_mut().zip(x).zip(own) {
                            *y = E::narrow(x.widen() + own);
                        }
                    }
                },
            );
        });
        y
    }

    /// The gradient of the table.
    fn sum<E: Element>(&self, grads: &[E], width: usize) -> Vec<f32> {
        let runs = runs(grads.len() / width, [self.groups, self.groups]);
        let mut partial = vec![0f32; runs.len() * width];
        for_each(grads.len(), runs.iter().zip(partial.chunks_exact_mut(width)), |(run, total)| {
            let rows = &grads[run.start * width..run.end * width];
            vectorised(
                #[inline(always)]
                || rows.chunks_exact(width).for_each(|row| lanes::add(total, row)),
            );
        });
        gather(&partial, &runs, self.groups, width)
    }
}

impl CustomOp2 for AddRows {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (table, width) = (values(table, table_layout)?, x_layout.dims().last().copied().unwrap_or(1));
        let y = for_element!(x, E => storage(self.add(values::<E>(x, x_layout)?, table, width)));
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        table: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let for_x = x.track_op().then(|| grad.clone());
        if !table.track_op() {
            return Ok((for_x, None));
        }
        let grad = grad.contiguous()?;
        let lent = lend(&grad);
        let width = table.dims().last().copied().unwrap_or(1);
        let sum = for_element!(x, E => self.sum(lent.values::<E>()?, width));
        Ok((for_x, Some(tensor(sum, table.shape())?)))
    }
}
