//! From the patches of a transition to its action tokens.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{GatedMlp, Linear, RmsNorm, add_rows};

use super::attention::Attention;
use crate::config::LamConfig;

/// Attention pooling with learned queries `L0`, norms after each step:
///
/// ```text
/// L = RMS(L0 + Attention(L0, Linear(f)))
/// L = RMS(L + MLP(L))                        gated with SiLU, hidden size 4D
/// tokens = Linear(L)
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    queries: Tensor,
    pre: Linear,
    attention: Attention,
    attention_norm: RmsNorm,
    mlp: GatedMlp,
    mlp_norm: RmsNorm,
    last: Linear,
}

impl Pool {
    /// Parameters `latents` `(n, D)`, `pre_projection`, `attn`, `attn_norm`, `mlp.0.project`, `mlp.1`, `mlp_norm`,
    /// `final_proj.0`.
    pub(crate) fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let dim = config.dim;
        let queries = Init::Randn { mean: 0.0, stdev: 0.02 };
        Ok(Self {
            queries: vb.get_with_hints((config.tokens, dim), "latents", queries)?,
            pre: Linear::new(dim, dim, vb.pp("pre_projection"))?,
            attention: Attention::plain(dim, config.map_heads, vb.pp("attn"))?,
            attention_norm: RmsNorm::new(dim, vb.pp("attn_norm"))?,
            mlp: GatedMlp::new(dim, 4 * dim, vb.pp("mlp.0.project"), vb.pp("mlp.1"))?,
            mlp_norm: RmsNorm::new(dim, vb.pp("mlp_norm"))?,
            last: Linear::new(dim, config.code_dim, vb.pp("final_proj.0"))?,
        })
    }

    /// `(M, N, D)` to `(M, n, d)`.
    pub(crate) fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let queries = self.queries.to_dtype(features.dtype())?.unsqueeze(0)?;
        let read = self.attention.forward(&queries, &self.pre.forward(features)?)?;
        let x = self.attention_norm.forward(&add_rows(&read, &queries)?)?;
        let x = self.mlp_norm.forward(&(&x + self.mlp.forward(&x)?)?)?;
        self.last.forward(&x)
    }
}
