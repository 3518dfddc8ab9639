//! [`Heads`] as an operation that keeps its gradient; blocks on all threads.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::element::{Element, for_element, storage};
use super::heads::{Backward, Forward, Heads};
use super::row_norm::Table;
use super::small::padded;
use super::{dispatch, for_each, lanes, lend, task_rows, tensor, values};

impl Heads {
    /// Blocks that one task takes.
    fn task(&self) -> usize {
        task_rows(3 * self.heads * self.size * self.lengths[1] * self.inner)
    }

    /// The operands' parts that belong to a block.
    fn cut<'a, E, const N: usize>(&self, operands: [&'a [E]; N], block: usize) -> [&'a [E]; N] {
        std::array::from_fn(|i| &operands[i][block * self.block(i)..][..self.block(i)])
    }

    /// Attention of every head of every sequence.
    fn forward<E: Element, const N: usize>(&self, operands: [&[E]; N], table: &[f32]) -> Vec<E> {
        let table = Table::new(table, self.size);
        let (block, task) = (self.out_block(), self.task());
        let mut out = vec![E::default(); operands[0].len() / self.block(0) * block];
        if !self.is_short() {
            self.forward_long(&operands, &table, &mut out);
            return out;
        }
        for_each(2 * operands[0].len(), out.chunks_mut(task * block).enumerate(), |(index, out)| {
            let mut scratch = self.scratch();
            for (within, out) in out.chunks_exact_mut(block).enumerate() {
                let own = self.cut(operands, index * task + within);
                dispatch(Forward { heads: self, scratch: &mut scratch, out, operands: &own, table: &table });
            }
        });
        out
    }

    /// Gradients of the operands and of the table.
    fn backward<E: Element, const N: usize>(
        &self,
        operands: [&[E]; N],
        table: &[f32],
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<([Vec<E>; N], Vec<f32>)> {
        let grad = grad.contiguous()?;
        let (lent_y, lent_grad) = (lend(y), lend(&grad));
        let (y, grad) = (lent_y.values::<E>()?, lent_grad.values::<E>()?);
        let given = table.len();
        let table = Table::new(table, self.size);
        let (blocks, task) = (operands[0].len() / self.block(0), self.task());
        let mut results = operands.map(|operand| vec![E::default(); operand.len()]);
        // Where there are no norms, the table is a stand-in.
        let unpadded = |total: &[f32]| {
            let rows = total.chunks(padded(self.size)).flat_map(|row| row[..self.size].iter().copied());
            rows.chain(std::iter::repeat(0.0)).take(given).collect()
        };
        if !self.is_short() {
            let mut rests = results.each_mut().map(|result| result.as_mut_slice());
            let total = self.backward_long(&operands, &table, (y, grad), &mut rests)?;
            return Ok((results, unpadded(&total)));
        }
        let mut sums = vec![vec![0f32; table.len()]; blocks.div_ceil(task)];
        let mut rests: [&mut [E]; N] = results.each_mut().map(|result| result.as_mut_slice());
        let work =
            sums.iter_mut().enumerate().map(|(index, sums)| (index, self.split(&mut rests, task), sums));
        for_each(4 * operands[0].len(), work, |(index, mut parts, sums)| {
            let mut scratch = self.scratch();
            for block in index * task..blocks.min((index + 1) * task) {
                dispatch(Backward {
                    heads: self,
                    scratch: &mut scratch,
                    results: &mut self.split(&mut parts, 1),
                    table_sums: sums,
                    operands: &self.cut(operands, block),
                    table: &table,
                    grad: &grad[block * self.out_block()..][..self.out_block()],
                });
            }
        });
        let mut total = vec![0f32; table.len()];
        sums.iter().for_each(|sums| lanes::add(&mut total, sums));
        Ok((results, unpadded(&total)))
    }

    /// Takes the first blocks off each slice, all of it if there are fewer.
    fn split<'a, E, const N: usize>(&self, rests: &mut [&'a mut [E]; N], blocks: usize) -> [&'a mut [E]; N] {
        std::array::from_fn(|i| {
            let rest = std::mem::take(&mut rests[i]);
            let (head, rest) = rest.split_at_mut(rest.len().min(blocks * self.block(i)));
            rests[i] = rest;
            head
        })
    }

    /// Whether there is room for this shape where the operand is: always for the loops, not always for the CUDA kernels.
    pub(crate) fn fits(&self, operand: &Tensor) -> Result<bool> {
        #[cfg(feature = "cuda")]
        if operand.device().is_cuda() {
            return self.on_device().is_served(operand);
        }
        Ok(operand.device().is_cpu())
    }

    /// No operand holds two of queries, keys and values.
    fn is_separate(&self) -> bool {
        self.sources[2].operand == 2
    }

    /// That of the queries' operand, with the width of all heads.
    fn result_shape(&self, layout: &Layout) -> Shape {
        let mut shape = layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.heads * self.size;
        }
        shape.into()
    }
}

