//! The Fréchet distance of two Gaussians.

use faer::{Mat, MatRef, Side};
use serde::{Deserialize, Serialize};

use crate::{Covariance, Error, Features, Moments, Result};

const METRIC: &str = "Fréchet distance";

/// How far below zero, as a share of both traces, rounding may bring a distance or an eigenvalue.
const ROUNDING: f64 = 1e-6;

/// `distance = mean_term + trace_first + trace_second - 2 trace_root`, in squared units of the features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frechet {
    /// `|m1 - m2|^2 + tr S1 + tr S2 - 2 tr((S1 S2)^(1/2))`, 0 or more.
    pub distance: f64,
    /// `|m1 - m2|^2`.
    pub mean_term: f64,
    /// `tr S1`.
    pub trace_first: f64,
    /// `tr S2`.
    pub trace_second: f64,
    /// `tr((S1 S2)^(1/2))`.
    pub trace_root: f64,
}

impl Frechet {
    fn new(mean_term: f64, trace_first: f64, trace_second: f64, trace_root: f64) -> Result<Self> {
        let scale = trace_first + trace_second;
        let distance = mean_term + (scale - 2.0 * trace_root);
        // Written so that a NaN fails, too.
        if !(distance.is_finite() && distance >= -ROUNDING * scale) {
            return Err(Error::Numerics {
                metric: METRIC,
                what: format!(
                    "mean term {mean_term}, traces {trace_first} and {trace_second} and trace of the root \
                     {trace_root} give {distance}; the numbers are too large, or the matrices no covariances"
                ),
            });
        }
        Ok(Self { distance: distance.max(0.0), mean_term, trace_first, trace_second, trace_root })
    }
}

/// The distance of the Gaussians fitted to two sets of features `(N1, D)` and `(N2, D)`.
///
/// With `A = (X1 - m1) / sqrt(N1 - 1)` and `B` alike, the trace of the root is the nuclear norm of `A B^T`: no covariance
/// is squared away and no threshold is needed, so sets of fewer clips than features are exact. A set of more clips than
/// features goes through the triangle of its QR decomposition.
///
/// ```
/// use cola_metrics::{Covariance, Features, frechet_from_features};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let real = Features::new(1, vec![0.0, 2.0])?; // mean 1, variance 2
/// let generated = Features::new(1, vec![3.0, 7.0])?; // mean 5, variance 8
/// let found = frechet_from_features(&real, &generated, Covariance::Unbiased)?;
/// assert!((found.distance - (16.0 + 2.0 + 8.0 - 2.0 * 4.0)).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Sets of different widths or of fewer than 2 clips; numbers too large for f64.
pub fn frechet_from_features(first: &Features, second: &Features, rule: Covariance) -> Result<Frechet> {
    agree(first.width(), second.width())?;
    enough(first.count() as u64, second.count() as u64)?;
    let origin = first.rough_mean();
    let ((a, here), (b, there)) = rayon::join(|| first.centred(&origin), || second.centred(&origin));
    let (one, two) = (rule.divisor(a.nrows() as u64), rule.divisor(b.nrows() as u64));
    let (trace_first, trace_second) = (a.squared_norm_l2() / one, b.squared_norm_l2() / two);
    let (a, b) = rayon::join(|| compact(a), || compact(b));
    let trace_root = nuclear_norm(&a * b.transpose())? / (one * two).sqrt();
    Frechet::new(squared_distance(&here, &there), trace_first, trace_second, trace_root)
}

/// The distance of the Gaussians of two sets that were only streamed.
///
/// # Errors
/// Sets of different widths or of fewer than 2 clips; numbers too large for f64.
pub fn frechet_from_moments(first: &Moments, second: &Moments, rule: Covariance) -> Result<Frechet> {
    agree(first.width(), second.width())?;
    enough(first.count(), second.count())?;
    let width = first.width();
    let (one, two) = (first.covariance(rule)?, second.covariance(rule)?);
    let sigma = |values| MatRef::from_row_major_slice(values, width, width);
    // N centred rows span N - 1 dimensions at most: what lies beyond is rounding.
    let rank = |count: u64| usize::try_from(count - 1).unwrap_or(usize::MAX);
    let mean_term = squared_distance(&first.mean(), &second.mean());
    from_covariances(mean_term, (sigma(&one), rank(first.count())), (sigma(&two), rank(second.count())))
}

