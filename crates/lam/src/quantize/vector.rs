//! The vector quantizer.

use candle_core::{D, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::nearest_code;

use super::cosine::unit;
use super::entropy::entropy;
use super::rotation::rotated;
use super::{Quantized, VqLosses, leading, with_gradient_of};
use crate::config::{CodeUpdate, LamConfig, QuantizerConfig, TokenGradient};
use crate::precision::at_least_f32;

/// Replaces each token by the nearest codebook row. The codebook learns by gradient, or follows a moving average that
/// [`Codebook::follow`](crate::Codebook::follow) updates.
///
/// Distances and losses are computed in f32 (f64 for f64 tokens), and distances as `sum((x - c)²)`: the expanded form
/// loses its digits where codes are nearly equal, as they are at the start. The lowest index wins ties. With
/// `quantizer.cosine`, `x` and `c` are brought to length 1 first, here and everywhere below.
#[derive(Clone, Debug)]
pub struct VectorQuantizer {
    codebook: Tensor,
    config: QuantizerConfig,
}

impl VectorQuantizer {
    /// Parameter `embedding.weight` `(codes, code_dim)`, uniform in `(-1/codes, 1/codes)`; for a moving average also its
    /// statistics `cluster_size` `(codes)`, ones, and `embed_avg` `(codes, code_dim)`, equal to the codebook.
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        config.checked()?;
        let shape = (config.codes, config.code_dim);
        let bound = 1.0 / config.codes as f64;
        let codebook =
            vb.get_with_hints(shape, "embedding.weight", Init::Uniform { lo: -bound, up: bound })?;
        if config.quantizer.update == CodeUpdate::Ema {
            let stored = vb.contains_tensor("embed_avg");
            vb.get_with_hints(config.codes, "cluster_size", Init::Const(1.0))?;
            let sums = vb.get_with_hints(shape, "embed_avg", Init::Const(0.0))?;
            if !stored {
                // New statistics stand for the codebook that is there.
                let rows = codebook.detach();
                let rows = if config.quantizer.cosine { unit(&at_least_f32(&rows)?)? } else { rows };
                sums.slice_set(&rows.to_dtype(sums.dtype())?.contiguous()?, 0, 0)?;
            }
        }
        Ok(Self { codebook, config: config.quantizer.clone() })
    }

    /// The codebook as it is stored, `(codes, code_dim)`.
    pub fn codebook(&self) -> &Tensor {
        &self.codebook
    }

    /// Index of the nearest row, `(..., d)` to `(...)` u32. Tokens that hold a NaN get the last index. No
    /// gradient passes; [`LatentActionModel::quantize`](crate::LatentActionModel::quantize) goes straight through.
    ///
    /// # Errors
    /// A last dimension other than `code_dim`.
    pub fn nearest(&self, tokens: &Tensor) -> Result<Tensor> {
        let size = self.codebook.dim(1)?;
        let shape = leading(tokens, size, "the codebook has rows")?;
        let tokens = tokens.detach();
        let tokens = if self.config.cosine { unit(&at_least_f32(&tokens)?)? } else { tokens };
        nearest_code(&tokens.reshape(((), size))?, &self.rows()?.detach())?.reshape(shape)
    }

    /// Squared distances of tokens to all rows, `(..., d)` to `(..., codes)`, with a gradient for both.
    ///
    /// # Errors
    /// A last dimension other than `code_dim`.
    pub fn distances(&self, tokens: &Tensor) -> Result<Tensor> {
        leading(tokens, self.codebook.dim(1)?, "the codebook has rows")?;
        let tokens = at_least_f32(tokens)?;
        let tokens = if self.config.cosine { unit(&tokens)? } else { tokens };
        distances(&tokens, &self.rows()?)
    }

    /// The chosen codes' rows as constants, `(...)` u32 to `(..., d)`.
    ///
    /// # Errors
    /// A code that the codebook does not have.
    pub fn embed(&self, codes: &Tensor) -> Result<Tensor> {
        Ok(lookup(&self.rows()?, codes)?.detach())
    }

    /// Nearest rows with a gradient for the tokens.
    pub(crate) fn quantize(&self, tokens: &Tensor) -> Result<Quantized> {
        let codes = self.nearest(tokens)?;
        let wide = at_least_f32(tokens)?;
        let wide = if self.config.cosine { unit(&wide)? } else { wide };
        let rows = self.rows()?;
        let rows = match self.config.update {
            CodeUpdate::Gradient => rows,
            CodeUpdate::Ema => rows.detach(),
        };
        let chosen = lookup(&rows, &codes)?.to_dtype(wide.dtype())?;
        let (token, code) = (wide.detach(), chosen.detach());
        let moving = match self.config.gradient {
            TokenGradient::Straight => wide.clone(),
            TokenGradient::Rotation => rotated(&wide, &code)?,
        };
        let losses = VqLosses {
            codebook: (token - chosen)?.sqr()?.mean_all()?,
            commitment: (&wide - &code)?.sqr()?.mean_all()?,
            entropy: if self.config.entropy_weight > 0.0 {
                let wide = wide.reshape(((), wide.dim(D::Minus1)?))?;
                Some(entropy(&distances(&wide, &rows)?, self.config.entropy_temperature)?)
            } else {
                None
            },
        };
        Ok(Quantized { rows: with_gradient_of(&code, &moving)?.to_dtype(tokens.dtype())?, codes, losses })
    }

    /// The rows that tokens are compared with and replaced by.
    fn rows(&self) -> Result<Tensor> {
        if self.config.cosine { unit(&at_least_f32(&self.codebook)?) } else { Ok(self.codebook.clone()) }
    }
}

/// `(..., d)` and `(K, d)` to `(..., K)`.
fn distances(tokens: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let rows = rows.to_dtype(tokens.dtype())?;
    tokens.unsqueeze(tokens.rank() - 1)?.broadcast_sub(&rows)?.sqr()?.sum(D::Minus1)
}

/// Rows of a table, `(...)` u32 to `(..., d)`, with a gradient for the table.
fn lookup(rows: &Tensor, codes: &Tensor) -> Result<Tensor> {
    let mut shape = codes.dims().to_vec();
    shape.push(rows.dim(1)?);
    rows.index_select(&codes.flatten_all()?, 0)?.reshape(shape)
}