/// Queries, keys and values in one operand.
impl CustomOp2 for Heads {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let table = values(table, table_layout)?;
        let out = for_element!(qkv, E => storage(self.forward([values::<E>(qkv, layout)?], table)));
        Ok((out, self.result_shape(layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        qkv: &CudaStorage,
        layout: &Layout,
        table: &CudaStorage,
        table_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let out = self.cuda_forward(&[(qkv, layout)], Some((table, table_layout)))?;
        Ok((out, self.result_shape(layout)))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        table: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if qkv.device().is_cuda() {
            let ([for_qkv], for_table) = self.cuda_backward([qkv], Some(table), y, grad)?;
            return Ok((for_qkv, for_table));
        }
        let (lent_qkv, lent_table) = (lend(qkv), lend(table));
        for_element!(qkv, E => {
            let qkv_values = [lent_qkv.values::<E>()?];
            let ([for_qkv], for_table) = self.backward(qkv_values, lent_table.values()?, y, grad)?;
            Ok((arrived(for_qkv, qkv)?, arrived(for_table, table)?))
        })
    }
}

/// Either queries, then keys and values, then the table; or queries, keys and values, without a table.
impl CustomOp3 for Heads {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
        third: &CpuStorage,
        third_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = for_element!(first, E => {
            let (q, k) = (values::<E>(first, first_layout)?, values::<E>(second, second_layout)?);
            storage(if self.is_separate() {
                self.forward([q, k, values::<E>(third, third_layout)?], &[])
            } else {
                self.forward([q, k], values(third, third_layout)?)
            })
        });
        Ok((out, self.result_shape(first_layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        first: &CudaStorage,
        first_layout: &Layout,
        second: &CudaStorage,
        second_layout: &Layout,
        third: &CudaStorage,
        third_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (first, second, third) = ((first, first_layout), (second, second_layout), (third, third_layout));
        let out = if self.is_separate() {
            self.cuda_forward(&[first, second, third], None)?
        } else {
            self.cuda_forward(&[first, second], Some(third))?
        };
        Ok((out, self.result_shape(first_layout)))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        third: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if first.device().is_cuda() {
            return if self.is_separate() {
                self.cuda_backward([first, second, third], None, y, grad).map(|(found, _)| From::from(found))
            } else {
                let ([for_q, for_kv], for_table) =
                    self.cuda_backward([first, second], Some(third), y, grad)?;
                Ok((for_q, for_kv, for_table))
            };
        }
        let (lent_first, lent_second, lent_third) = (lend(first), lend(second), lend(third));
        for_element!(first, E => {
            let (q, k) = (lent_first.values::<E>()?, lent_second.values::<E>()?);
            if self.is_separate() {
                let ([for_q, for_k, for_v], _) = self.backward([q, k, lent_third.values::<E>()?], &[], y, grad)?;
                Ok((arrived(for_q, first)?, arrived(for_k, second)?, arrived(for_v, third)?))
            } else {
                let ([for_q, for_kv], for_table) = self.backward([q, k], lent_third.values()?, y, grad)?;
                Ok((arrived(for_q, first)?, arrived(for_kv, second)?, arrived(for_table, third)?))
            }
        })
    }
}

const NAME: &str = "heads";

fn arrived<E: Element>(grad: Vec<E>, of: &Tensor) -> Result<Option<Tensor>> {
    of.track_op().then(|| tensor(grad, of.shape())).transpose()
}
