//! The vector quantizer.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::nearest_code;

use crate::config::LamConfig;
use crate::precision::at_least_f32;

/// The codebook's name among the parameters of a [`LatentActionModel`](crate::LatentActionModel) built at the root.
pub const CODEBOOK: &str = "vq.embedding.weight";

/// The two halves of the quantization loss; both are the mean squared distance of tokens and codes, but they move
/// different things.
#[derive(Clone, Debug)]
pub struct VqLosses {
    /// Moves the codes only; a scalar.
    pub codebook: Tensor,
    /// Moves the tokens only; a scalar.
    pub commitment: Tensor,
}

impl VqLosses {
    /// `codebook_weight * codebook + commitment_weight * commitment`, a scalar.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn total(&self, config: &LamConfig) -> Result<Tensor> {
        (&self.codebook * config.codebook_weight)? + (&self.commitment * config.commitment_weight)?
    }
}

/// What the quantizer made of a set of tokens.
pub(crate) struct Quantized {
    /// The chosen codes' rows; their gradient goes to the tokens.
    pub(crate) rows: Tensor,
    /// The chosen codes.
    pub(crate) codes: Tensor,
    pub(crate) losses: VqLosses,
}

/// Replaces each token by the nearest codebook row. The codebook learns by gradient, not by a moving average.
///
/// Distances and losses are computed in f32 (f64 for f64 tokens), and distances as `sum((x - c)²)`: the expanded form
/// loses its digits where codes are nearly equal, as they are at the start. The lowest index wins ties.
#[derive(Clone, Debug)]
pub struct VectorQuantizer {
    codebook: Tensor,
}

impl VectorQuantizer {
    /// Parameter `embedding.weight` `(codes, code_dim)`, uniform in `(-1/codes, 1/codes)`.
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        config.checked()?;
        let bound = 1.0 / config.codes as f64;
        let init = Init::Uniform { lo: -bound, up: bound };
        Ok(Self { codebook: vb.get_with_hints((config.codes, config.code_dim), "embedding.weight", init)? })
    }

    /// The codebook, `(codes, code_dim)`.
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
        let mut shape = tokens.dims().to_vec();
        if shape.pop() != Some(size) {
            candle_core::bail!(
                "tokens of shape {:?}, the codebook has rows of {size} numbers",
                tokens.dims()
            );
        }
        nearest_code(&tokens.detach().reshape(((), size))?, &self.codebook)?.reshape(shape)
    }

    /// Rows of the codebook, `(...)` u32 to `(..., d)`, with a gradient for the codebook.
    fn lookup(&self, codes: &Tensor) -> Result<Tensor> {
        let mut shape = codes.dims().to_vec();
        shape.push(self.codebook.dim(1)?);
        self.codebook.index_select(&codes.flatten_all()?, 0)?.reshape(shape)
    }

    /// The chosen codes' rows as constants, `(...)` u32 to `(..., d)`.
    ///
    /// # Errors
    /// A code that the codebook does not have.
    pub fn embed(&self, codes: &Tensor) -> Result<Tensor> {
        Ok(self.lookup(codes)?.detach())
    }

    /// Nearest rows, straight through: value of the code, gradient of the token.
    pub(crate) fn quantize(&self, tokens: &Tensor) -> Result<Quantized> {
        let codes = self.nearest(tokens)?;
        let wide = at_least_f32(tokens)?;
        let chosen = self.lookup(&codes)?.to_dtype(wide.dtype())?;
        let (token, code) = (wide.detach(), chosen.detach());
        // code + (token - stop(token)) rather than token + stop(code - token): the same gradient, and the value is the
        // code itself to the last bit.
        let rows = (&code + (&wide - &token)?)?.to_dtype(tokens.dtype())?;
        let losses = VqLosses {
            codebook: (token - chosen)?.sqr()?.mean_all()?,
            commitment: (wide - code)?.sqr()?.mean_all()?,
        };
        Ok(Quantized { rows, codes, losses })
    }
}
