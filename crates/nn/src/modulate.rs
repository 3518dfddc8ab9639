//! Adaptive layer norm's two halves: scale and shift before a branch, gate after it.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use crate::kernel::groups::{Groups, cut, gather, runs};
use crate::kernel::normalise::Normalise;
use crate::kernel::{for_each, lanes, lend, serves, task_rows, tensor, values, vectorised};
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
    layer_norm(x, eps)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)
}

/// `x + gate * branch`; `gate` broadcasts against `branch`.
///
/// # Errors
/// Tensor arithmetic.
pub fn gate_add(x: &Tensor, gate: &Tensor, branch: &Tensor) -> Result<Tensor> {
    if serves(&[x, gate, branch])
        && x.dims() == branch.dims()
        && let Some(groups) = Groups::new(branch, gate)
    {
        return x.contiguous()?.apply_op3(&gate.contiguous()?, &branch.contiguous()?, GateAdd { groups });
    }
    x + branch.broadcast_mul(gate)?
}

struct GateAdd {
    groups: Groups,
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
        let (gate, branch) = (values(gate, gate_layout)?, values(branch, branch_layout)?);
        let mut y = values(x, x_layout)?.to_vec();
        let width = x_layout.dims().last().copied().unwrap_or(1);
        let rows = task_rows(width);
        let tasks = y.chunks_mut(rows * width).zip(branch.chunks(rows * width)).enumerate();
        for_each(branch.len(), tasks, |(task, (y, branch))| {
            vectorised(
                #[inline(always)]
                || {
                    let pairs = y.chunks_exact_mut(width).zip(branch.chunks_exact(width));
                    for (row, (y, branch)) in pairs.enumerate() {
                        lanes::add_product(y, branch, &gate[self.groups.range(task * rows + row, width)]);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
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
        let grad = grad.contiguous()?;
        let (lent_gate, lent_branch, lent_grad) = (lend(gate), lend(branch), lend(&grad));
        let (gates, branches, grads) = (lent_gate.values()?, lent_branch.values()?, lent_grad.values()?);
        let width = gate.dims().last().copied().unwrap_or(1);
        let runs = runs(grads.len() / width, [self.groups, self.groups]);
        let (wants_gate, wants_branch) = (gate.track_op(), branch.track_op());
        let mut for_branch = vec![0f32; if wants_branch { grads.len() } else { 0 }];
        let mut partial = vec![0f32; if wants_gate { runs.len() * width } else { 0 }];
        if wants_branch {
            for_each(grads.len(), runs.iter().zip(cut(&mut for_branch, &runs, width)), |(run, result)| {
                let gate = &gates[self.groups.range(run.start, width)];
                let grad = &grads[run.start * width..run.end * width];
                vectorised(
                    #[inline(always)]
                    || {
                        for (result, grad) in result.chunks_exact_mut(width).zip(grad.chunks_exact(width)) {
                            lanes::add_product(result, grad, gate);
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
        Ok((for_x, for_gate, for_branch))
    }
}
