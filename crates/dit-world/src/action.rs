//! From a sequence of latent actions to one modulation for each latent frame (action AdaLN, paper 3.3, B.2).

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, HeadNorm, Linear, Mlp, Rope, SelfAttention, SelfAttentionConfig, layer_norm, silu};

use crate::alignment::Alignment;
use crate::block::EPS;
use crate::config::DitConfig;

/// Six causal self-attention blocks over the actions, then an MLP to the rows of adaptive layer norm.
///
/// Latent frame 0, which no action produced, has a learned slot; a *dropped* action is the zero vector. A later latent
/// frame takes the actions that [`Alignment::actions`] says and, through causal attention, the earlier ones.
#[derive(Clone, Debug)]
pub struct ActionConditioner {
    no_action: Tensor,
    inputs: (Linear, Linear),
    blocks: Vec<ActionBlock>,
    outputs: (Linear, Linear),
    output_norm: bool,
    alignment: Alignment,
    compute: Compute,
}

impl ActionConditioner {
    /// Parameters `no_action`, `input.{0,2}`, `blocks.i.{attn,mlp}`, `output.{0,2}`.
    ///
    /// # Errors
    /// A configuration that [`DitConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &DitConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let action = &config.action;
        let (width, rows) = (action.width, 6 * config.hidden_size);
        let last = if action.zero_output { Linear::zero } else { Linear::new };
        Ok(Self {
            no_action: vb.get_with_hints(width, "no_action", Init::Randn { mean: 0.0, stdev: 0.02 })?,
            inputs: (
                Linear::new(action.action_dim * action.frames_per_latent, width, vb.pp("input.0"))?,
                Linear::new(width, width, vb.pp("input.2"))?,
            ),
            blocks: (0..action.layers)
                .map(|i| ActionBlock::new(width, action.heads, action.mlp_ratio, vb.pp("blocks").pp(i)))
                .collect::<Result<_>>()?,
            outputs: (Linear::new(width, width, vb.pp("output.0"))?, last(width, rows, vb.pp("output.2"))?),
            output_norm: action.output_norm,
            alignment: Alignment::new(action.frames_per_latent).map_err(candle_core::Error::wrap)?,
            compute: Compute::default(),
        })
    }

    /// The same network over activations of another type. Its sequences are short: nothing is recomputed.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// Actions `(B, T - 1, action_dim)` to modulation rows `(B, T', 6 D)`, `T' = 1 + (T - 1) / g`.
    ///
    /// # Errors
    /// [`crate::AlignmentError`] for actions that end within a latent frame.
    pub fn forward(&self, actions: &Tensor) -> Result<Tensor> {
        let (b, transitions, dim) = actions.dims3()?;
        let latents = self.alignment.behind(transitions).map_err(candle_core::Error::wrap)?;
        let g = self.alignment.frames_per_latent();
        let grouped = self.compute.dtype.cast(actions)?.contiguous()?.reshape((b, latents - 1, g * dim))?;
        let tokens = self.inputs.1.forward(&silu(&self.inputs.0.forward(&grouped)?)?)?;
        let first = self.no_action.to_dtype(tokens.dtype())?.broadcast_as((b, 1, tokens.dim(2)?))?;
        let mut tokens = Tensor::cat(&[&first, &tokens], 1)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens)?;
        }
        if self.output_norm {
            tokens = layer_norm(&tokens, EPS)?;
        }
        self.outputs.1.forward(&silu(&self.outputs.0.forward(&tokens)?)?)
    }

    /// The rows of a sequence whose actions are all dropped: the unconditional branch of guidance.
    ///
    /// # Errors
    /// As [`ActionConditioner::forward`].
    pub fn unconditional(&self, actions: &Tensor) -> Result<Tensor> {
        self.forward(&actions.zeros_like()?)
    }
}

/// Pre-norm causal self-attention and feed-forward; both branches start silent (paper: "initialise the weights in the
/// action attention blocks as zero"; only the last layer of a branch may be zero, or it could never learn).
#[derive(Clone, Debug)]
struct ActionBlock {
    attention: SelfAttention,
    mlp: Mlp,
}

impl ActionBlock {
    fn new(width: usize, heads: usize, mlp_ratio: usize, vb: VarBuilder) -> Result<Self> {
        let rope = Rope::new(width / heads, 10_000.0)?;
        let config = SelfAttentionConfig { dim: width, heads, causal: true, silent: true };
        let no_norm = |_: usize, _: VarBuilder| Ok(HeadNorm::Identity);
        Ok(Self {
            attention: SelfAttention::new(&config, no_norm, Some(rope), vb.pp("attn"))?,
            mlp: Mlp::silent(width, width * mlp_ratio, vb.pp("mlp"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention.forward(&layer_norm(x, EPS)?)?)?;
        &x + self.mlp.forward(&layer_norm(&x, EPS)?)?
    }
}
