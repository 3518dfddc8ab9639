//! Attention of short sequences, from rows of tokens to rows of tokens: head norm, rotary positions, softmax and sum in
//! one go, head by head; the backward pass computes the probabilities anew.

use std::sync::Arc;

use pulp::{Simd, WithSimd};

use super::row_norm::{RowNorm, Table};
use super::small::{padded, product, softmax, softmax_back, turn};
use crate::rope::RopeTable;

/// Where queries, keys or values lie: columns of one of the operands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Which operand.
    pub(crate) operand: usize,
    /// Its width.
    pub(crate) width: usize,
    /// The first column.
    pub(crate) offset: usize,
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
    pub(crate) norms: [Option<RowNorm>; 2],
    pub(crate) rope: Option<Arc<RopeTable>>,
}

/// One head's numbers, rows padded.
pub(super) struct Scratch {
    /// Queries, keys and values, ready.
    parts: [Vec<f32>; 3],
    /// Queries and keys without their norm's parameters, and what each row was multiplied by.
    normed: [Vec<f32>; 2],
    inverse: [Vec<f32>; 2],
    /// Keys, and later values, as columns.
    turned: Vec<f32>,
    weights: Vec<f32>,
    out: Vec<f32>,
    /// Gradients.
    for_parts: [Vec<f32>; 3],
    for_weights: Vec<f32>,
}

impl Heads {
    /// Longest sequence; a longer one is better served by large matrix products.
    pub(crate) const LONGEST: usize = 64;
    /// Largest head.
    pub(crate) const LARGEST: usize = 128;

    fn part_lengths(&self) -> [usize; 3] {
        [self.lengths[0], self.lengths[1], self.lengths[1]]
    }

    /// Numbers of an operand in a block.
    pub(super) fn block(&self, operand: usize) -> usize {
        let mut parts = self.sources.iter().zip(self.part_lengths());
        let own = parts.find(|(source, _)| source.operand == operand);
        own.map_or(0, |(source, length)| source.width * length * self.inner)
    }

    /// Numbers of the result in a block.
    pub(super) fn out_block(&self) -> usize {
        self.heads * self.size * self.lengths[0] * self.inner
    }

    pub(super) fn scratch(&self) -> Scratch {
        let width = padded(self.size);
        let [queries, keys] = self.lengths;
        let parts = || self.part_lengths().map(|length| vec![0.0; length * width]);
        Scratch {
            parts: parts(),
            normed: self.lengths.map(|length| vec![0.0; length * width]),
            inverse: self.lengths.map(|length| vec![0.0; length]),
            turned: vec![0.0; width * padded(keys)],
            weights: vec![0.0; queries * padded(keys)],
            out: vec![0.0; queries * width],
            for_parts: parts(),
            for_weights: vec![0.0; queries * padded(keys)],
        }
    }

    fn scale(&self) -> f32 {
        (self.size as f64).powf(-0.5) as f32
    }

    /// Every sequence of a block with every head.
    fn units(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let heads = self.heads;
        (0..self.inner).flat_map(move |sequence| (0..heads).map(move |head| (sequence, head)))
    }

    /// The result's place.
    fn out(&self) -> Source {
        Source { operand: 0, width: self.heads * self.size, offset: 0 }
    }

    #[inline(always)]
    fn start(&self, source: &Source, (sequence, head): (usize, usize), position: usize) -> usize {
        (position * self.inner + sequence) * source.width + source.offset + head * self.size
    }

    /// Norm, positions and scale: one head's numbers from the operands of a block.
    #[inline(always)]
    fn load(&self, scratch: &mut Scratch, operands: &[&[f32]], table: &Table, unit: (usize, usize)) {
        let (size, width, scale) = (self.size, padded(self.size), self.scale());
        for (part, source) in self.sources.iter().enumerate() {
            let operand = operands[source.operand];
            for (position, to) in scratch.parts[part].chunks_exact_mut(width).enumerate() {
                let from = &operand[self.start(source, unit, position)..][..size];
                if part == 2 {
                    to[..size].copy_from_slice(from);
                    continue;
                }
                match &self.norms[part] {
                    Some(norm) => {
                        let normed = &mut scratch.normed[part][position * width..][..width];
                        normed[..size].copy_from_slice(from);
                        // The centred form leaves zeros in the padding.
                        scratch.inverse[part][position] = norm.forward(to, normed, table);
                    }
                    None => to[..size].copy_from_slice(from),
                }
                if let Some(rope) = &self.rope {
                    rope.turn(&mut to[..size], position, false);
                }
                if part == 0 {
                    to.iter_mut().for_each(|x| *x *= scale);
                }
            }
        }
    }

