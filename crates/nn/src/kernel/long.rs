//! Attention of long sequences: block by block of queries and keys, so that there are never more scores than a core's
//! cache holds. Heads are spread over the threads; within a head everything is in a fixed order.

use candle_core::Result;

use super::element::Element;
use super::exp::exp;
use super::heads::{Heads, Loaded, narrow, widen};
use super::places::Rows;
use super::product::{Into, Matrix, Threads, product};
use super::row_norm::Table;
use super::small::padded;
use super::{for_each, lanes, vectorised};

/// Queries and keys of a block: their scores and the scores' gradients stay in a core's second-level cache.
const QUERIES: usize = 128;
const KEYS: usize = 256;

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Unit {
    block: usize,
    sequence: usize,
    head: usize,
}

/// A block of queries against a block of keys.
#[derive(Clone, Copy)]
struct Block {
    first_query: usize,
    queries: usize,
    first_key: usize,
    keys: usize,
}

impl Block {
    /// Keys that a query of the block sees.
    #[inline(always)]
    fn seen(&self, query: usize, causal: bool) -> usize {
        if causal {
            (self.first_query + query + 1).saturating_sub(self.first_key).min(self.keys)
        } else {
            self.keys
        }
    }
}

impl Heads {
    /// Attention of every head; keeps the logarithms of the sums.
    pub(super) fn forward_long<E: Element>(&self, operands: &[&[E]], table: &Table, out: &mut [E]) {
        let [queries, keys] = self.lengths;
        let units = self.long_units(out.len() / self.out_block());
        let mut log_sums = vec![0f32; units.len() * queries];
        let [places] = self.places(out, [self.out()], [queries], units.len());
        let tasks = units.iter().zip(places).zip(log_sums.chunks_exact_mut(queries));
        for_each(units.len() * queries * keys, tasks, |((unit, out), log_sums)| {
            let mut loaded = self.loaded();
            self.load_unit(&mut loaded, operands, table, *unit);
            self.attend_unit(&loaded.parts, log_sums, out);
        });
        // The first run's stay; another would find the same.
        let _ = self.log_sums.host.set(log_sums);
    }

    /// Writes the operands' gradients; returns those of the table.
    pub(super) fn backward_long<E: Element>(
        &self,
        operands: &[&[E]],
        table: &Table,
        (y, grad): (&[E], &[E]),
        results: &mut [&mut [E]],
    ) -> Result<Vec<f32>> {
        let [queries, keys] = self.lengths;
        let units = self.long_units(y.len() / self.out_block());
        let mut sums = vec![0f32; units.len() * table.len()];
        let Some(log_sums) = self.log_sums.host.get() else {
            candle_core::bail!("attention went backward without having gone forward");
        };
        let mut places = self.result_places(results, units.len());
        let mut sum_rest = sums.as_mut_slice();
        let tasks = units.iter().enumerate().map(|(index, unit)| {
            let (own, rest) = std::mem::take(&mut sum_rest).split_at_mut(table.len());
            sum_rest = rest;
            let places = places.each_mut().map(|part| std::mem::take(&mut part[index]));
            (*unit, &log_sums[index * queries..][..queries], places, own)
        });
        for_each(units.len() * queries * keys, tasks, |(unit, log_sums, mut places, table_sums)| {
            let mut loaded = self.loaded();
            self.load_unit(&mut loaded, operands, table, unit);
            let (along, grads) = self.read_grads(unit, y, grad);
            let mut for_parts = self.attend_unit_back(&loaded.parts, &grads, &along, log_sums);
            vectorised(
                #[inline(always)]
                || {
                    for (part, place) in places.iter_mut().enumerate() {
                        let rows = for_parts[part].chunks_exact_mut(padded(self.size));
                        for (position, (row, place)) in rows.zip(place).enumerate() {
                            self.unload(part, position, row, &loaded, table_sums, table);
                            narrow(place, row);
                        }
                    }
                },
            );
        });
        let mut total = vec![0f32; table.len()];
        if !total.is_empty() {
            sums.chunks_exact(table.len()).for_each(|sums| lanes::add(&mut total, sums));
        }
        Ok(total)
    }

