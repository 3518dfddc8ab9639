//! Sums with many independent accumulators: a single one would neither vectorise nor be as precise.

use super::element::Element;

const LANES: usize = 16;

/// Sum of the accumulators, halves first.
#[inline(always)]
pub(super) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Sum of `term(x)`.
#[inline(always)]
pub(crate) fn sum<E: Element>(x: &[E], term: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += term(x.widen());
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += term(x.widen());
    }
    fold(lanes)
}

/// Sum of `x y`.
#[inline(always)]
pub(crate) fn dot<E: Element>(x: &[E], y: &[f32]) -> f32 {
    let ((x_blocks, x_rest), (y_blocks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [0f32; LANES];
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane].widen() * y[lane];
        }
    }
    for ((lane, x), y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += x.widen() * y;
    }
    fold(lanes)
}

/// The largest of `start` and the numbers; NaNs are passed over.
#[inline(always)]
pub(crate) fn most(x: &[f32], start: f32) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(start, |a, b| if b > a { b } else { a })
}

/// `total += x`, element by element.
#[inline(always)]
pub(crate) fn add<E: Element>(total: &mut [f32], x: &[E]) {
    for (total, x) in total.iter_mut().zip(x) {
        *total += x.widen();
    }
}

/// `total += x y`, element by element.
#[inline(always)]
pub(crate) fn add_product<E: Element, F: Element>(total: &mut [f32], x: &[E], y: &[F]) {
    for ((total, x), y) in total.iter_mut().zip(x).zip(y) {
        *total += x.widen() * y.widen();
    }
}
