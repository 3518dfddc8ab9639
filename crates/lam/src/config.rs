//! Sizes and choices of a latent action model.

mod quantizer;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::usage::MOST_COUNTERS;

pub use quantizer::{CodeUpdate, QuantizerConfig, TokenGradient};

/// More codes than this could not be told apart by an f32 index.
const MOST_CODES: usize = 1 << 24;

/// Greatest sizes of a layer and numbers of layers: far beyond any of these models, and small enough that products of them
/// can be counted.
const WIDEST: usize = 1 << 16;
const DEEPEST: usize = 1 << 10;

/// Most numbers of a table of positions, ten times the paper's. The tables are in no checkpoint, so that nothing else says
/// how large a stored configuration may make them.
const MOST_POSITIONS: usize = 1 << 21;

/// What of two neighbouring frames the action tokens are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// `(y_t + y_{t+1}) / 2` (villa-X).
    Mean,
    /// `y_{t+1} - y_t`: holds the motion from the start, which small models need.
    Difference,
    /// Nothing pooled: prompt tokens in front of each frame's patches are read at the later frame (UniVLA). The forward
    /// model is of the same kind.
    Prompt,
}

/// Where the codebook's first rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeInit {
    /// Uniform in `(-1/codes, 1/codes)` (villa-X).
    Box,
    /// Encoder outputs of the first batches: whoever trains sets them, see [`rows_from_tokens`](crate::rows_from_tokens).
    /// Until then they are those of [`CodeInit::Box`].
    Data,
}

/// Everything that decides the shape of inverse dynamics model, quantizer and forward dynamics model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LamConfig {
    /// Side of the square frames, pixels.
    pub image: usize,
    /// Side of a square patch, pixels.
    pub patch: usize,
    /// Width of all tokens inside the models.
    pub dim: usize,
    /// Attention heads of the inverse dynamics model.
    pub heads: usize,
    /// Blocks of the inverse dynamics model.
    pub layers: usize,
    /// Longest clip, frames.
    pub max_frames: usize,
    /// Attention heads of the pooling block.
    pub map_heads: usize,
    /// Tokens that make up one action.
    pub tokens: usize,
    /// Size of a token and of a codebook row.
    pub code_dim: usize,
    /// Rows of the codebook, which all tokens share.
    pub codes: usize,
    /// What the tokens are read from.
    pub readout: Readout,
    /// An action sees no frame after the one it leads to.
    pub causal: bool,
    /// The codebook's first rows.
    pub code_init: CodeInit,
    /// Weight of the codebook loss, which moves the codes to the tokens.
    pub codebook_weight: f64,
    /// Weight of the commitment loss, which moves the tokens to the codes.
    pub commitment_weight: f64,
    /// Blocks of the forward dynamics model.
    pub fdm_layers: usize,
    /// Attention heads of the forward dynamics model.
    pub fdm_heads: usize,
    /// The forward dynamics model predicts the difference to the frame that it starts from.
    pub fdm_residual: bool,
    /// How tokens become codes; stored configurations that do not say have the paper's quantizer.
    #[serde(default)]
    pub quantizer: QuantizerConfig,
}

impl LamConfig {
    /// The paper's model: 224 pixels, 12 layers of width 768, two tokens from a codebook of 32 (paper section B.1; what
    /// it leaves open as in villa-X).
    pub fn paper() -> Self {
        Self {
            image: 224,
            patch: 14,
            dim: 768,
            heads: 12,
            layers: 12,
            max_frames: 8,
            map_heads: 12,
            tokens: 2,
            code_dim: 32,
            codes: 32,
            readout: Readout::Mean,
            causal: true,
            code_init: CodeInit::Box,
            codebook_weight: 1.0,
            commitment_weight: 1.0,
            fdm_layers: 12,
            fdm_heads: 12,
            fdm_residual: false,
            quantizer: QuantizerConfig::default(),
        }
    }

    /// A model that learns on two CPU cores in minutes: 32 pixels, 2 layers of width 64, and the choices that keep a
    /// small codebook alive (difference read-out, codes from data, light commitment, residual forward model).
    pub fn tiny() -> Self {
        Self {
            image: 32,
            patch: 8,
            dim: 64,
            heads: 4,
            layers: 2,
            max_frames: 16,
            map_heads: 4,
            tokens: 2,
            code_dim: 32,
            codes: 32,
            readout: Readout::Difference,
            causal: true,
            code_init: CodeInit::Data,
            codebook_weight: 1.0,
            commitment_weight: 0.001,
            fdm_layers: 2,
            fdm_heads: 4,
            fdm_residual: true,
            quantizer: QuantizerConfig::default(),
        }
    }