    fn long_units(&self, blocks: usize) -> Vec<Unit> {
        (0..blocks * self.inner * self.heads)
            .map(|index| Unit {
                block: index / (self.inner * self.heads),
                sequence: index / self.heads % self.inner,
                head: index % self.heads,
            })
            .collect()
    }

    fn load_unit<E: Element>(&self, loaded: &mut Loaded, operands: &[&[E]], table: &Table, unit: Unit) {
        let own: Vec<&[E]> = operands
            .iter()
            .enumerate()
            .map(|(i, operand)| &operand[unit.block * self.block(i)..][..self.block(i)])
            .collect();
        vectorised(
            #[inline(always)]
            || self.load(loaded, &own, table, (unit.sequence, unit.head)),
        );
    }

    /// The result's gradient, rows padded, and each row's sum of gradient times result.
    fn read_grads<E: Element>(&self, unit: Unit, y: &[E], grad: &[E]) -> (Vec<f32>, Vec<f32>) {
        let width = padded(self.size);
        let mut along = vec![0f32; self.lengths[0]];
        let mut rows = vec![0f32; self.lengths[0] * width];
        let block = unit.block * self.out_block();
        vectorised(
            #[inline(always)]
            || {
                for (position, (row, along)) in rows.chunks_exact_mut(width).zip(&mut along).enumerate() {
                    let start = block + self.start(&self.out(), (unit.sequence, unit.head), position);
                    widen(row, &grad[start..][..self.size]);
                    *along = lanes::dot(&y[start..][..self.size], &row[..self.size]);
                }
            },
        );
        (along, rows)
    }

    /// Blocks of queries and keys that have anything to do with each other, by queries.
    fn key_blocks(&self, first_query: usize, queries: usize) -> impl Iterator<Item = Block> {
        let keys = if self.causal { first_query + queries } else { self.lengths[1] };
        (0..keys).step_by(KEYS).map(move |first_key| Block {
            first_query,
            queries,
            first_key,
            keys: KEYS.min(keys - first_key),
        })
    }

