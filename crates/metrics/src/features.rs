//! What a network says about a set of clips.

use candle_core::{DType, Tensor};
use faer::{Mat, MatRef};

use crate::{Error, Result};

/// Feature vectors of a set, one row a clip, in f64; all finite.
///
/// ```
/// use cola_metrics::Features;
///
/// # fn main() -> cola_metrics::Result<()> {
/// let features = Features::from_f32(3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!((features.count(), features.width()), (2, 3));
/// assert!(Features::from_f32(3, &[1.0, f32::NAN, 3.0]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    width: usize,
    values: Vec<f64>,
}

impl Features {
    /// From `(N, width)` numbers, row-major; no numbers are a set of no clips.
    ///
    /// # Errors
    /// A width of 0, numbers that are no whole rows, a number that is not finite (the index gives row and column).
    pub fn new(width: usize, values: Vec<f64>) -> Result<Self> {
        check_rows(width, &values)?;
        Ok(Self { width, values })
    }

    /// As [`Features::new`], from what networks compute in.
    ///
    /// # Errors
    /// As [`Features::new`].
    pub fn from_f32(width: usize, values: &[f32]) -> Result<Self> {
        Self::new(width, values.iter().map(|value| f64::from(*value)).collect())
    }

    /// From a tensor `(N, D)` of floating-point numbers. Its graph is left behind.
    ///
    /// # Errors
    /// A tensor of another rank; as [`Features::new`].
    pub fn from_tensor(features: &Tensor) -> Result<Self> {
        let Ok((_, width)) = features.dims2() else {
            return Err(Error::Setting {
                field: "features",
                found: format!("a tensor of shape {:?}", features.dims()),
                expected: "(N, D)",
            });
        };
        Self::new(width, features.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
    }

    /// Clips, `N`.
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    /// Numbers a clip, `D`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All numbers, `(N, D)` row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Rows `from..to` as a matrix.
    pub(crate) fn rows(&self, from: usize, to: usize) -> MatRef<'_, f64> {
        let values = &self.values[from * self.width..to * self.width];
        MatRef::from_row_major_slice(values, to - from, self.width)
    }

    /// The mean of the rows, to the rounding of the sum of `N` numbers. At least one row.
    pub(crate) fn rough_mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.width];
        for row in self.values.chunks_exact(self.width) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
        }
        let count = self.count() as f64;
        mean.iter_mut().for_each(|mean| *mean /= count);
        mean
    }

    /// The rows less their mean `(N, D)`, and that mean less `origin`. At least one row.
    ///
    /// With an origin near the mean neither loses digits, however far both are from zero.
    pub(crate) fn centred(&self, origin: &[f64]) -> (Mat<f64>, Vec<f64>) {
        let shifted = Self {
            width: self.width,
            values: self
                .values
                .chunks_exact(self.width)
                .flat_map(|row| row.iter().zip(origin).map(|(value, origin)| value - origin))
                .collect(),
        };
        let offset = shifted.rough_mean();
        let rows = Mat::from_fn(self.count(), self.width, |row, column| {
            shifted.values[row * self.width + column] - offset[column]
        });
        (rows, offset)
    }
}

/// Refuses numbers that are no whole rows, and numbers that are not finite.
pub(crate) fn check_rows<T: Copy + Into<f64>>(width: usize, values: &[T]) -> Result<()> {
    if width == 0 || !values.len().is_multiple_of(width) {
        return Err(Error::Setting {
            field: "features",
            found: format!("{} numbers in rows of {width}", values.len()),
            expected: "whole rows of one number or more",
        });
    }
    match values.iter().position(|value| !(*value).into().is_finite()) {
        Some(at) => Err(Error::NotFinite {
            what: "features",
            value: values[at].into(),
            index: vec![at / width, at % width],
        }),
        None => Ok(()),
    }
}
