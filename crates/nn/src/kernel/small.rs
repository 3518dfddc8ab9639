//! Matrices so small that a general product would spend its time on getting ready: the sizes of one attention head.
//!
//! Rows are padded with zeros to whole [`VECTOR`]s, so that no loop has a remainder.

use pulp::Simd;

/// Numbers in a vector; the machine's vectors hold as many or a power of two fewer.
const VECTOR: usize = 8;

/// The padded length of a row.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(VECTOR)
}

/// A vector of a padded row.
pub(crate) type Vector = [f32; VECTOR];

/// A padded row as vectors.
#[inline(always)]
pub(crate) fn vectors(row: &[f32]) -> &[Vector] {
    row.as_chunks().0
}

/// A padded row as vectors.
#[inline(always)]
pub(crate) fn vectors_mut(row: &mut [f32]) -> &mut [Vector] {
    row.as_chunks_mut().0
}

/// `c = a b`, or `aᵀ b` if `TURNED`: `a` has rows of `a_width`, `c` rows of a padded `width`, `b` is `(depth, width)`.
#[inline(always)]
pub(crate) fn product<S: Simd, const TURNED: bool>(
    simd: S,
    c: &mut [f32],
    (a, a_width): (&[f32], usize),
    b: &[f32],
    depth: usize,
    width: usize,
) {
    let (mut fours, mut done) = (c.chunks_exact_mut(4 * width), 0);
    for c in &mut fours {
        product_rows::<S, 4, TURNED>(simd, c, (a, a_width), done, b, depth, width);
        done += 4;
    }
    let mut twos = fours.into_remainder().chunks_exact_mut(2 * width);
    for c in &mut twos {
        product_rows::<S, 2, TURNED>(simd, c, (a, a_width), done, b, depth, width);
        done += 2;
    }
    for c in twos.into_remainder().chunks_exact_mut(width) {
        product_rows::<S, 1, TURNED>(simd, c, (a, a_width), done, b, depth, width);
    }
}

/// Some rows of `c`, two vectors at a time: what is read of `a` then serves both.
#[inline(always)]
fn product_rows<S: Simd, const ROWS: usize, const TURNED: bool>(
    simd: S,
    c: &mut [f32],
    a: (&[f32], usize),
    first: usize,
    b: &[f32],
    depth: usize,
    width: usize,
) {
    let count = width / S::F32_LANES;
    let b = S::as_simd_f32s(b).0;
    let mut at = 0;
    while at + 2 <= count {
        product_block::<S, ROWS, 2, TURNED>(simd, c, a, first, b, at, depth, width);
        at += 2;
    }
    if at < count {
        product_block::<S, ROWS, 1, TURNED>(simd, c, a, first, b, at, depth, width);
    }
}

/// Some vectors of some rows of `c`. Each element is summed by itself in the order of `depth`, each product and sum rounded
/// once: the bits do not depend on how many are taken at once, nor on the machine.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "one place calls it, and every argument is in a register")]
fn product_block<S: Simd, const ROWS: usize, const VECTORS: usize, const TURNED: bool>(
    simd: S,
    c: &mut [f32],
    (a, a_width): (&[f32], usize),
    first: usize,
    b: &[S::f32s],
    at: usize,
    depth: usize,
    width: usize,
) {
    let count = width / S::F32_LANES;
    let rows: [&[f32]; ROWS] =
        std::array::from_fn(|row| if TURNED { &a[..0] } else { &a[(first + row) * a_width..][..depth] });
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (step, b) in b.chunks_exact(count).take(depth).enumerate() {
        let b: &[S::f32s] = &b[at..at + VECTORS];
        let column = if TURNED { &a[step * a_width + first..][..ROWS] } else { &a[..0] };
        for row in 0..ROWS {
            let factor = simd.splat_f32s(if TURNED { column[row] } else { rows[row][step] });
            for vector in 0..VECTORS {
                sums[row][vector] = simd.mul_add_f32s(factor, b[vector], sums[row][vector]);
            }
        }
    }
    for (row, sums) in c.chunks_exact_mut(width).zip(sums) {
        S::as_mut_simd_f32s(row).0[at..at + VECTORS].copy_from_slice(&sums);
    }
}

/// Rows of `width`, of which the first `used` count, to columns: `to` has rows of `to_width`.
#[inline(always)]
pub(crate) fn turn(to: &mut [f32], to_width: usize, from: &[f32], width: usize, used: usize) {
    for (column, row) in from.chunks_exact(width).enumerate() {
        for (index, value) in row[..used].iter().enumerate() {
            to[index * to_width + column] = *value;
        }
    }
}

#[inline(always)]
fn fold(lanes: [f32; VECTOR], join: impl Fn(f32, f32) -> f32) -> f32 {
    let fours = [0, 1, 2, 3].map(|i| join(lanes[i], lanes[i + 4]));
    join(join(fours[0], fours[2]), join(fours[1], fours[3]))
}

/// Softmax of the first `used` numbers of a padded row; zeros after them.
#[inline(always)]
pub(crate) fn softmax(row: &mut [f32], used: usize) {
    let blocks = vectors_mut(row);
    let mut most = [f32::NEG_INFINITY; VECTOR];
    for (block, values) in blocks.iter_mut().enumerate() {
        for (lane, value) in values.iter_mut().enumerate() {
            *value = if block * VECTOR + lane < used { *value } else { f32::NEG_INFINITY };
            most[lane] = if *value > most[lane] { *value } else { most[lane] };
        }
    }
    let most = fold(most, |a, b| if b > a { b } else { a });
    let mut sums = [0f32; VECTOR];
    for (block, values) in blocks.iter_mut().enumerate() {
        // Loops of their own: with a choice among them the exponential would be taken one by one.
        for value in values.iter_mut() {
            *value = super::exp::exp(*value - most);
        }
        for (lane, value) in values.iter_mut().enumerate() {
            *value *= if block * VECTOR + lane < used { 1.0 } else { 0.0 };
        }
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += *value;
        }
    }
    let share = 1.0 / fold(sums, |a, b| a + b);
    for value in row {
        *value *= share;
    }
}

/// The gradient of [`softmax`]: `grad = p (grad - sum(p grad))` on a padded row.
#[inline(always)]
pub(crate) fn softmax_back(grad: &mut [f32], p: &[f32]) {
    let total = dot(vectors(grad), vectors(p));
    for (grad, p) in grad.iter_mut().zip(p) {
        *grad = p * (*grad - total);
    }
}

/// Sum of a padded row.
#[inline(always)]
pub(crate) fn sum(x: &[Vector]) -> f32 {
    let mut sums = [0f32; VECTOR];
    for x in x {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += x;
        }
    }
    fold(sums, |a, b| a + b)
}

/// Sum of products of two padded rows.
#[inline(always)]
pub(crate) fn dot(x: &[Vector], y: &[Vector]) -> f32 {
    let mut sums = [0f32; VECTOR];
    for (x, y) in x.iter().zip(y) {
        for lane in 0..VECTOR {
            sums[lane] += x[lane] * y[lane];
        }
    }
    fold(sums, |a, b| a + b)
}
