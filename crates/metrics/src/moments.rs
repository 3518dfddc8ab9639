//! Mean and covariance of any number of feature vectors, row after row, worker by worker.

mod file;

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, MatMut, MatRef, Par};

use crate::features::check_rows;
use crate::{Covariance, Error, Result};

/// Rows that wait until they enter the sums together: one matrix product instead of as many outer products.
const BLOCK: usize = 64;

/// Count, mean and `M2 = sum of (x - mean)(x - mean)^T` of rows of `D` numbers, in f64 (Chan, Golub and LeVeque 1979).
///
/// Memory is that of one `D x D` matrix and 64 rows, however many rows come. The same rows in the same order give the
/// same bits however they are split over calls of [`Moments::add`]; split over merged parts they agree to about 1e-12.
/// Sums of squares about the running mean keep the digits that sums about zero lose where means are large.
///
/// ```
/// use cola_metrics::{Covariance, Moments};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let mut first = Moments::new(1);
/// first.add(&[1.0f32, 2.0])?;
/// let mut second = Moments::new(1);
/// second.add(&[3.0f64])?;
/// first.merge(&second)?;
/// assert_eq!((first.count(), first.mean()), (3, vec![2.0]));
/// assert_eq!(first.covariance(Covariance::Unbiased)?, [1.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Moments {
    /// Rows in `mean` and `m2`; those that wait are not among them.
    count: u64,
    mean: Vec<f64>,
    /// Row-major; only the lower triangle is kept up.
    m2: Vec<f64>,
    waiting: Vec<f64>,
}

impl Moments {
    /// Of no rows yet, each of `width` numbers. (A width of 0 takes no rows at all.)
    pub fn new(width: usize) -> Self {
        Self { count: 0, mean: vec![0.0; width], m2: vec![0.0; width * width], waiting: Vec::new() }
    }

    /// Numbers a row, `D`.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Rows so far.
    pub fn count(&self) -> u64 {
        self.count + (self.waiting.len() / self.width().max(1)) as u64
    }

    /// Adds rows `(N, D)`, row-major, of f32 or f64; none are fine.
    ///
    /// # Errors
    /// Numbers that are no whole rows, or one that is not finite (the index gives its row and column in `rows`);
    /// nothing is added then.
    pub fn add<T: Copy + Into<f64>>(&mut self, rows: &[T]) -> Result<()> {
        check_rows(self.width(), rows)?;
        for row in rows.chunks_exact(self.width()) {
            self.waiting.extend(row.iter().map(|value| (*value).into()));
            if self.waiting.len() == BLOCK * self.width() {
                self.settle();
            }
        }
        Ok(())
    }

    /// Adds the rows of another part of the set. A part without rows changes nothing.
    ///
    /// # Errors
    /// Another width; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.width() != self.width() {
            return Err(Error::Widths { metric: "moments", first: self.width(), second: other.width() });
        }
        self.settle();
        let mut other = other.clone();
        other.settle();
        self.m2.iter_mut().zip(&other.m2).for_each(|(sum, part)| *sum += part);
        self.take_mean(other.count, &other.mean);
        Ok(())
    }

    /// The mean, `D` numbers; zeros without rows.
    pub fn mean(&self) -> Vec<f64> {
        self.settled().mean
    }

    /// The covariance, `(D, D)` row-major, exactly symmetric.
    ///
    /// # Errors
    /// Fewer than 2 rows; rows so large that their squares overflow.
    pub fn covariance(&self, rule: Covariance) -> Result<Vec<f64>> {
        if self.count() < 2 {
            return Err(Error::TooFew {
                metric: "covariance",
                set: "the set",
                found: self.count() as usize,
                least: 2,
                mend: "add more clips",
            });
        }
        let divisor = rule.divisor(self.count());
        let mut covariance = self.settled().symmetric();
        covariance.iter_mut().for_each(|value| *value /= divisor);
        match covariance.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::Numerics {
                metric: "covariance",
                what: format!("the features are so large that a sum of their products is {value}"),
            }),
            None => Ok(covariance),
        }
    }

    fn settled(&self) -> Self {
        let mut all = self.clone();
        all.settle();
        all
    }

    /// `M2` with the upper triangle filled in, `(D, D)` row-major.
    fn symmetric(&self) -> Vec<f64> {
        let width = self.width();
        let mut full = self.m2.clone();
        for row in 0..width {
            for column in row + 1..width {
                full[row * width + column] = self.m2[column * width + row];
            }
        }
        full
    }

    /// Brings the waiting rows into the sums.
    fn settle(&mut self) {
        let width = self.width();
        if self.waiting.is_empty() {
            return;
        }
        let mut rows = std::mem::take(&mut self.waiting);
        let count = rows.len() / width;
        // The second round takes away what rounding left of the first mean.
        let mut mean = vec![0.0; width];
        for _ in 0..2 {
            let mut left = vec![0.0; width];
            for row in rows.chunks_exact(width) {
                left.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            left.iter_mut().for_each(|sum| *sum /= count as f64);
            for row in rows.chunks_exact_mut(width) {
                row.iter_mut().zip(&left).for_each(|(value, left)| *value -= left);
            }
            mean.iter_mut().zip(&left).for_each(|(mean, left)| *mean += left);
        }
        let centred = MatRef::from_row_major_slice(&rows, count, width);
        matmul(
            MatMut::from_row_major_slice_mut(&mut self.m2, width, width),
            BlockStructure::TriangularLower,
            Accum::Add,
            centred.transpose(),
            BlockStructure::Rectangular,
            centred,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
        self.take_mean(count as u64, &mean);
        rows.clear();
        self.waiting = rows;
    }

    /// Moves the mean to that of both parts; `m2` already holds the sum of both parts' own squares.
    fn take_mean(&mut self, count: u64, mean: &[f64]) {
        if count == 0 {
            return;
        }
        let (here, there) = (self.count as f64, count as f64);
        let (share, weight) = (there / (here + there), here * (there / (here + there)));
        let way: Vec<f64> = mean.iter().zip(&self.mean).map(|(there, here)| there - here).collect();
        for (row, (sums, a)) in self.m2.chunks_exact_mut(way.len()).zip(&way).enumerate() {
            sums[..=row].iter_mut().zip(&way).for_each(|(sum, b)| *sum += weight * (a * b));
        }
        if self.count == 0 {
            // Zero plus the way to a number may be a neighbour of the number.
            self.mean.copy_from_slice(mean);
        } else {
            self.mean.iter_mut().zip(&way).for_each(|(mean, way)| *mean += way * share);
        }
        self.count += count;
    }
}
