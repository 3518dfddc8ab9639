//! [`Heads`] as an operation that keeps its gradient; blocks on all threads.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

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
    fn cut<'a, const N: usize>(&self, operands: [&'a [f32]; N], block: usize) -> [&'a [f32]; N] {
        std::array::from_fn(|i| &operands[i][block * self.block(i)..][..self.block(i)])
    }

    /// Attention of every head of every sequence.
    fn forward<const N: usize>(&self, operands: [&[f32]; N], table: &[f32]) -> Vec<f32> {
        let table = Table::new(table, self.size);
        let (block, task) = (self.out_block(), self.task());
        let mut out = vec![0f32; operands[0].len() / self.block(0) * block];
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
    fn backward<const N: usize>(
        &self,
        operands: [&[f32]; N],
        table: &[f32],
        grad: &[f32],
    ) -> ([Vec<f32>; N], Vec<f32>) {
        let given = table.len();
        let table = Table::new(table, self.size);
        let (blocks, task) = (operands[0].len() / self.block(0), self.task());
        let mut results = operands.map(|operand| vec![0f32; operand.len()]);
        let mut sums = vec![vec![0f32; table.len()]; blocks.div_ceil(task)];
        let mut rests: [&mut [f32]; N] = results.each_mut().map(|result| result.as_mut_slice());
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
        let rows = total.chunks(padded(self.size)).flat_map(|row| row[..self.size].iter().copied());
        // Where there are no norms, the table is a stand-in.
        (results, rows.chain(std::iter::repeat(0.0)).take(given).collect())
    }

    /// Takes the first blocks off each slice, all of it if there are fewer.
    fn split<'a, const N: usize>(&self, rests: &mut [&'a mut [f32]; N], blocks: usize) -> [&'a mut [f32]; N] {
        std::array::from_fn(|i| {
            let rest = std::mem::take(&mut rests[i]);
            let (head, rest) = rest.split_at_mut(rest.len().min(blocks * self.block(i)));
            rests[i] = rest;
            head
        })
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
        let out = self.forward([values(qkv, layout)?], values(table, table_layout)?);
        Ok((CpuStorage::F32(out), self.result_shape(layout)))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        table: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (lent_qkv, lent_table, lent_grad) = (lend(qkv), lend(table), lend(&grad));
        let ([for_qkv], for_table) =
            self.backward([lent_qkv.values()?], lent_table.values()?, lent_grad.values()?);
        Ok((arrived(for_qkv, qkv)?, arrived(for_table, table)?))
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
        let (q, k, third) =
            (values(first, first_layout)?, values(second, second_layout)?, values(third, third_layout)?);
        let out =
            if self.is_separate() { self.forward([q, k, third], &[]) } else { self.forward([q, k], third) };
        Ok((CpuStorage::F32(out), self.result_shape(first_layout)))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        third: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (lent_first, lent_second, lent_third, lent_grad) =
            (lend(first), lend(second), lend(third), lend(&grad));
        let (q, k, last, grad) =
            (lent_first.values()?, lent_second.values()?, lent_third.values()?, lent_grad.values()?);
        let (for_q, for_k, for_last) = if self.is_separate() {
            let ([for_q, for_k, for_v], _) = self.backward([q, k, last], &[], grad);
            (for_q, for_k, for_v)
        } else {
            let ([for_q, for_kv], for_table) = self.backward([q, k], last, grad);
            (for_q, for_kv, for_table)
        };
        Ok((arrived(for_q, first)?, arrived(for_k, second)?, arrived(for_last, third)?))
    }
}

const NAME: &str = "heads";

fn arrived(grad: Vec<f32>, of: &Tensor) -> Result<Option<Tensor>> {
    of.track_op().then(|| tensor(grad, of.shape())).transpose()
}
