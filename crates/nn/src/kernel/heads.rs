//! Attention from rows of tokens to rows of tokens: head norm, rotary positions, softmax and sum in one go, head by head;
//! the backward pass computes the probabilities anew. Here the description, and the loops for short sequences; those for
//! long ones are in [`super::long`].

use std::sync::{Arc, OnceLock};

use pulp::{Simd, WithSimd};

use super::element::Element;
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
    pub(crate) log_sums: LogSums,
}

/// Of every query of a long sequence, for the backward pass: the logarithm of the sum of the exponentials.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSums {
    pub(super) host: OnceLock<Vec<f32>>,
    #[cfg(feature = "cuda")]
    pub(super) device: OnceLock<candle_core::Tensor>,
}

/// One head's queries, keys and values, rows padded.
pub(super) struct Loaded {
    /// Queries, keys and values, ready.
    pub(super) parts: [Vec<f32>; 3],
    /// Queries and keys without their norm's parameters, and what each row was multiplied by.
    normed: [Vec<f32>; 2],
    inverse: [Vec<f32>; 2],
}

/// What a short sequence needs beside them.
pub(super) struct Scratch {
    loaded: Loaded,
    /// Keys, and later values, as columns.
    turned: Vec<f32>,
    weights: Vec<f32>,
    out: Vec<f32>,
    /// Gradients.
    for_parts: [Vec<f32>; 3],
    for_weights: Vec<f32>,
}

impl Heads {
    /// Longest sequence and largest head that are called short; beyond, large matrix products pay.
    const SHORT: usize = 64;
    const SMALL: usize = 128;

    pub(super) fn is_short(&self) -> bool {
        self.lengths[0].max(self.lengths[1]) <= Self::SHORT && self.size <= Self::SMALL
    }

    pub(super) fn part_lengths(&self) -> [usize; 3] {
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

    /// Room for queries, keys and values, or for their gradients.
    pub(super) fn parts(&self) -> [Vec<f32>; 3] {
        self.part_lengths().map(|length| vec![0.0; length * padded(self.size)])
    }

    pub(super) fn loaded(&self) -> Loaded {
        Loaded {
            parts: self.parts(),
            normed: self.lengths.map(|length| vec![0.0; length * padded(self.size)]),
            inverse: self.lengths.map(|length| vec![0.0; length]),
        }
    }

    pub(super) fn scratch(&self) -> Scratch {
        let width = padded(self.size);
        let [queries, keys] = self.lengths;
        Scratch {
            loaded: self.loaded(),
            turned: vec![0.0; width * padded(keys)],
            weights: vec![0.0; queries * padded(keys)],
            out: vec![0.0; queries * width],
            for_parts: self.parts(),
            for_weights: vec![0.0; queries * padded(keys)],
        }
    }

    pub(super) fn scale(&self) -> f32 {
        (1.0 / (self.size as f64).sqrt()) as f32
    }

    /// Every sequence of a block with every head.
    fn units(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let heads = self.heads;
        (0..self.inner).flat_map(move |sequence| (0..heads).map(move |head| (sequence, head)))
    }

    /// The result's place.
    pub(super) fn out(&self) -> Source {
        Source { operand: 0, width: self.heads * self.size, offset: 0 }
    }

    #[inline(always)]
    pub(super) fn start(&self, source: &Source, (sequence, head): (usize, usize), position: usize) -> usize {
        (position * self.inner + sequence) * source.width + source.offset + head * self.size
    }

    /// Norm, positions and scale: one head's numbers from the operands of a block.
    #[inline(always)]
    pub(super) fn load<E: Element>(
        &self,
        loaded: &mut Loaded,
        operands: &[&[E]],
        table: &Table,
        unit: (usize, usize),
    ) {
        let (size, width, scale) = (self.size, padded(self.size), self.scale());
        for (part, source) in self.sources.iter().enumerate() {
            let operand = operands[source.operand];
            for (position, to) in loaded.parts[part].chunks_exact_mut(width).enumerate() {
                let from = &operand[self.start(source, unit, position)..][..size];
                if part == 2 {
                    widen(to, from);
                    continue;
                }
                match &self.norms[part] {
                    Some(norm) => {
                        let normed = &mut loaded.normed[part][position * width..][..width];
                        widen(normed, from);
                        // The centred form leaves zeros in the padding.
                        loaded.inverse[part][position] = norm.forward(to, normed, table);
                    }
                    None => widen(to, from),
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

    /// The way back through [`Heads::load`] of one row's gradient, in place; those of the norm's parameters are added to
    /// `table_sums`.
    #[inline(always)]
    pub(super) fn unload(
        &self,
        part: usize,
        position: usize,
        grad: &mut [f32],
        loaded: &Loaded,
        table_sums: &mut [f32],
        table: &Table,
    ) {
        if part == 0 {
            let scale = self.scale();
            grad.iter_mut().for_each(|x| *x *= scale);
        }
        if part == 2 {
            return;
        }
        if let Some(rope) = &self.rope {
            rope.turn(&mut grad[..self.size], position, true);
        }
        if let Some(norm) = &self.norms[part] {
            let width = grad.len();
            let normed = &loaded.normed[part][position * width..][..width];
            norm.backward(grad, normed, loaded.inverse[part][position], table_sums, table);
        }
    }

    /// Probabilities.
    #[inline(always)]
    fn weigh<S: Simd>(&self, simd: S, scratch: &mut Scratch) {
        let (width, keys) = (padded(self.size), padded(self.lengths[1]));
        turn(&mut scratch.turned, keys, &scratch.loaded.parts[1], width, self.size);
        let queries = (scratch.loaded.parts[0].as_slice(), width);
        product::<S, false>(simd, &mut scratch.weights, queries, &scratch.turned, self.size, keys);
        for (query, row) in scratch.weights.chunks_exact_mut(keys).enumerate() {
            softmax(row, if self.causal { query + 1 } else { self.lengths[1] });
        }
    }
}

/// Reads a number of each cache line, in order. A head's rows lie far apart, and one after the other they would be waited
/// for; this way the whole block comes at the speed of a stream.
#[inline(always)]
fn fetch<E: Element>(values: &[E]) {
    let line = 64 / size_of::<E>();
    std::hint::black_box(values.iter().step_by(line).fold(0.0, |sum, value| sum + value.widen()));
}

/// Reads a row; the padding stays as it is.
#[inline(always)]
pub(super) fn widen<E: Element>(to: &mut [f32], from: &[E]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.widen());
}

/// Writes a row without its padding.
#[inline(always)]
pub(super) fn narrow<E: Element>(to: &mut [E], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = E::narrow(*from));
}

/// A block forward.
pub(super) struct Forward<'a, E> {
    pub(super) heads: &'a Heads,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut [E],
    pub(super) operands: &'a [&'a [E]],
    pub(super) table: &'a Table,
}

impl<E: Element> WithSimd for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { heads, scratch, out, operands, table } = self;
        operands.iter().for_each(|operand| fetch(operand));
        let (width, keys) = (padded(heads.size), heads.lengths[1]);
        for unit in heads.units() {
            heads.load(&mut scratch.loaded, operands, table, unit);
            heads.weigh(simd, scratch);
            let weights = (scratch.weights.as_slice(), padded(keys));
            product::<S, false>(simd, &mut scratch.out, weights, &scratch.loaded.parts[2], keys, width);
            for (position, row) in scratch.out.chunks_exact(width).enumerate() {
                let start = heads.start(&heads.out(), unit, position);
                narrow(&mut out[start..][..heads.size], row);
            }
        }
    }
}

