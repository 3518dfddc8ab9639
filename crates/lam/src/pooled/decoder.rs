//! From a frame's patches and an action to the next frame's patches: a spatial transformer with gated feed-forward layers.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, GatedMlp, Linear, RmsNorm, gate_add};

use super::attention::Attention;
use crate::config::LamConfig;
use crate::patch::PatchEmbed;

/// Start of the vectors that scale a branch.
const LAYER_SCALE: f64 = 0.1;

/// `x += gamma1 * Attention(RMS(x))`, `x += gamma2 * MLP(RMS(x))`; the feed-forward layer is gated with SiLU.
#[derive(Clone, Debug)]
struct FdmBlock {
    attention_norm: RmsNorm,
    attention: Attention,
    attention_scale: Tensor,
    mlp_norm: RmsNorm,
    mlp: GatedMlp,
    mlp_scale: Tensor,
}

impl FdmBlock {
    /// Parameters `pre_norm_attn`, `attn`, `layer_scale_attn.gamma`, `pre_norm_mlp`, `mlp.0.project`, `mlp.2`,
    /// `layer_scale_mlp.gamma`.
    fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let dim = config.dim;
        let scale = |name: &str| vb.pp(name).get_with_hints(dim, "gamma", Init::Const(LAYER_SCALE));
        Ok(Self {
            attention_norm: RmsNorm::new(dim, vb.pp("pre_norm_attn"))?,
            attention: Attention::normed(dim, config.fdm_heads, vb.pp("attn"))?,
            attention_scale: scale("layer_scale_attn")?,
            mlp_norm: RmsNorm::new(dim, vb.pp("pre_norm_mlp"))?,
            mlp: GatedMlp::new(dim, 4 * dim, vb.pp("mlp.0.project"), vb.pp("mlp.2"))?,
            mlp_scale: scale("layer_scale_mlp")?,
        })
    }

    /// `(M, L, D)` to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let x = gate_add(x, &self.attention_scale, &self.attention.forward(&normed, &normed)?)?;
        let branch = self.mlp.forward(&self.mlp_norm.forward(&x)?)?;
        gate_add(&x, &self.mlp_scale, &branch)
    }
}

/// A spatial transformer over a frame's patches and one token made of the action.
#[derive(Clone, Debug)]
pub(crate) struct PooledDecoder {
    embed: PatchEmbed,
    action: Linear,
    layers: Vec<FdmBlock>,
    norm: RmsNorm,
    head: Linear,
}

impl PooledDecoder {
    /// Parameters `embed`, `action_embed`, `layers.i`, `norm`, `pred_head`.
    pub(crate) fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let (layers, dim) = (vb.pp("layers"), config.dim);
        Ok(Self {
            embed: PatchEmbed::new(config, vb.pp("embed"))?,
            action: Linear::new(config.action_dim(), dim, vb.pp("action_embed"))?,
            layers: (0..config.fdm_layers)
                .map(|layer| FdmBlock::new(config, layers.pp(layer)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(dim, vb.pp("norm"))?,
            head: Linear::new(dim, config.patch_values(), vb.pp("pred_head"))?,
        })
    }

    /// Patches `(M, N, 3P²)` in kernel order and actions `(M, 1, n·d)` to patches `(M, N, 3P²)`.
    pub(crate) fn forward(
        &self,
        kernels: &Tensor,
        actions: &Tensor,
        compute: Compute,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let patches = self.embed.place(&self.embed.project(&compute.dtype.cast(kernels)?)?)?;
        let action = self.action.forward(&compute.dtype.cast(actions)?)?;
        let count = patches.dim(1)?;
        let mut x = Tensor::cat(&[action, patches], 1)?;
        for (index, layer) in self.layers.iter().enumerate() {
            x = compute.run(layer, &x, FdmBlock::forward)?;
            observe(&format!("layer{index}"), &x);
        }
        self.head.forward(&self.norm.forward(&x.narrow(1, 1, count)?)?)
    }
}