/// The distance of two Gaussians given by means `[D]` and covariances `(D, D)`, row-major.
///
/// Eigenvalues below `epsilon D` times the largest are taken for 0: the root would turn rounding of 1e-16 into 1e-8.
///
/// ```
/// use cola_metrics::frechet_from_statistics;
///
/// # fn main() -> cola_metrics::Result<()> {
/// let found = frechet_from_statistics(&[0.0, 3.0], &[1.0, 0.0, 0.0, 4.0], &[0.0, 0.0], &[9.0, 0.0, 0.0, 4.0])?;
/// assert!((found.distance - (9.0 + 4.0)).abs() < 1e-12); // |m1 - m2|^2 + (1 - 3)^2 + (2 - 2)^2
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Statistics of different or no widths; numbers that are not finite; a matrix that is no covariance: not symmetric or
/// with an eigenvalue clearly below 0.
pub fn frechet_from_statistics(mu1: &[f64], sigma1: &[f64], mu2: &[f64], sigma2: &[f64]) -> Result<Frechet> {
    agree(mu1.len(), mu2.len())?;
    check_statistics("first statistics", mu1, sigma1)?;
    check_statistics("second statistics", mu2, sigma2)?;
    let width = mu1.len();
    let sigma = |values| (MatRef::from_row_major_slice(values, width, width), width);
    from_covariances(squared_distance(mu1, mu2), sigma(sigma1), sigma(sigma2))
}

/// From symmetric matrices, each with the largest rank it can have.
fn from_covariances(
    mean_term: f64,
    (sigma1, rank1): (MatRef<'_, f64>, usize),
    (sigma2, rank2): (MatRef<'_, f64>, usize),
) -> Result<Frechet> {
    let trace = |sigma: MatRef<'_, f64>| (0..sigma.nrows()).map(|at| sigma[(at, at)]).sum::<f64>();
    let (first, second) = rayon::join(|| factor(sigma1, rank1), || factor(sigma2, rank2));
    let trace_root = nuclear_norm(first? * second?.transpose())?;
    Frechet::new(mean_term, trace(sigma1), trace(sigma2), trace_root)
}

/// `F` of `S = F^T F`, `(r, D)`: one row for each eigenvalue that is not rounding, `rank` at most.
fn factor(sigma: MatRef<'_, f64>, rank: usize) -> Result<Mat<f64>> {
    let width = sigma.nrows();
    let eigen = sigma.self_adjoint_eigen(Side::Lower).map_err(|error| Error::Numerics {
        metric: METRIC,
        what: format!("the eigenvalues of a covariance were not found: {error:?}"),
    })?;
    // In rising order.
    let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
    let (least, most) = (values[0], values[width - 1]);
    let positive = least >= -ROUNDING * most.abs();
    if !positive {
        return Err(Error::Numerics {
            metric: METRIC,
            what: format!("a covariance has eigenvalues from {least} to {most}; none may be below 0"),
        });
    }
    let threshold = f64::EPSILON * width as f64 * most;
    let kept: Vec<usize> = (width.saturating_sub(rank)..width)
        .filter(|at| values[*at] > 0.0 && values[*at] >= threshold)
        .collect();
    let vectors = eigen.U();
    Ok(Mat::from_fn(kept.len(), width, |row, column| values[kept[row]].sqrt() * vectors[(column, kept[row])]))
}

/// Rows with the same sum of outer products, not more of them than columns.
fn compact(rows: Mat<f64>) -> Mat<f64> {
    if rows.nrows() <= rows.ncols() { rows } else { rows.qr().thin_R().to_owned() }
}

/// The sum of the singular values.
fn nuclear_norm(matrix: Mat<f64>) -> Result<f64> {
    // A decomposition of such entries may not end.
    if !(0..matrix.ncols()).all(|column| matrix.col(column).iter().all(|value| value.is_finite())) {
        let what = "the features are so large that their products are not finite".into();
        return Err(Error::Numerics { metric: METRIC, what });
    }
    let values = matrix.singular_values().map_err(|error| Error::Numerics {
        metric: METRIC,
        what: format!("singular values were not found: {error:?}"),
    })?;
    Ok(values.iter().sum())
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn agree(first: usize, second: usize) -> Result<()> {
    if first == second { Ok(()) } else { Err(Error::Widths { metric: METRIC, first, second }) }
}

fn enough(first: u64, second: u64) -> Result<()> {
    for (set, found) in [("the first set", first), ("the second set", second)] {
        if found < 2 {
            return Err(Error::TooFew {
                metric: METRIC,
                set,
                found: found as usize,
                least: 2,
                mend: "one clip has no covariance; add clips",
            });
        }
    }
    Ok(())
}

fn check_statistics(what: &'static str, mu: &[f64], sigma: &[f64]) -> Result<()> {
    let width = mu.len();
    if width == 0 || Some(sigma.len()) != width.checked_mul(width) {
        return Err(Error::Setting {
            field: what,
            found: format!("a mean of {width} numbers and a covariance of {}", sigma.len()),
            expected: "D and D x D numbers, D at least 1",
        });
    }
    if let Some(at) = mu.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { what, value: mu[at], index: vec![at] });
    }
    if let Some(at) = sigma.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { what, value: sigma[at], index: vec![at / width, at % width] });
    }
    let most = sigma.iter().fold(0f64, |most, value| most.max(value.abs()));
    for row in 0..width {
        for column in 0..row {
            let (here, there) = (sigma[row * width + column], sigma[column * width + row]);
            if (here - there).abs() > ROUNDING * most {
                return Err(Error::Setting {
                    field: what,
                    found: format!("{here} at [{row}, {column}] and {there} across"),
                    expected: "a symmetric covariance",
                });
            }
        }
    }
    Ok(())
}
