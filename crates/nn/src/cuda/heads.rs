//! Attention from rows of tokens to rows of tokens: which kernels, with what memory.

use candle_core::{CudaStorage, DType, Result, Tensor};

use super::launch::{Argument, most_shared};
use super::operand::{Operand, lend, tensor, word};

/// Longest sequence whose attention one block computes in shared memory.
const SHORT: usize = 64;
/// Largest head.
const LARGEST: usize = 128;

/// Where queries, keys or values lie: columns of one of the operands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) operand: usize,
    pub(crate) width: usize,
    /// The first column.
    pub(crate) offset: usize,
}

/// The norm of queries or keys within a head; the parameters are rows of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadNorm {
    pub(crate) eps: f32,
    /// Row of the scale.
    pub(crate) scale: usize,
    /// Row of the shift of a centred norm; the other kind is RMS.
    pub(crate) shift: Option<usize>,
}

/// What to attend over. Tokens are rows; a sequence's rows lie `inner` apart, and `inner` sequences make up a block:
/// `(blocks, length, inner, width)`.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    /// Queries, keys, values.
    pub(crate) sources: [Source; 3],
    pub(crate) heads: usize,
    /// Head size.
    pub(crate) size: usize,
    /// Of queries and of keys.
    pub(crate) lengths: [usize; 2],
    pub(crate) inner: usize,
    pub(crate) causal: bool,
    /// Of queries and of keys.
    pub(crate) norms: [Option<HeadNorm>; 2],
}

/// Operands and constants of a call. `table` holds the norms' parameters, rows of the head size in f32; `turns` cosines
/// and sines, `(length, size / 2, 2)` in f32.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) operands: [Operand<'a>; 3],
    pub(super) table: Option<Operand<'a>>,
    pub(super) turns: Option<Operand<'a>>,
}

/// Tensors of a call backward: the operands (one, two or three), the table, the rotations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensors<'a> {
    pub(crate) operands: &'a [&'a Tensor],
    pub(crate) table: Option<&'a Tensor>,
    pub(crate) turns: Option<&'a Tensor>,
}

/// Storages for gradients: one for each operand, and the table's.
pub(super) struct Gradients {
    pub(super) operands: Vec<CudaStorage>,
    pub(super) table: Option<CudaStorage>,
}

impl Heads {
    /// Whether the kernels can serve this shape, forward and backward, on the operand's device.
    ///
    /// # Errors
    /// As [`most_shared`].
    pub(crate) fn is_served(&self, operand: &Tensor) -> Result<bool> {
        let most = most_shared(operand.device().as_cuda_device()?)?;
        let fits = self.is_short(most) || super::heads_long::shared(self, operand.dtype()) <= most;
        Ok(self.has_kernels() && fits)
    }

    fn has_kernels(&self) -> bool {
        let [queries, keys] = self.lengths;
        (1..=LARGEST).contains(&self.size) && queries > 0 && keys > 0 && (!self.causal || queries == keys)
    }

    fn is_short(&self, most_shared: usize) -> bool {
        let short = self.lengths.iter().all(|length| *length <= SHORT);
        short && super::heads_short::shared(self).1 <= most_shared
    }

