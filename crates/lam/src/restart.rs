//! Codes that nobody uses any more, and rows to replace them with.

use candle_core::{DType, Result, Tensor};
use cola_random::permutation;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Counts for each code the steps since it was last used (rule of jafar and jasmine). The state of a run, so it can be
/// stored with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeRestart {
    idle: Vec<u32>,
    threshold: u32,
}

impl CodeRestart {
    /// All codes just used; one is due after `threshold` steps without use.
    pub fn new(codes: usize, threshold: u32) -> Self {
        Self { idle: vec![0; codes], threshold }
    }

    /// Steps since each code was used or restarted.
    pub fn idle(&self) -> &[u32] {
        &self.idle
    }

    /// Takes in the codes of one step, of any shape, and returns the rows that are due, in order; their counters start
    /// anew. The caller replaces these codebook rows, best by [`rows_from_tokens`] and
    /// [`Codebook::replace`](crate::Codebook::replace), and clears their optimizer moments.
    ///
    /// # Errors
    /// A code that the codebook does not have; no counter has moved then.
    pub fn observe(&mut self, codes: &Tensor) -> Result<Vec<usize>> {
        let codes = codes.flatten_all()?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        let mut used = vec![false; self.idle.len()];
        for code in codes {
            match used.get_mut(code as usize) {
                Some(used) => *used = true,
                None => candle_core::bail!("code {code}, the codebook has {} entries", self.idle.len()),
            }
        }
        let mut due = Vec::new();
        for (code, (idle, used)) in self.idle.iter_mut().zip(used).enumerate() {
            *idle = if used { 0 } else { idle.saturating_add(1) };
            if *idle >= self.threshold && !used {
                *idle = 0;
                due.push(code);
            }
        }
        Ok(due)
    }
}

/// `count` different tokens of a batch, drawn at random: first rows of a codebook, or new rows for dead codes.
///
/// Encoder outputs are better than copies of active codes, which tie with their originals until those have moved.
///
/// # Shapes
/// `tokens` `(..., d)`, usually `(B, T - 1, n, d)` before quantization; returns `(count, d)`, without a gradient.
///
/// # Errors
/// Fewer tokens than rows; the message gives both numbers.
pub fn rows_from_tokens(tokens: &Tensor, count: usize, rng: &mut impl Rng) -> Result<Tensor> {
    let rows = tokens.detach().flatten_to(tokens.rank().saturating_sub(2))?;
    let (available, _) = rows.dims2()?;
    if available < count {
        candle_core::bail!(
            "{count} codebook rows wanted, the batch has {available} tokens: use a larger batch"
        );
    }
    let chosen: Vec<u32> =
        permutation(available, rng).into_iter().take(count).map(|row| row as u32).collect();
    rows.index_select(&Tensor::from_vec(chosen, count, rows.device())?, 0)
}

/// `table` with some rows (entries of its first dimension) replaced by those of `values`, in order.
///
/// # Errors
/// Values of another shape or fewer than rows, a row that the table does not have.
pub fn replace_rows(table: &Tensor, rows: &[usize], values: &Tensor) -> Result<Tensor> {
    let mut parts: Vec<Tensor> =
        (0..table.dim(0)?).map(|row| table.narrow(0, row, 1)).collect::<Result<_>>()?;
    for (index, &row) in rows.iter().enumerate() {
        match parts.get_mut(row) {
            Some(part) => *part = values.narrow(0, index, 1)?,
            None => candle_core::bail!("row {row}, the table has {}", table.dim(0)?),
        }
    }
    Tensor::cat(&parts, 0)
}
