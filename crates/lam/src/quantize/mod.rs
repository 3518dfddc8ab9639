//! From tokens to codes: one door over the quantizers that a configuration can ask for.

mod codebook;
mod cosine;
mod ema;
mod entropy;
mod rotation;
mod scalar;
mod vector;

use candle_core::{D, DType, Result, Tensor};
use candle_nn::var_builder::VarBuilder;

use crate::config::{CodeUpdate, LamConfig};

pub use codebook::Codebook;
pub use scalar::ScalarQuantizer;
pub use vector::VectorQuantizer;

/// The codebook's name among the parameters of a [`LatentActionModel`](crate::LatentActionModel) built at the root.
pub const CODEBOOK: &str = "vq.embedding.weight";
/// The same for the moving average of how many tokens chose each code; there only with [`CodeUpdate::Ema`].
pub const CLUSTER_SIZE: &str = "vq.cluster_size";
/// The same for the moving average of the sum of these tokens.
pub const EMBED_AVG: &str = "vq.embed_avg";

/// What quantization costs. Codebook and commitment loss are both the mean squared distance of tokens and codes, but
/// they move different things.
#[derive(Clone, Debug)]
pub struct VqLosses {
    /// Moves the codes only; a scalar. A constant, and no part of the total, where a moving average moves the codes;
    /// zero without a codebook.
    pub codebook: Tensor,
    /// Moves the tokens only; a scalar, zero without a codebook.
    pub commitment: Tensor,
    /// Mean entropy of a token's choice less the entropy of the mean choice, unweighted; a scalar. Moves tokens and, unless
    /// a moving average does, codes. `None` while its weight is 0.
    pub entropy: Option<Tensor>,
}

impl VqLosses {
    /// `codebook_weight * codebook + commitment_weight * commitment + entropy_weight * entropy`, a scalar, less the first
    /// term where a moving average takes its place.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn total(&self, config: &LamConfig) -> Result<Tensor> {
        let commitment = (&self.commitment * config.commitment_weight)?;
        let total = match config.quantizer.update {
            CodeUpdate::Gradient => ((&self.codebook * config.codebook_weight)? + commitment)?,
            CodeUpdate::Ema => commitment,
        };
        match &self.entropy {
            Some(entropy) => total + (entropy * config.quantizer.entropy_weight)?,
            None => Ok(total),
        }
    }
}

/// What a quantizer made of a set of tokens.
pub(crate) struct Quantized {
    /// What stands for the chosen codes; its gradient goes to the tokens.
    pub(crate) rows: Tensor,
    /// The chosen codes.
    pub(crate) codes: Tensor,
    pub(crate) losses: VqLosses,
}

/// The quantizer of a [`LatentActionModel`](crate::LatentActionModel).
#[derive(Clone, Debug)]
pub enum Quantizer {
    /// Nearest rows of a codebook.
    Vector(VectorQuantizer),
    /// Numbers rounded to levels.
    Scalar(ScalarQuantizer),
}

impl Quantizer {
    /// The kind that the configuration asks for; parameters as in [`VectorQuantizer::new`], none for a
    /// [`ScalarQuantizer`].
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        Ok(if config.quantizer.is_scalar() {
            Self::Scalar(ScalarQuantizer::new(config, &vb)?)
        } else {
            Self::Vector(VectorQuantizer::new(config, vb)?)
        })
    }

    /// The codebook `(codes, code_dim)` as it is stored, if there is one.
    pub fn codebook(&self) -> Option<&Tensor> {
        match self {
            Self::Vector(vector) => Some(vector.codebook()),
            Self::Scalar(_) => None,
        }
    }

    /// Mean norm of the codebook's rows; `None` without a codebook.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn code_norm(&self) -> Result<Option<f64>> {
        let norm = |rows: &Tensor| {
            let rows = rows.detach().to_dtype(DType::F64)?;
            rows.sqr()?.sum(D::Minus1)?.sqrt()?.mean_all()?.to_scalar::<f64>()
        };
        self.codebook().map(norm).transpose()
    }

    /// Codes of tokens, `(..., d)` to `(...)` u32, without a gradient: see [`VectorQuantizer::nearest`] and
    /// [`ScalarQuantizer::nearest`].
    ///
    /// # Errors
    /// A last dimension other than `code_dim`.
    pub fn nearest(&self, tokens: &Tensor) -> Result<Tensor> {
        match self {
            Self::Vector(vector) => vector.nearest(tokens),
            Self::Scalar(scalar) => scalar.nearest(tokens),
        }
    }

    /// What stands for codes, as constants, `(...)` u32 to `(..., d)`.
    ///
    /// # Errors
    /// A code that does not exist.
    pub fn embed(&self, codes: &Tensor) -> Result<Tensor> {
        match self {
            Self::Vector(vector) => vector.embed(codes),
            Self::Scalar(scalar) => scalar.embed(codes),
        }
    }

    /// Codes, what stands for them with a gradient for the tokens, and what it costs.
    pub(crate) fn quantize(&self, tokens: &Tensor) -> Result<Quantized> {
        match self {
            Self::Vector(vector) => vector.quantize(tokens),
            Self::Scalar(scalar) => scalar.quantize(tokens),
        }
    }
}

/// `value` to the last bit, with the gradient of `moving`: their difference to themselves carries the graph.
fn with_gradient_of(value: &Tensor, moving: &Tensor) -> Result<Tensor> {
    value + (moving - moving.detach())?
}

/// Splits off the last dimension, which must be `size`.
fn leading(tokens: &Tensor, size: usize, whose: &str) -> Result<Vec<usize>> {
    let mut shape = tokens.dims().to_vec();
    if shape.pop() != Some(size) {
        candle_core::bail!("tokens of shape {:?}, {whose} of {size} numbers", tokens.dims());
    }
    Ok(shape)
}