    /// One, two or three operands as queries, keys and values. Where there are no norms, the table is a stand-in.
    fn given<'a>(
        &self,
        operands: &[Operand<'a>],
        table: Option<Operand<'a>>,
        turns: Option<Operand<'a>>,
    ) -> Result<Given<'a>> {
        let pick = |part: usize| match operands.get(self.sources[part].operand) {
            Some(operand) => Ok(*operand),
            None => candle_core::bail!("attention over {} operands lacks one", operands.len()),
        };
        let table = table.filter(|_| self.table_rows() > 0);
        let given = Given { operands: [pick(0)?, pick(1)?, pick(2)?], table, turns };
        self.check(&given)?;
        Ok(given)
    }

    /// The result, and for a long sequence what the backward pass wants to have kept.
    ///
    /// # Errors
    /// Shapes that are not [served](Self::is_served), numbers that are neither f32 nor bf16.
    pub(crate) fn forward(
        &self,
        operands: &[Operand<'_>],
        table: Option<Operand<'_>>,
        turns: Option<&Tensor>,
    ) -> Result<(CudaStorage, Option<Tensor>)> {
        let lent_turns = turns.map(lend);
        let turns = lent_turns.as_ref().map(|lent| lent.operand()).transpose()?;
        let given = &self.given(operands, table, turns)?;
        if self.is_short(most_shared(given.operands[0].device())?) {
            Ok((super::heads_short::forward(self, given)?, None))
        } else {
            let (out, log_sums) = super::heads_long::forward(self, given)?;
            let rows = self.units(given.operands[0]) * self.lengths[0];
            Ok((out, Some(tensor(log_sums, &rows.into()))))
        }
    }

    /// Gradients of the operands and of the table. `saved` is what [`Heads::forward`] returned beside `out`; without it
    /// a long sequence is computed once more. `grad` need not be contiguous.
    ///
    /// # Errors
    /// As [`Heads::forward`].
    pub(crate) fn backward(
        &self,
        tensors: Tensors<'_>,
        out: &Tensor,
        saved: Option<&Tensor>,
        grad: &Tensor,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let lent: Vec<_> = tensors.operands.iter().map(|operand| lend(operand)).collect();
        let operands = lent.iter().map(|lent| lent.operand()).collect::<Result<Vec<_>>>()?;
        let (lent_table, lent_turns) = (tensors.table.map(lend), tensors.turns.map(lend));
        let table = lent_table.as_ref().map(|lent| lent.operand()).transpose()?;
        let turns = lent_turns.as_ref().map(|lent| lent.operand()).transpose()?;
        let given = self.given(&operands, table, turns)?;
        let (lent_out, lent_grad, lent_saved) = (lend(out), lend(&grad), saved.map(lend));
        let (out, grads) = (lent_out.operand()?, lent_grad.operand()?);
        let [queries, ..] = given.operands;
        let count = self.units(queries) * self.lengths[0] * self.size;
        out.expect(count, queries.dtype())?;
        grads.expect(count, queries.dtype())?;
        let saved = lent_saved.as_ref().map(|lent| lent.operand()).transpose()?;
        let found = if self.is_short(most_shared(queries.device())?) {
            super::heads_short::backward(self, &given, &operands, grads)?
        } else {
            super::heads_long::backward(self, &given, &operands, out, saved, grads)?
        };
        let results = found.operands.into_iter().zip(tensors.operands);
        let table = found.table.zip(tensors.table).map(|(table, like)| tensor(table, like.shape()));
        Ok((results.map(|(result, like)| tensor(result, like.shape())).collect(), table))
    }

    /// Sequences times heads.
    pub(super) fn units(&self, queries: Operand<'_>) -> usize {
        queries.count / (self.sources[0].width * self.lengths[0]) * self.heads
    }

    pub(super) fn table_rows(&self) -> usize {
        self.norms.iter().flatten().map(|norm| 1 + usize::from(norm.shift.is_some())).sum()
    }

    fn check(&self, given: &Given<'_>) -> Result<()> {
        let rows = self.units(given.operands[0]) / self.heads.max(1);
        for (part, operand) in given.operands.iter().enumerate() {
            let count = rows * self.lengths[usize::from(part > 0)] * self.sources[part].width;
            operand.expect(count, given.operands[0].dtype())?;
        }
        if let Some(table) = given.table {
            table.expect(self.table_rows() * self.size, DType::F32)?;
        }
        let longest = self.lengths[0].max(self.lengths[1]);
        let turns = given.turns.is_none_or(|turns| {
            turns.dtype() == DType::F32 && turns.count >= longest * self.size && self.size.is_multiple_of(2)
        });
        if !self.has_kernels() || !turns || given.table.is_some() != (self.table_rows() > 0) {
            candle_core::bail!("no CUDA kernel for the attention {self:?}");
        }
        Ok(())
    }

    /// The words of the kernels' `Heads`.
    pub(super) fn argument(&self, given: &Given<'_>) -> Result<Argument<'static>> {
        let mut words = Vec::with_capacity(24);
        for source in self.sources {
            words.push(word(source.width)?);
        }
        for source in self.sources {
            words.push(word(source.offset)?);
        }
        let [queries, keys] = self.lengths;
        for size in [self.heads, self.size, queries, keys, self.inner, usize::from(self.causal)] {
            words.push(word(size)?);
        }
        let kind = |norm: &Option<HeadNorm>| norm.map_or(0, |norm| 1 + u32::from(norm.shift.is_some()));
        words.extend(self.norms.iter().map(kind));
        words.extend(self.norms.iter().map(|norm| norm.map_or(0.0, |norm| norm.eps).to_bits()));
        for norm in self.norms {
            words.push(word(norm.map_or(0, |norm| norm.scale))?);
        }
        for norm in self.norms {
            words.push(word(norm.and_then(|norm| norm.shift).unwrap_or(0))?);
        }
        words.push(u32::from(given.turns.is_some()));
        words.push(((self.size as f64).powf(-0.5) as f32).to_bits());
        words.push(word(self.units(given.operands[0]))?);
        words.push(word(self.table_rows())?);
        Ok(Argument::words(&words))
    }
}

/// Bytes of a tile of `rows` of `length` numbers of `size` bytes in shared memory; the kernels' `Memory::tile`.
pub(super) fn tile(rows: usize, length: usize, size: usize) -> usize {
    let stride = if size == 2 { length.next_multiple_of(16) + 8 } else { (length.div_ceil(4) | 1) * 4 };
    (rows * stride * size).next_multiple_of(128)
}
