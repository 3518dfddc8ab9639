//! Norms of queries and keys.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::kernel::row_norm::RowNorm;
use crate::norm::{LayerNorm, rms_norm};

const RMS_EPS: f64 = 1e-6;

/// The norm of queries and keys within a head, its parameters shared by all heads.
#[derive(Clone, Debug)]
pub enum HeadNorm {
    /// None.
    Identity,
    /// `weight x / sqrt(mean(x²) + 1e-6)` (Open-Sora).
    Rms(Tensor),
    /// Layer norm with scale and shift, eps 1e-5 (latent action model).
    Layer(LayerNorm),
}

impl HeadNorm {
    /// RMS norm; parameter `weight`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn rms(dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Rms(vb.get_with_hints(dim, "weight", Init::Const(1.0))?))
    }

    /// Layer norm; parameters `weight` and `bias`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn layer(dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Layer(LayerNorm::new(dim, 1e-5, vb)?))
    }

    /// The row-wise form; its parameters are appended to `rows`.
    pub(crate) fn row_norm(&self, rows: &mut Vec<Tensor>) -> Option<RowNorm> {
        let scale = rows.len();
        match self {
            Self::Identity => None,
            Self::Rms(weight) => {
                rows.push(weight.clone());
                Some(RowNorm { centred: false, eps: RMS_EPS as f32, scale, shift: None })
            }
            Self::Layer(norm) => {
                rows.extend([norm.weight.clone(), norm.bias.clone()]);
                Some(RowNorm { centred: true, eps: norm.eps as f32, scale, shift: Some(scale + 1) })
            }
        }
    }

    /// Over the last dimension.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Rms(weight) => rms_norm(x, weight, RMS_EPS),
            Self::Layer(norm) => norm.forward(x),
        }
    }
}