    /// Patches in a frame.
    pub fn patches(&self) -> usize {
        (self.image / self.patch).pow(2)
    }

    /// Numbers in a patch: three channels of `patch * patch` pixels.
    pub fn patch_values(&self) -> usize {
        3 * self.patch.pow(2)
    }

    /// Numbers in one latent action: its tokens, one after the other.
    pub fn action_dim(&self) -> usize {
        self.tokens * self.code_dim
    }

    /// The fields in which the inverse dynamics model or the codebook of another configuration differs, as
    /// `field = its value (this one's)`. How they are trained and the forward dynamics model do not count: parameters
    /// of the one can be used in the other if the list is empty.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = self.identity().into_iter().zip(other.identity());
        pairs
            .filter(|((_, own), (_, theirs))| own != theirs)
            .map(|((name, own), (_, theirs))| format!("{name} = {theirs} ({own})"))
            .collect()
    }

    /// The fields that decide what the parameters of inverse dynamics model and quantizer mean, with their values.
    pub(crate) fn identity(&self) -> [(&'static str, String); 14] {
        // Every field named, so that a new one has to be thought about here.
        let Self {
            image,
            patch,
            dim,
            heads,
            layers,
            max_frames: _,
            map_heads,
            tokens,
            code_dim,
            codes,
            readout,
            causal,
            code_init: _,
            codebook_weight: _,
            commitment_weight: _,
            fdm_layers: _,
            fdm_heads: _,
            fdm_residual: _,
            quantizer,
        } = self;
        [
            ("image", image.to_string()),
            ("patch", patch.to_string()),
            ("dim", dim.to_string()),
            ("heads", heads.to_string()),
            ("layers", layers.to_string()),
            ("map_heads", map_heads.to_string()),
            ("tokens", tokens.to_string()),
            ("code_dim", code_dim.to_string()),
            ("codes", codes.to_string()),
            ("readout", format!("{readout:?}").to_lowercase()),
            ("causal", causal.to_string()),
            ("quantizer.update", format!("{:?}", quantizer.update).to_lowercase()),
            ("quantizer.cosine", quantizer.cosine.to_string()),
            ("quantizer.levels", format!("{:?}", quantizer.levels)),
        ]
    }

    /// Whether a model of these sizes can exist.
    ///
    /// # Errors
    /// The first field that does not fit, with its value and the value that it clashes with.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (name, value, least) in [
            ("image", self.image, 1),
            ("dim", self.dim, 4),
            ("layers", self.layers, 1),
            ("fdm_layers", self.fdm_layers, 1),
            ("max_frames", self.max_frames, 2),
            ("tokens", self.tokens, 1),
            ("code_dim", self.code_dim, 1),
            ("codes", self.codes, 2),
        ] {
            ConfigError::least(name, value, least)?;
        }
        for (name, value, most) in [
            ("image", self.image, WIDEST),
            ("dim", self.dim, WIDEST),
            ("layers", self.layers, DEEPEST),
            ("fdm_layers", self.fdm_layers, DEEPEST),
            ("tokens", self.tokens, WIDEST),
            ("code_dim", self.code_dim, WIDEST),
            ("codes", self.codes, MOST_CODES),
            ("max_frames", self.max_frames, MOST_POSITIONS / self.dim),
        ] {
            ConfigError::most(name, value, most)?;
        }
        for (divisor_name, divisor, name, value) in [
            ("patch", self.patch, "image", self.image),
            ("heads", self.heads, "dim", self.dim),
            ("map_heads", self.map_heads, "dim", self.dim),
            ("fdm_heads", self.fdm_heads, "dim", self.dim),
        ] {
            // The prompt reading pools nothing.
            if divisor_name != "map_heads" || self.readout != Readout::Prompt {
                ConfigError::divide((divisor_name, divisor), (name, value))?;
            }
        }
        if !self.dim.is_multiple_of(4) {
            return Err(ConfigError::Width { dim: self.dim });
        }
        let side = (MOST_POSITIONS / self.dim).isqrt();
        ConfigError::most("image", self.image, side.saturating_mul(self.patch))?;
        ConfigError::most("tokens", self.tokens, MOST_POSITIONS / self.dim)?;
        // A run whose counters cannot be read back would lose its checkpoints.
        ConfigError::most("tokens", self.tokens, MOST_COUNTERS / self.codes)?;
        for (name, value) in
            [("codebook_weight", self.codebook_weight), ("commitment_weight", self.commitment_weight)]
        {
            ConfigError::weight(name, value)?;
        }
        self.quantizer.check(self)
    }

    /// [`LamConfig::check`] for constructors that speak candle's errors.
    pub(crate) fn checked(&self) -> candle_core::Result<()> {
        self.check().map_err(candle_core::Error::wrap)
    }
}
