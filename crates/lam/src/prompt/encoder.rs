//! From features to action tokens.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, Linear};

use super::PromptConfig;
use super::block::TimeAttention;
use super::transformer::{Ends, Transformer};

/// Prompts in front of a frame's patches and the transformer over both.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    prompts: Tensor,
    transformer: Transformer,
    patches: usize,
}

impl Reader {
    /// Parameters `<prompts>` `(1, 1, n, F)`, uniform in (-1, 1), and `encoder.*`; with `projects` also `encoder.out`.
    pub(super) fn new(
        config: &PromptConfig,
        prompts: &str,
        time: &TimeAttention,
        projects: bool,
        vb: VarBuilder,
    ) -> Result<Self> {
        let ends = Ends {
            input: config.features,
            length: config.tokens + config.patches,
            output: projects.then_some(config.dim),
        };
        let init = Init::Uniform { lo: -1.0, up: 1.0 };
        Ok(Self {
            prompts: vb.get_with_hints((1, 1, config.tokens, config.features), prompts, init)?,
            transformer: Transformer::new(config, &ends, Some(time), vb.pp("encoder"))?,
            patches: config.patches,
        })
    }

    /// Features `(B, T, N, F)` to what is left in the prompts of frames `1..T`, `(B, T - 1, n, D)`.
    pub(super) fn forward(
        &self,
        features: &Tensor,
        compute: Compute,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let (clips, length, patches, width) = features.dims4()?;
        let (.., tokens, own) = self.prompts.dims4()?;
        if length < 2 || (patches, width) != (self.patches, own) {
            candle_core::bail!(
                "features of shape {:?}, expected (clips, 2 frames or more, {}, {own})",
                features.dims(),
                self.patches
            );
        }
        let features = compute.dtype.cast(features)?;
        let prompts =
            self.prompts.to_dtype(features.dtype())?.broadcast_as((clips, length, tokens, width))?;
        let y = self.transformer.forward(&Tensor::cat(&[&prompts, &features], 2)?, compute, observe)?;
        self.transformer.last(&y.narrow(1, 1, length - 1)?.narrow(2, 0, tokens)?.contiguous()?)
    }
}

/// The inverse dynamics model of the prompt reading, over features of patches (UniVLA's blocks): a space-time transformer
/// over learned prompts and patches, read at the prompts. Time attention has no positions: the causal mask is all that
/// tells frames apart.
#[derive(Clone, Debug)]
pub struct PromptEncoder {
    reader: Reader,
    head: Linear,
}

impl PromptEncoder {
    /// Parameters `action_latent` `(1, 1, n, F)`, uniform in (-1, 1); `encoder.ffn.{0, 1, 2}`,
    /// `encoder.transformer_blocks.i.{norm1, spatial_attn, norm2, temporal_attn, norm3, ffn.0, ffn.3}`; `to_codebook`.
    ///
    /// # Errors
    /// Heads that do not divide the width, an odd width, a stored parameter of another shape.
    pub fn new(config: &PromptConfig, causal: bool, vb: VarBuilder) -> Result<Self> {
        let time = TimeAttention { causal, rope: None };
        Ok(Self {
            reader: Reader::new(config, "action_latent", &time, false, vb.clone())?,
            head: Linear::new(config.dim, config.code_dim, vb.pp("to_codebook"))?,
        })
    }

    /// Action tokens, and `block0`, `block1`, .. `(B, T, n + N, D)`, prompts first, for `observe`.
    ///
    /// # Shapes
    /// - `features`: `(B, T, N, F)`, `T >= 2`
    /// - returns `(B, T - 1, n, d)`, in the dtype of the activations
    ///
    /// # Errors
    /// Features of another shape; the message gives both.
    pub fn forward(
        &self,
        features: &Tensor,
        compute: Compute,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        self.head.forward(&self.reader.forward(features, compute, observe)?)
    }
}
