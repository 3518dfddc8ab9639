//! The kernel distance of two sets: beside the Fréchet distance, with no Gaussian and no bias from the sets' sizes.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Features, Result};

const METRIC: &str = "kernel distance";

/// Rows of one product: no matrix of kernels is larger than this squared, however large the sets are.
const BLOCK: usize = 128;

/// `distance = within_first + within_second - 2 across`, means of the kernel `(x . y / D + 1)^3`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelDistance {
    /// Unbiased estimate of the squared maximum mean discrepancy; below 0 for about half of all equal sets.
    pub distance: f64,
    /// Mean over pairs of different clips of the first set.
    pub within_first: f64,
    /// Mean over pairs of different clips of the second set.
    pub within_second: f64,
    /// Mean over pairs of a clip of each set.
    pub across: f64,
}

/// The unbiased polynomial kernel distance (KVD; Bińkowski et al. 2018) of features `(N1, D)` and `(N2, D)`.
///
/// All in f64, for features with large means make the difference lose digits; on any number of threads the same bits.
///
/// ```
/// use cola_metrics::{Features, kernel_distance};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let (x, y) = (Features::new(1, vec![0.0, 1.0])?, Features::new(1, vec![1.0, 1.0])?);
/// let found = kernel_distance(&x, &y)?; // k(0, 1) = 1, k(1, 1) = 8
/// assert_eq!([found.within_first, found.within_second, found.across], [1.0, 8.0, 4.5]);
/// assert_eq!(found.distance, 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Sets of different widths or of fewer than 2 clips; numbers so large that a kernel overflows.
pub fn kernel_distance(first: &Features, second: &Features) -> Result<KernelDistance> {
    if first.width() != second.width() {
        return Err(Error::Widths { metric: METRIC, first: first.width(), second: second.width() });
    }
    for (set, found) in [("the first set", first.count()), ("the second set", second.count())] {
        if found < 2 {
            let mend = "the estimate needs pairs of different clips; add clips";
            return Err(Error::TooFew { metric: METRIC, set, found, least: 2, mend });
        }
    }
    let (within_first, within_second) = (within(first), within(second));
    let across = across(first, second);
    let distance = within_first + within_second - 2.0 * across;
    if !distance.is_finite() {
        return Err(Error::Numerics {
            metric: METRIC,
            what: format!(
                "the means {within_first}, {within_second} and {across} give {distance}; the features are too large"
            ),
        });
    }
    Ok(KernelDistance { distance, within_first, within_second, across })
}

/// The mean over pairs of different rows of one set.
fn within(set: &Features) -> f64 {
    let sum = over_blocks(set.count(), |from, to| {
        // The square on the diagonal, less the diagonal; beyond it every pair stands for two.
        let square = kernels(set, (from, to), set, (from, to), |row, column| row < column);
        let beyond: f64 = blocks(to, set.count()).map(|columns| pairs(set, (from, to), set, columns)).sum();
        square + beyond
    });
    let count = set.count() as f64;
    2.0 * sum / (count * (count - 1.0))
}

/// The mean over pairs of a row of each set.
fn across(first: &Features, second: &Features) -> f64 {
    let sum = over_blocks(first.count(), |from, to| {
        blocks(0, second.count()).map(|columns| pairs(first, (from, to), second, columns)).sum()
    });
    sum / (first.count() as f64 * second.count() as f64)
}

fn pairs(rows: &Features, these: (usize, usize), columns: &Features, those: (usize, usize)) -> f64 {
    kernels(rows, these, columns, those, |_, _| true)
}

/// The sum of the kernels of some rows with others, of those pairs that `counts` says.
fn kernels(
    rows: &Features,
    these: (usize, usize),
    columns: &Features,
    those: (usize, usize),
    counts: impl Fn(usize, usize) -> bool,
) -> f64 {
    let (a, b) = (rows.rows(these.0, these.1), columns.rows(those.0, those.1));
    let mut products = Mat::zeros(a.nrows(), b.nrows());
    let scale = 1.0 / rows.width() as f64;
    matmul(products.as_mut(), Accum::Replace, a, b.transpose(), scale, Par::Seq);
    (0..b.nrows())
        .map(|column| {
            let kernels = products.col(column).iter().enumerate().map(|(row, product)| {
                let kernel = (product + 1.0) * (product + 1.0) * (product + 1.0);
                if counts(row, column) { kernel } else { 0.0 }
            });
            kernels.sum::<f64>()
        })
        .sum()
}

/// The sum over blocks of rows, computed on all threads and added up in order.
fn over_blocks(count: usize, sum: impl Fn(usize, usize) -> f64 + Sync) -> f64 {
    let sums: Vec<f64> = (0..count.div_ceil(BLOCK))
        .into_par_iter()
        .map(|at| sum(at * BLOCK, count.min((at + 1) * BLOCK)))
        .collect();
    sums.iter().sum()
}

/// Blocks of `from..to`.
fn blocks(from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    (from..to).step_by(BLOCK).map(move |start| (start, to.min(start + BLOCK)))
}
