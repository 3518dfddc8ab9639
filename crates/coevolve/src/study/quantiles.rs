//! Real actions in units that a probe and an adapter can share: the 1 % and 99 % quantiles become -1 and 1.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::study::StudyError;

/// A line for each action dimension, from the data set's own units to `[-1, 1]`; values outside the quantiles go beyond.
///
/// The quantiles are those of the train split and are stored with whatever was fitted in these units. A dimension whose
/// two quantiles coincide (a gripper that hardly ever moves) is spread by its smallest and largest value instead; one
/// that never changes at all becomes 0, and keeps its unit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_coevolve::Quantiles;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let values: Vec<f32> = (0..=100).flat_map(|i| [i as f32, 7.0]).collect();
/// let actions = Tensor::from_vec(values, (101, 2), &Device::Cpu)?; // 0 to 100, and a constant
/// let quantiles = Quantiles::fit(&actions)?;
/// assert_eq!((quantiles.low(), quantiles.high()), (&[1.0, 6.0][..], &[99.0, 8.0][..]));
/// let scaled = quantiles.normalise(&Tensor::new(&[[50f32, 7.0], [99.0, 7.0]], &Device::Cpu)?)?;
/// assert_eq!(scaled.to_vec2::<f64>()?, [[0.0, 0.0], [1.0, 0.0]]);
/// assert_eq!(quantiles.restore(&scaled)?.to_vec2::<f64>()?, [[50.0, 7.0], [99.0, 7.0]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Bounds", into = "Bounds")]
pub struct Quantiles {
    bounds: Bounds,
}

/// What becomes -1 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Quantiles {
    /// Of the train split's actions `(M, A)`; between two samples a quantile is interpolated.
    ///
    /// # Errors
    /// [`StudyError::FewTransitions`] without any row, [`StudyError::NotFinite`].
    pub fn fit(actions: &Tensor) -> Result<Self, Error> {
        let columns = actions.to_dtype(DType::F64)?.t()?.contiguous()?.to_vec2::<f64>()?;
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for mut column in columns {
            if column.is_empty() {
                return Err(StudyError::FewTransitions { found: 0 }.into());
            }
            StudyError::if_not_finite("the actions", &column)?;
            column.sort_by(f64::total_cmp);
            let (first, last) = (column[0], column[column.len() - 1]);
            // Far from zero, one more and one less are the same number.
            let unit = 1f64.max(4.0 * f64::EPSILON * first.abs());
            let inner = (quantile(&column, 0.01), quantile(&column, 0.99));
            let (from, to) = [inner, (first, last)]
                .into_iter()
                .find(|(from, to)| from < to)
                .unwrap_or((first - unit, first + unit));
            low.push(from);
            high.push(to);
        }
        Ok(Self::new(low, high)?)
    }

    /// From the values that become -1 and those that become 1, one each for a dimension.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`]: not as many of one as of the other, or a pair that is not finite and rising.
    pub fn new(low: Vec<f64>, high: Vec<f64>) -> Result<Self, StudyError> {
        let fail = |found, expected: &str| StudyError::Mismatch {
            what: "quantiles",
            found,
            expected: expected.into(),
        };
        if low.len() != high.len() || low.is_empty() {
            let found = format!("{} lower and {} upper bounds", low.len(), high.len());
            return Err(fail(found, "one of each for every action dimension"));
        }
        // The width itself, since bounds far apart can overflow it.
        match low.iter().zip(&high).position(|(low, high)| !((high - low).is_finite() && low < high)) {
            Some(at) => Err(fail(
                format!("{} to {} in dimension {at}", low[at], high[at]),
                "finite numbers, the lower one first",
            )),
            None => Ok(Self { bounds: Bounds { low, high } }),
        }
    }

    /// What becomes -1, one for each dimension.
    pub fn low(&self) -> &[f64] {
        &self.bounds.low
    }

    /// What becomes 1, one for each dimension.
    pub fn high(&self) -> &[f64] {
        &self.bounds.high
    }

    /// Action dimensions, `A`.
    pub fn dims(&self) -> usize {
        self.bounds.low.len()
    }

    /// `(..., A)` in the data set's units to `(..., A)` f64.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`] for another `A`.
    pub fn normalise(&self, actions: &Tensor) -> Result<Tensor, Error> {
        let (centre, half) = self.line(actions)?;
        Ok(actions.to_dtype(DType::F64)?.broadcast_sub(&centre)?.broadcast_div(&half)?)
    }

    /// The inverse of [`Quantiles::normalise`], `(..., A)` to `(..., A)` f64.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`] for another `A`.
    pub fn restore(&self, normalised: &Tensor) -> Result<Tensor, Error> {
        let (centre, half) = self.line(normalised)?;
        Ok(normalised.to_dtype(DType::F64)?.broadcast_mul(&half)?.broadcast_add(&centre)?)
    }

    /// What becomes 0 and how far from it 1 is, after a look at the last dimension.
    fn line(&self, actions: &Tensor) -> Result<(Tensor, Tensor), Error> {
        if actions.dims().last() != Some(&self.dims()) {
            let mismatch = StudyError::Mismatch {
                what: "action dimensions",
                found: format!("{:?}", actions.dims()),
                expected: format!("{} last", self.dims()),
            };
            return Err(mismatch.into());
        }
        let each = |number: fn(f64, f64) -> f64| {
            let values = self.low().iter().zip(self.high()).map(|(low, high)| number(*low, *high));
            Tensor::from_vec(values.collect::<Vec<f64>>(), self.dims(), actions.device())
        };
        Ok((each(|low, high| low + (high - low) / 2.0)?, each(|low, high| (high - low) / 2.0)?))
    }
}

impl TryFrom<Bounds> for Quantiles {
    type Error = StudyError;

    fn try_from(Bounds { low, high }: Bounds) -> Result<Self, StudyError> {
        Self::new(low, high)
    }
}

impl From<Quantiles> for Bounds {
    fn from(quantiles: Quantiles) -> Self {
        quantiles.bounds
    }
}

/// Of sorted values, at least one: linear between the two nearest.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    match sorted.get(below + 1) {
        Some(above) => sorted[below] + part * (above - sorted[below]),
        None => sorted[below],
    }
}
