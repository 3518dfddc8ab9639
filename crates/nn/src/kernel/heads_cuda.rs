//! [`Heads`] on a CUDA device.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Device, Layout, Result, Tensor};

use super::heads::{Heads, Source};
use super::row_norm::RowNorm;
use crate::cuda::{self, Operand};

impl Heads {
    /// As the kernels want it described.
    pub(super) fn on_device(&self) -> cuda::heads::Heads {
        let source = |source: &Source| cuda::heads::Source {
            operand: source.operand,
            width: source.width,
            offset: source.offset,
        };
        // What is not centred has no shift.
        let norm =
            |norm: &RowNorm| cuda::heads::HeadNorm { eps: norm.eps, scale: norm.scale, shift: norm.shift };
        cuda::heads::Heads {
            sources: self.sources.each_ref().map(source),
            heads: self.heads,
            size: self.size,
            lengths: self.lengths,
            inner: self.inner,
            causal: self.causal,
            norms: self.norms.each_ref().map(|own| own.as_ref().map(norm)),
        }
    }

    fn turns(&self, device: &Device) -> Result<Option<Tensor>> {
        self.rope.as_ref().map(|rope| rope.on_device(device)).transpose()
    }

    pub(super) fn cuda_forward(
        &self,
        operands: &[(&CudaStorage, &Layout)],
        table: Option<(&CudaStorage, &Layout)>,
    ) -> Result<CudaStorage> {
        let place = |(storage, layout): (_, _)| Operand::new(storage, layout);
        let Some((first, _)) = operands.first() else { candle_core::bail!("attention without operands") };
        let turns = self.turns(&Device::Cuda(first.device().clone()))?;
        let operands = operands.iter().copied().map(place).collect::<Result<Vec<_>>>()?;
        let (out, log_sums) =
            self.on_device().forward(&operands, table.map(place).transpose()?, turns.as_ref())?;
        if let Some(log_sums) = log_sums {
            // Set before only if somebody runs the operation twice: the operands are the same.
            let _ = self.log_sums.device.set(log_sums);
        }
        Ok(out)
    }

    /// Gradients of the operands and of the table, of those that have a history.
    pub(super) fn cuda_backward<const N: usize>(
        &self,
        operands: [&Tensor; N],
        table: Option<&Tensor>,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<([Option<Tensor>; N], Option<Tensor>)> {
        let turns = self.turns(y.device())?;
        let given = cuda::heads::Tensors { operands: &operands, table, turns: turns.as_ref() };
        let (grads, for_table) = self.on_device().backward(given, y, self.log_sums.device.get(), grad)?;
        let mut grads = grads.into_iter();
        let found = operands.map(|operand| grads.next().filter(|_| operand.track_op()));
        Ok((found, for_table.filter(|_| table.is_some_and(Tensor::track_op))))
    }
}
