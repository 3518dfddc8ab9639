//! The norm of queries and keys within a head, on padded rows.

use super::lanes;
use super::small::{dot, padded, sum, vectors};

/// `(x - mean) / sqrt(mean square + eps) scale + shift`; the parameters are rows of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowNorm {
    /// Subtract the mean?
    pub(crate) centred: bool,
    pub(crate) eps: f32,
    /// Row of the scale.
    pub(crate) scale: usize,
    /// Row of the shift.
    pub(crate) shift: Option<usize>,
}

/// Parameters, rows of `size` numbers padded.
pub(super) struct Table {
    values: Vec<f32>,
    /// Ones, zeros in the padding.
    mask: Vec<f32>,
    /// One over the size.
    share: f32,
}

impl Table {
    pub(super) fn new(values: &[f32], size: usize) -> Self {
        let padding = padded(size) - size;
        let row = |row: &[f32]| [row, &vec![0.0; padding]].concat();
        // A table that is no table, because there are no norms, has less than a row.
        let values = values.chunks_exact(size).flat_map(row).collect();
        Self { values, mask: row(&vec![1.0; size]), share: 1.0 / size as f32 }
    }

    /// Numbers, padding included.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline(always)]
    fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.mask.len()..][..self.mask.len()]
    }
}

impl RowNorm {
    /// Norms a row in place and writes it with scale and shift to `to`; returns what it was multiplied by.
    #[inline(always)]
    pub(super) fn forward(&self, to: &mut [f32], row: &mut [f32], table: &Table) -> f32 {
        if self.centred {
            let mean = sum(vectors(row)) * table.share;
            for (x, mask) in row.iter_mut().zip(&table.mask) {
                *x = (*x - mean) * mask;
            }
        }
        let inverse = 1.0 / (dot(vectors(row), vectors(row)) * table.share + self.eps).sqrt();
        for ((to, x), scale) in to.iter_mut().zip(row).zip(table.row(self.scale)) {
            *x *= inverse;
            *to = *x * scale;
        }
        if let Some(shift) = self.shift {
            lanes::add(to, table.row(shift));
        }
        inverse
    }

    /// The gradient through [`RowNorm::forward`], in place, from the normed row and what it was multiplied by; those of
    /// scale and shift are added to `sums`, which is laid out as the table.
    #[inline(always)]
    pub(super) fn backward(
        &self,
        grad: &mut [f32],
        normed: &[f32],
        inverse: f32,
        sums: &mut [f32],
        table: &Table,
    ) {
        let width = grad.len();
        lanes::add_product(&mut sums[self.scale * width..][..width], grad, normed);
        if let Some(shift) = self.shift {
            lanes::add(&mut sums[shift * width..][..width], grad);
        }
        for (grad, scale) in grad.iter_mut().zip(table.row(self.scale)) {
            *grad *= scale;
        }
        let average = if self.centred { sum(vectors(grad)) * table.share } else { 0.0 };
        let along = dot(vectors(grad), vectors(normed)) * table.share;
        for (grad, normed) in grad.iter_mut().zip(normed) {
            *grad = (*grad - average - normed * along) * inverse;
        }
    }
}