    fn query_blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let length = self.lengths[0];
        (0..length).step_by(QUERIES).map(move |first| (first, QUERIES.min(length - first)))
    }

    /// `q kᵀ` of a block, in rows of `block.keys`.
    fn score(&self, scores: &mut [f32], [q, k, _]: &[Vec<f32>; 3], block: Block) {
        let width = padded(self.size);
        let q = Matrix::rows(&q[block.first_query * width..], width);
        let k = Matrix::rows(&k[block.first_key * width..], width).turned();
        let sizes = [block.queries, block.keys, self.size];
        product((scores, block.keys), q, k, sizes, Into::Replace, Threads::One);
    }

    /// Forward of one head.
    fn attend_unit<E: Element>(&self, parts: &[Vec<f32>; 3], log_sums: &mut [f32], mut out: Rows<'_, E>) {
        let width = padded(self.size);
        let mut scores = vec![0f32; QUERIES * KEYS.min(self.lengths[1])];
        let mut sums = vec![0f32; QUERIES * width];
        for (first_query, queries) in self.query_blocks() {
            // Of each query so far: the largest score and the sum of the exponentials.
            let mut most = [f32::NEG_INFINITY; QUERIES];
            let mut totals = [0f32; QUERIES];
            for block in self.key_blocks(first_query, queries) {
                self.score(&mut scores, parts, block);
                vectorised(
                    #[inline(always)]
                    || {
                        for (query, row) in scores.chunks_exact_mut(block.keys).take(queries).enumerate() {
                            let seen = block.seen(query, self.causal);
                            let factor = weigh(row, seen, &mut most[query], &mut totals[query]);
                            if block.first_key > 0 {
                                sums[query * width..][..width].iter_mut().for_each(|sum| *sum *= factor);
                            }
                        }
                    },
                );
                let weights = Matrix::rows(&scores, block.keys);
                let values = Matrix::rows(&parts[2][block.first_key * width..], width);
                let into = if block.first_key == 0 { Into::Replace } else { Into::Add };
                product(
                    (&mut sums, width),
                    weights,
                    values,
                    [queries, self.size, block.keys],
                    into,
                    Threads::One,
                );
            }
            vectorised(
                #[inline(always)]
                || {
                    for (query, place) in out[first_query..][..queries].iter_mut().enumerate() {
                        let share = 1.0 / totals[query];
                        for (place, sum) in place.iter_mut().zip(&sums[query * width..]) {
                            *place = E::narrow(sum * share);
                        }
                        log_sums[first_query + query] = most[query] + totals[query].ln();
                    }
                },
            );
        }
    }

    /// Backward of one head: gradients of queries, keys and values as they were loaded.
    fn attend_unit_back(
        &self,
        parts: &[Vec<f32>; 3],
        grads: &[f32],
        along: &[f32],
        log_sums: &[f32],
    ) -> [Vec<f32>; 3] {
        let width = padded(self.size);
        let room = QUERIES * KEYS.min(self.lengths[1]);
        let (mut weights, mut for_scores) = (vec![0f32; room], vec![0f32; room]);
        let [mut for_q, mut for_k, mut for_v] = self.parts();
        for (first_query, queries) in self.query_blocks() {
            for block in self.key_blocks(first_query, queries) {
                let (query_rows, key_rows) = (first_query * width, block.first_key * width);
                let grad = Matrix::rows(&grads[query_rows..], width);
                let values = Matrix::rows(&parts[2][key_rows..], width).turned();
                self.score(&mut weights, parts, block);
                let sizes = [queries, block.keys, self.size];
                product((&mut for_scores, block.keys), grad, values, sizes, Into::Replace, Threads::One);
                vectorised(
                    #[inline(always)]
                    || {
                        let rows =
                            weights.chunks_exact_mut(block.keys).zip(for_scores.chunks_exact_mut(block.keys));
                        for (query, (weights, for_scores)) in rows.take(queries).enumerate() {
                            let seen = block.seen(query, self.causal);
                            let (along, log_sum) =
                                (along[first_query + query], log_sums[first_query + query]);
                            weigh_back(weights, for_scores, seen, along, log_sum);
                        }
                    },
                );
                let (weights, for_scores) =
                    (Matrix::rows(&weights, block.keys), Matrix::rows(&for_scores, block.keys));
                let (q, k) = (
                    Matrix::rows(&parts[0][query_rows..], width),
                    Matrix::rows(&parts[1][key_rows..], width),
                );
                let sizes = [block.keys, self.size, queries];
                product(
                    (&mut for_v[key_rows..], width),
                    weights.turned(),
                    grad,
                    sizes,
                    Into::Add,
                    Threads::One,
                );
                product(
                    (&mut for_k[key_rows..], width),
                    for_scores.turned(),
                    q,
                    sizes,
                    Into::Add,
                    Threads::One,
                );
                let sizes = [queries, self.size, block.keys];
                product((&mut for_q[query_rows..], width), for_scores, k, sizes, Into::Add, Threads::One);
            }
        }
        [for_q, for_k, for_v]
    }
}

/// Scores to exponentials against the largest so far; returns what earlier sums have to be multiplied by.
#[inline(always)]
fn weigh(row: &mut [f32], seen: usize, most: &mut f32, total: &mut f32) -> f32 {
    let (seen, hidden) = row.split_at_mut(seen);
    hidden.fill(0.0);
    let before = *most;
    let after = lanes::most(seen, before);
    // Nothing was seen so far and nothing is now: no weight, and no difference of infinities.
    if after == f32::NEG_INFINITY {
        return 1.0;
    }
    seen.iter_mut().for_each(|x| *x = exp(*x - after));
    let factor = if before == f32::NEG_INFINITY { 0.0 } else { exp(before - after) };
    *total = *total * factor + lanes::sum(seen, |x| x);
    *most = after;
    factor
}

/// Scores to probabilities, and the probabilities' gradient to the scores'.
#[inline(always)]
fn weigh_back(weights: &mut [f32], for_scores: &mut [f32], seen: usize, along: f32, log_sum: f32) {
    let (seen_weights, hidden_weights) = weights.split_at_mut(seen);
    let (seen_scores, hidden_scores) = for_scores.split_at_mut(seen);
    hidden_weights.fill(0.0);
    hidden_scores.fill(0.0);
    for (weight, for_score) in seen_weights.iter_mut().zip(seen_scores) {
        *weight = exp(*weight - log_sum);
        *for_score = *weight * (*for_score - along);
    }
}
