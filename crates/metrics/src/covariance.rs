//! What a sum of squares is divided by.

use serde::{Deserialize, Serialize};

/// The covariance rule, one of the choices that move a Fréchet distance: traces differ by `(N - 1) / N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covariance {
    /// Divided by `N - 1`: numpy's `cov`, VideoGPT, AdaWorld, the common script.
    #[default]
    Unbiased,
    /// Divided by `N`: StyleGAN-V, the content-debiased tool and other streaming tools.
    Biased,
}

impl Covariance {
    /// The divisor for `count` samples, at least 2.
    pub(crate) fn divisor(self, count: u64) -> f64 {
        match self {
            Self::Unbiased => (count - 1) as f64,
            Self::Biased => count as f64,
        }
    }
}