/// A block backward: writes the operands' gradients, adds those of the table.
pub(super) struct Backward<'a, 'b, E> {
    pub(super) heads: &'a Heads,
    pub(super) scratch: &'a mut Scratch,
    pub(super) results: &'a mut [&'b mut [E]],
    pub(super) table_sums: &'a mut [f32],
    pub(super) operands: &'a [&'a [E]],
    pub(super) table: &'a Table,
    pub(super) grad: &'a [E],
}

impl<E: Element> WithSimd for Backward<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let heads = self.heads;
        let (size, width) = (heads.size, padded(heads.size));
        let [queries, keys] = heads.lengths;
        let keys_width = padded(keys);
        self.operands.iter().for_each(|operand| fetch(operand));
        self.results.iter().for_each(|result| fetch(result));
        fetch(self.grad);
        for unit in heads.units() {
            let scratch = &mut *self.scratch;
            heads.load(&mut scratch.loaded, self.operands, self.table, unit);
            heads.weigh(simd, scratch);
            for (position, row) in scratch.out.chunks_exact_mut(width).enumerate() {
                let start = heads.start(&heads.out(), unit, position);
                widen(row, &self.grad[start..][..size]);
            }
            turn(&mut scratch.turned, keys_width, &scratch.loaded.parts[2], width, size);
            let (grad, for_weights) = (&scratch.out, &mut scratch.for_weights);
            product::<S, false>(simd, for_weights, (grad, width), &scratch.turned, size, keys_width);
            let weights = scratch.weights.chunks_exact(keys_width);
            for (grad, p) in for_weights.chunks_exact_mut(keys_width).zip(weights) {
                softmax_back(grad, p);
            }
            let ([q, k, _], [for_q, for_k, for_v]) = (&scratch.loaded.parts, &mut scratch.for_parts);
            product::<S, true>(simd, for_v, (&scratch.weights, keys_width), grad, queries, width);
            product::<S, false>(simd, for_q, (for_weights, keys_width), k, keys, width);
            product::<S, true>(simd, for_k, (for_weights, keys_width), q, queries, width);
            self.store(unit);
        }
    }
}

impl<E: Element> Backward<'_, '_, E> {
    /// Writes the gradients.
    #[inline(always)]
    fn store(&mut self, unit: (usize, usize)) {
        let Self { heads, scratch, results, table_sums, table, .. } = self;
        let Scratch { loaded, for_parts, .. } = &mut **scratch;
        for (part, source) in heads.sources.iter().enumerate() {
            for (position, grad) in for_parts[part].chunks_exact_mut(padded(heads.size)).enumerate() {
                heads.unload(part, position, grad, loaded, table_sums, table);
                let start = heads.start(source, unit, position);
                narrow(&mut results[source.operand][start..][..heads.size], grad);
            }
        }
    }
}
