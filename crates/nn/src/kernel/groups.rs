//! Rows that share a row of a table: broadcasting, and its gradient as sums over groups.

use std::ops::Range;

use candle_core::Tensor;

use super::element::Element;
use super::{for_each, lanes, vectorised};

/// Longest run of rows that is summed in one go.
const RUN: usize = 64;

/// Which row of a table goes with a row of `x`: row `r` with `(r / inner) % count`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    inner: usize,
    count: usize,
}

impl Groups {
    /// `table` `(.., D)` broadcast against `x` `(.., D)`, neither of them empty. `None` if the table is not a plain block
    /// of groups: a last dimension of another size, a leading dimension that `x` lacks, two blocks of leading dimensions
    /// with a broadcast one between.
    pub(crate) fn new(x: &Tensor, table: &Tensor) -> Option<Self> {
        let (x_last, x_lead) = x.dims().split_last()?;
        let (table_last, table_lead) = table.dims().split_last()?;
        let absent = x_lead.len().checked_sub(table_lead.len())?;
        if x_last != table_last {
            return None;
        }
        let mut groups = Self { inner: 1, count: 1 };
        let mut outer = false;
        for (axis, &size) in x_lead.iter().enumerate().rev() {
            let own = if axis < absent { 1 } else { table_lead[axis - absent] };
            match own {
                _ if size == 1 && own == 1 => {}
                1 if groups.count == 1 => groups.inner *= size,
                1 => outer = true,
                _ if own == size && !outer => groups.count *= size,
                _ => return None,
            }
        }
        Some(groups)
    }

    /// One row for all.
    pub(crate) fn whole(rows: usize) -> Self {
        Self { inner: rows.max(1), count: 1 }
    }

    /// The same for the CUDA kernels.
    #[cfg(feature = "cuda")]
    pub(crate) fn on_device(self) -> crate::cuda::Table {
        crate::cuda::Table { inner: self.inner, count: self.count }
    }

    /// The table's part that goes with a row of `x`.
    #[inline(always)]
    pub(crate) fn range(&self, row: usize, width: usize) -> Range<usize> {
        let group = (row / self.inner) % self.count;
        group * width..(group + 1) * width
    }

    fn run_end(&self, row: usize) -> usize {
        (row / self.inner + 1) * self.inner
    }
}

/// Cuts the rows into short runs within which neither table changes.
pub(crate) fn runs(rows: usize, tables: [Groups; 2]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < rows {
        let end = tables.iter().fold(rows.min(start + RUN), |end, table| end.min(table.run_end(start)));
        runs.push(start..end);
        start = end;
    }
    runs
}

/// Cuts `values` (rows of `width`) at the runs.
pub(crate) fn cut<'a, E>(
    mut values: &'a mut [E],
    runs: &'a [Range<usize>],
    width: usize,
) -> impl Iterator<Item = &'a mut [E]> {
    runs.iter().map(move |run| {
        let (head, tail) = std::mem::take(&mut values).split_at_mut(run.len() * width);
        values = tail;
        head
    })
}

/// Adds up what each run found (one row of `width` a run), in order, to the rows of the table.
pub(crate) fn gather(partial: &[f32], runs: &[Range<usize>], groups: Groups, width: usize) -> Vec<f32> {
    let mut total = vec![0f32; groups.count * width];
    vectorised(
        #[inline(always)]
        || {
            for (run, partial) in runs.iter().zip(partial.chunks_exact(width)) {
                lanes::add(&mut total[groups.range(run.start, width)], partial);
            }
        },
    );
    total
}

/// Sum over all rows of `width`.
pub(crate) fn column_sum<E: Element>(values: &[E], width: usize) -> Vec<f32> {
    let rows = values.len() / width;
    let whole = Groups::whole(rows);
    let runs = runs(rows, [whole, whole]);
    let mut partial = vec![0f32; runs.len() * width];
    let tasks = partial.chunks_exact_mut(width).zip(values.chunks(RUN * width));
    for_each(values.len(), tasks, |(total, rows)| {
        vectorised(
            #[inline(always)]
            || rows.chunks_exact(width).for_each(|row| lanes::add(total, row)),
        );
    });
    gather(&partial, &runs, whole, width)
}
