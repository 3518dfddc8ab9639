//! Adaptive layer norm's two halves: scale and shift before a branch, gate after it.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::kernel::element::{Element, for_element, storage};
use crate::kernel::groups::{Groups, cut, gather, runs};
use crate::kernel::normalise::Normalise;
use crate::kernel::{for_each, in_wide, lanes, lend, serves, tables, task_rows, tensor, values, vectorised};
use crate::norm::layer_norm;

/// `layer_norm(x) (1 + scale) + shift`, without norm parameters.
///
/// `scale` and `shift` broadcast against `x`, e.g. `(B, T, 1, C)` against `(B, T, S, C)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn modulate(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    let norm = Normalise { offset: 1.0, ..Normalise::layer(eps) };
    if let Some(y) = norm.apply(x, Some(scale), Some(shift))? {
        return Ok(y);
    }
    in_wide(x, |x| {
        let (shift, scale) = (shift.to_dtype(x.dtype())?, (scale.to_dtype(x.dtype())? + 1.0)?);
        layer_norm(x, eps)?.broadcast_mul(&scale)?.broadcast_add(&shift)
    })
}

/// `x + gate * branch`; `gate` broadcasts against `branch`.
///
/// # Errors
/// Tensor arithmetic.
pub fn gate_add(x: &Tensor, gate: &Tensor, branch: &Tensor) -> Result<Tensor> {
    if serves(&[x, branch])
        && serves(&[gate])
        && x.dims() == branch.dims()
        && let Some(groups) = Groups::new(branch, gate)
    {
        let [gate] = tables(x, [gate])?;
        return x.contiguous()?.apply_op3(&gate, &branch.contiguous()?, GateAdd { groups });
    }
    in_wide(x, |x| x + branch.to_dtype(x.dtype())?.broadcast_mul(&gate.to_dtype(x.dtype())?)?)
}

struct GateAdd {
    groups: Groups,
}

impl GateAdd {
    fn forward<E: Element>(&self, x: &[E], gate: &[f32], branch: &[E], width: usize) -> Vec<E> {
        let mut y = vec![E::default(); x.len()];
        let rows = task_rows(width);
        let task = rows * width;
        let tasks = y.chunks_mut(task).zip(x.chunks(task)).zip(branch.chunks(task)).enumerate();
        for_each(branch.len(), tasks, |(task, ((y, x), branch))| {
            vectorised(
                #[inline(always)]
                || {
                    let pairs = x.chunks_exact(width).zip(branch.chunks_exact(width));
                    for (row, (y, (x, branch))) in y.chunks_exact_mut(width).zip(pairs).enumerate() {
                        let gate = &gate[self.groups.range(task * rows + row, width)];
                        for (((y, x), branch), gate) in y.iter_mut().zip(x).zip(branch).zip(gate) {
                            *y = E::narrow(x.widen() + branch.widen() * gate);
                        }
                    }
                },
            );
        });
        y
    }

    /// Gradients of gate and branch, of those that have a history.
    fn backward<E: Element>(
        &self,
        gate: &Tensor,
        branch: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let (lent_gate, lent_branch, lent_grad) = (lend(gate), lend(branch), lend(grad));
        let (gates, branches, grads) =
            (lent_gate.values::<f32>()?, lent_branch.values::<E>()?, lent_grad.values::<E>()?);
        let width = gate.dims().last().copied().unwrap_or(1);
        let runs = runs(grads.len() / width, [self.groups, self.groups]);
        let (wants_gate, wants_branch) = (gate.track_op(), branch.track_op());
        let mut for_branch = vec![E::default(); if wants_branch { grads.len() } else { 0 }];
        let mut partial = vec![0f32; if wants_gate { runs.len() * width } else { 0 }];
        if wants_branch {
            for_each(grads.len(), runs.iter().zip(cut(&mut for_branch, &runs, width)), |(run, result)| {
                let gate = &gates[self.groups.range(run.start, width)];
                let grad = &grads[run.start * width..run.end * width];
                vectorised(
                    #[inline(always)]
                    || {
                        for (result, grad) in result.chunks_exact_mut(width).zip(grad.chunks_exact(width)) {
                            for ((result, grad), gate) in result.iter_mut().zip(grad).zip(gate) {
                                *result = E::narrow(grad.widen() * gate);
                            }
                        }
                    },
                );
            });
        }
        if wants_gate {
            for_each(grads.len(), runs.iter().zip(partial.chunks_exact_mut(width)), |(run, total)| {
                let span = run.start * width..run.end * width;
                let (branch, grad) = (&branches[span.clone()], &grads[span]);
                vectorised(
                    #[inline(always)]
                    || {
                        for (branch, grad) in branch.chunks_exact(width).zip(grad.chunks_exact(width)) {
                            lanes::add_product(total, branch, grad);
                        }
                    },
                );
            });
        }
        let for_gate = if wants_gate {
            Some(tensor(gather(&partial, &runs, self.groups, width), gate.shape())?)
        } else {
            None
        };
        let for_branch = if wants_branch { Some(tensor(for_branch, branch.shape())?) } else { None };
        Ok([for_gate, for_branch])
    }
}

impl CustomOp3 for GateAdd {
    fn name(&self) -> &'static str {
        "gate-add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
        branch: &CpuStorage,
        branch_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gate = values(gate, gate_layout)?;
        let y = for_element!(x, E => {
            let (x, branch) = (values::<E>(x, x_layout)?, values::<E>(branch, branch_layout)?);
            storage(self.forward(x, gate, branch, x_layout.dims().last().copied().unwrap_or(1)))
        });
        Ok((y, x_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        gate: &CudaStorage,
        gate_layout: &Layout,
        branch: &CudaStorage,
        branch_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (x, gate) = (cuda::Operand::new(x, x_layout)?, cuda::Operand::new(gate, gate_layout)?);
        let branch = cuda::Operand::new(branch, branch_layout)?;
        let width = x_layout.dims().last().copied().unwrap_or(1);
        let y = cuda::modulate::forward(x, gate, branch, self.groups.on_device(), width)?;
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gate: &Tensor,
        branch: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let for_x = x.track_op().then(|| grad.clone());
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let width = x.dims().last().copied().unwrap_or(1);
            let [for_gate, for_branch] =
                cuda::modulate::backward(gate, branch, grad, self.groups.on_device(), width)?;
            return Ok((for_x, for_gate, for_branch));
        }
        let [for_gate, for_branch] =
            for_element!(x, E => self.backward::<E>(gate, branch, &grad.contiguous()?))?;
        Ok((for_x, for_gate, for_branch))
    }
}
