//! From features and an action to the features of the next frame.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, Linear};

use super::PromptConfig;
use super::transformer::{Ends, Transformer};

/// Where an action enters the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionInput {
    /// Its tokens stand in front of the patches (UniVLA).
    Tokens,
    /// All its numbers together are projected and added to every patch (AdaWorld, jafar, jasmine).
    Added,
}

/// The forward dynamics model of the prompt reading, over features of patches: a spatial transformer with plain
/// feed-forward layers.
#[derive(Clone, Debug)]
pub struct PromptDecoder {
    patch_up: Linear,
    action_up: Linear,
    transformer: Transformer,
    input: ActionInput,
    config: PromptConfig,
}

impl PromptDecoder {
    /// Parameters `patch_up`, `action_up`; `decoder.ffn.{0, 1, 2}`,
    /// `decoder.transformer_blocks.i.{norm1, spatial_attn, norm2, ffn.0, ffn.3}`, `decoder.out`.
    ///
    /// # Errors
    /// Heads that do not divide the width, an odd width, a stored parameter of another shape.
    pub fn new(config: &PromptConfig, input: ActionInput, vb: VarBuilder) -> Result<Self> {
        let PromptConfig { features, patches, dim, tokens, code_dim, .. } = *config;
        let (extra, action) = match input {
            ActionInput::Tokens => (tokens, code_dim),
            ActionInput::Added => (0, tokens * code_dim),
        };
        let ends = Ends { input: dim, length: extra + patches, output: Some(features) };
        Ok(Self {
            patch_up: Linear::new(features, dim, vb.pp("patch_up"))?,
            action_up: Linear::new(action, dim, vb.pp("action_up"))?,
            transformer: Transformer::new(config, &ends, None, vb.pp("decoder"))?,
            input,
            config: config.clone(),
        })
    }

    /// The next frame's features, and `block0`, `block1`, .. `(B, T, n + N, D)` or `(B, T, N, D)` for `observe`.
    ///
    /// # Shapes
    /// - `features`: `(B, T, N, F)`, the frames that the actions start from
    /// - `actions`: `(B, T, n, d)`
    /// - returns `(B, T, N, F)`, in the dtype of the activations
    ///
    /// # Errors
    /// Features or actions of another shape; the message gives both.
    pub fn forward(
        &self,
        features: &Tensor,
        actions: &Tensor,
        compute: Compute,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let (clips, length, patches, width) = features.dims4()?;
        let PromptConfig { tokens, code_dim, .. } = self.config;
        if (patches, width) != (self.config.patches, self.config.features)
            || actions.dims() != [clips, length, tokens, code_dim]
        {
            candle_core::bail!(
                "features of shape {:?} and actions of shape {:?}, expected (clips, frames, {}, {}) and (clips, \
                 frames, {tokens}, {code_dim})",
                features.dims(),
                actions.dims(),
                self.config.patches,
                self.config.features
            );
        }
        let patches = self.patch_up.forward(&compute.dtype.cast(features)?)?;
        let actions = compute.dtype.cast(actions)?;
        let (first, x) = match self.input {
            ActionInput::Tokens => (tokens, Tensor::cat(&[&self.action_up.forward(&actions)?, &patches], 2)?),
            ActionInput::Added => {
                let actions = actions.reshape((clips, length, 1, tokens * code_dim))?;
                (0, patches.broadcast_add(&self.action_up.forward(&actions)?)?)
            }
        };
        let y = self.transformer.forward(&x, compute, observe)?;
        self.transformer.last(&y.narrow(2, first, self.config.patches)?.contiguous()?)
    }
}