    /// Probabilities.
    #[inline(always)]
    fn weigh<S: Simd>(&self, simd: S, scratch: &mut Scratch) {
        let (width, keys) = (padded(self.size), padded(self.lengths[1]));
        turn(&mut scratch.turned, keys, &scratch.parts[1], width, self.size);
        let queries = (scratch.parts[0].as_slice(), width);
        product::<S, false>(simd, &mut scratch.weights, queries, &scratch.turned, self.size, keys);
        for (query, row) in scratch.weights.chunks_exact_mut(keys).enumerate() {
            softmax(row, if self.causal { query + 1 } else { self.lengths[1] });
        }
    }
}

/// A block forward.
pub(super) struct Forward<'a> {
    pub(super) heads: &'a Heads,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut [f32],
    pub(super) operands: &'a [&'a [f32]],
    pub(super) table: &'a Table,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { heads, scratch, out, operands, table } = self;
        let (width, keys) = (padded(heads.size), heads.lengths[1]);
        for unit in heads.units() {
            heads.load(scratch, operands, table, unit);
            heads.weigh(simd, scratch);
            let weights = (scratch.weights.as_slice(), padded(keys));
            product::<S, false>(simd, &mut scratch.out, weights, &scratch.parts[2], keys, width);
            for (position, row) in scratch.out.chunks_exact(width).enumerate() {
                let start = heads.start(&heads.out(), unit, position);
                out[start..][..heads.size].copy_from_slice(&row[..heads.size]);
            }
        }
    }
}

/// A block backward: writes the operands' gradients, adds those of the table.
pub(super) struct Backward<'a, 'b> {
    pub(super) heads: &'a Heads,
    pub(super) scratch: &'a mut Scratch,
    pub(super) results: &'a mut [&'b mut [f32]],
    pub(super) table_sums: &'a mut [f32],
    pub(super) operands: &'a [&'a [f32]],
    pub(super) table: &'a Table,
    pub(super) grad: &'a [f32],
}

impl WithSimd for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let heads = self.heads;
        let (size, width) = (heads.size, padded(heads.size));
        let [queries, keys] = heads.lengths;
        let keys_width = padded(keys);
        for unit in heads.units() {
            let scratch = &mut *self.scratch;
            heads.load(scratch, self.operands, self.table, unit);
            heads.weigh(simd, scratch);
            for (position, row) in scratch.out.chunks_exact_mut(width).enumerate() {
                let start = heads.start(&heads.out(), unit, position);
                row[..size].copy_from_slice(&self.grad[start..][..size]);
            }
            turn(&mut scratch.turned, keys_width, &scratch.parts[2], width, size);
            let (grad, for_weights) = (&scratch.out, &mut scratch.for_weights);
            product::<S, false>(simd, for_weights, (grad, width), &scratch.turned, size, keys_width);
            let weights = scratch.weights.chunks_exact(keys_width);
            for (grad, p) in for_weights.chunks_exact_mut(keys_width).zip(weights) {
                softmax_back(grad, p);
            }
            let ([q, k, _], [for_q, for_k, for_v]) = (&scratch.parts, &mut scratch.for_parts);
            product::<S, true>(simd, for_v, (&scratch.weights, keys_width), grad, queries, width);
            product::<S, false>(simd, for_q, (for_weights, keys_width), k, keys, width);
            product::<S, true>(simd, for_k, (for_weights, keys_width), q, queries, width);
            self.store(unit);
        }
    }
}

impl Backward<'_, '_> {
    /// Undoes [`Heads::load`].
    #[inline(always)]
    fn store(&mut self, unit: (usize, usize)) {
        let Self { heads, scratch, results, table_sums, table, .. } = self;
        let (size, width, scale) = (heads.size, padded(heads.size), heads.scale());
        for (part, source) in heads.sources.iter().enumerate() {
            for (position, grad) in scratch.for_parts[part].chunks_exact_mut(width).enumerate() {
                if part == 0 {
                    grad.iter_mut().for_each(|x| *x *= scale);
                }
                if part < 2 {
                    if let Some(rope) = &heads.rope {
                        rope.turn(&mut grad[..size], position, true);
                    }
                    if let Some(norm) = &heads.norms[part] {
                        let normed = &scratch.normed[part][position * width..][..width];
                        let inverse = scratch.inverse[part][position];
                        norm.backward(grad, normed, inverse, table_sums, table);
                    }
                }
                let start = heads.start(source, unit, position);
                results[source.operand][start..][..size].copy_from_slice(&grad[..size]);
            }
        }
    }
}
