//! The prompt reading: learned prompt tokens stand in front of every frame's patches, and the action is what the
//! transformer leaves in them (UniVLA, AdaWorld, jafar).

mod block;
mod decoder;
mod encoder;
mod transformer;
mod variational;

pub use decoder::{ActionInput, PromptDecoder};
pub use encoder::PromptEncoder;
pub use variational::{Posterior, VariationalActionModel, VariationalConfig, VariationalLosses};

use crate::config::LamConfig;

/// The parts of a prompt model's shape that encoder and decoder share.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_lam::{ActionInput, PromptConfig, PromptDecoder, PromptEncoder};
/// use cola_nn::{Compute, Params};
///
/// # fn main() -> candle_core::Result<()> {
/// let config = PromptConfig { features: 12, patches: 9, dim: 32, heads: 4, layers: 2, tokens: 2, code_dim: 8 };
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let encoder = PromptEncoder::new(&config, true, params.trainable())?;
/// let decoder = PromptDecoder::new(&config, ActionInput::Tokens, params.trainable())?;
/// let features = Tensor::rand(-1f32, 1f32, (1, 4, 9, 12), &Device::Cpu)?; // a clip of four frames
/// let tokens = encoder.forward(&features, Compute::default(), &mut |_, _| {})?;
/// assert_eq!(tokens.dims(), [1, 3, 2, 8]);
/// let next = decoder.forward(&features.narrow(1, 0, 3)?, &tokens, Compute::default(), &mut |_, _| {})?;
/// assert_eq!(next.dims(), [1, 3, 9, 12]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PromptConfig {
    /// Numbers that describe a patch: pixels, or what a frozen feature extractor gives.
    pub features: usize,
    /// Patches in a frame.
    pub patches: usize,
    /// Width of all tokens inside the transformer; even.
    pub dim: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// Prompts in front of a frame, and tokens that make up an action.
    pub tokens: usize,
    /// Size of such a token.
    pub code_dim: usize,
}

impl PromptConfig {
    /// Over the pixels of the configuration's patches, sizes of the inverse dynamics model.
    pub fn idm(config: &LamConfig) -> Self {
        Self {
            features: config.patch_values(),
            patches: config.patches(),
            dim: config.dim,
            heads: config.heads,
            layers: config.layers,
            tokens: config.tokens,
            code_dim: config.code_dim,
        }
    }

    /// The same with the sizes of the forward dynamics model.
    pub fn fdm(config: &LamConfig) -> Self {
        Self { heads: config.fdm_heads, layers: config.fdm_layers, ..Self::idm(config) }
    }
}
