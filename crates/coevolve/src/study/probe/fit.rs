//! How far predictions are from the truth: mean absolute error, mean squared error, explained variance.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::study::StudyError;

/// Errors of one action dimension.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionFit {
    /// Mean absolute error.
    pub l1: f64,
    /// Mean squared error.
    pub mse: f64,
    /// `1 - squared error / squared distance from the mean of this very split`. `None` where the truth never changes: no
    /// variance is there to be explained.
    pub r2: Option<f64>,
}

/// Errors over a split, means over samples and dimensions.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_coevolve::Fit;
///
/// # fn main() -> Result<(), cola_coevolve::Error> {
/// let truth = Tensor::new(&[[0.0, 5.0], [2.0, 5.0]], &Device::Cpu)?;
/// let fit = Fit::of(&Tensor::new(&[[0.0, 5.0], [1.0, 6.0]], &Device::Cpu)?, &truth)?;
/// assert_eq!((fit.l1, fit.mse, fit.r2), (0.5, 0.5, Some(0.5)));
/// assert_eq!(fit.dimensions[1].r2, None); // it never changes
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Transitions.
    pub samples: usize,
    /// Mean absolute error, the paper's number.
    pub l1: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Mean of the dimensions that have an `r2`; `None` if none has.
    pub r2: Option<f64>,
    /// Each action dimension.
    pub dimensions: Vec<DimensionFit>,
}

impl Fit {
    /// Of predictions `(M, A)` for a truth `(M, A)`, computed in f64.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`] for other shapes, [`StudyError::FewTransitions`] without rows,
    /// [`StudyError::NotFinite`] for predictions that are not numbers.
    pub fn of(prediction: &Tensor, truth: &Tensor) -> Result<Self, Error> {
        let (samples, _) = truth.dims2()?;
        if prediction.dims() != truth.dims() {
            let (found, expected) = (format!("{:?}", prediction.dims()), format!("{:?}", truth.dims()));
            return Err(StudyError::Mismatch { what: "predicted actions", found, expected }.into());
        }
        if samples == 0 {
            return Err(StudyError::FewTransitions { found: 0 }.into());
        }
        let columns = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.t()?.contiguous()?.to_vec2::<f64>();
        let dimensions = columns(prediction)?
            .iter()
            .zip(&columns(truth)?)
            .map(|(found, truth)| {
                StudyError::if_not_finite("the predicted actions", found)?;
                Ok(dimension(found, truth))
            })
            .collect::<Result<Vec<DimensionFit>, StudyError>>()?;
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let explained: Vec<f64> = dimensions.iter().filter_map(|fit| fit.r2).collect();
        Ok(Self {
            samples,
            l1: mean(dimensions.iter().map(|fit| fit.l1).collect()),
            mse: mean(dimensions.iter().map(|fit| fit.mse).collect()),
            r2: (!explained.is_empty()).then(|| mean(explained)),
            dimensions,
        })
    }
}

fn dimension(found: &[f64], truth: &[f64]) -> DimensionFit {
    let count = truth.len() as f64;
    let mean = truth.iter().sum::<f64>() / count;
    let (mut l1, mut squares, mut spread) = (0.0, 0.0, 0.0);
    for (found, truth) in found.iter().zip(truth) {
        l1 += (found - truth).abs();
        squares += (found - truth).powi(2);
        spread += (truth - mean).powi(2);
    }
    // Compared value by value: the rounding of the mean would give a constant a spread of its own.
    let changes = truth.iter().any(|value| *value != truth[0]);
    DimensionFit {
        l1: l1 / count,
        mse: squares / count,
        r2: (changes && spread > 0.0).then(|| 1.0 - squares / spread),
    }
}
