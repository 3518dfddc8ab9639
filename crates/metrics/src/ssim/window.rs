//! What a pixel's neighbours weigh.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The longest window.
pub(super) const MOST: usize = 33;

/// Weights of a square window, a product of the same weights for rows and for columns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// `exp(-d^2 / (2 sigma^2))`, `d` pixels from the middle.
    Gaussian {
        /// Pixels on a side, odd.
        side: usize,
        /// Pixels.
        sigma: f64,
    },
    /// All the same.
    Uniform {
        /// Pixels on a side, odd.
        side: usize,
    },
}

impl Window {
    /// Pixels on a side.
    pub fn side(&self) -> usize {
        match *self {
            Self::Gaussian { side, .. } | Self::Uniform { side } => side,
        }
    }

    /// Weights along one side; their sum is 1.
    ///
    /// # Errors
    /// A side that is even or not in 3 to 33; a sigma that is not a finite number above 0.
    pub fn weights(&self) -> Result<Vec<f64>> {
        let side = self.side();
        if side.is_multiple_of(2) || !(3..=MOST).contains(&side) {
            return Err(Error::Setting {
                field: "window.side",
                found: side.to_string(),
                expected: "an odd number from 3 to 33",
            });
        }
        let mut weights = vec![1.0; side];
        if let Self::Gaussian { sigma, .. } = *self {
            if !(sigma.is_finite() && sigma > 0.0) {
                return Err(Error::Setting {
                    field: "window.sigma",
                    found: sigma.to_string(),
                    expected: "a finite number above 0, pixels",
                });
            }
            for (place, weight) in weights.iter_mut().enumerate() {
                // Divided before it is squared: the square of the smallest sigma would be 0.
                let distance = (place as f64 - (side / 2) as f64) / sigma;
                *weight = (-0.5 * distance * distance).exp();
            }
        }
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Ok(weights)
    }
}
