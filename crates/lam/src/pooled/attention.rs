//! Attention with separate query and key-value layers.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{HeadNorm, Linear, attend_tokens};

/// `proj(softmax(q kᵀ / sqrt(D/heads)) v)` with `q = q_norm(Linear(x))` and `(k, v)` the halves of one `Linear(D, 2D)`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    q: Linear,
    kv: Linear,
    proj: Linear,
    q_norm: HeadNorm,
    k_norm: HeadNorm,
    heads: usize,
}

impl Attention {
    /// Parameters `q`, `kv`, `proj`; queries and keys as they are.
    pub(crate) fn plain(dim: usize, heads: usize, vb: VarBuilder) -> Result<Self> {
        Self::with_norms(dim, heads, HeadNorm::Identity, HeadNorm::Identity, vb)
    }

    /// The same with layer norms `q_layernorm` and `k_layernorm` over the head size.
    pub(crate) fn normed(dim: usize, heads: usize, vb: VarBuilder) -> Result<Self> {
        let norm = |name: &str| HeadNorm::layer(dim / heads, vb.pp(name));
        Self::with_norms(dim, heads, norm("q_layernorm")?, norm("k_layernorm")?, vb.clone())
    }

    fn with_norms(
        dim: usize,
        heads: usize,
        q_norm: HeadNorm,
        k_norm: HeadNorm,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(Self {
            q: Linear::new(dim, dim, vb.pp("q"))?,
            kv: Linear::new(dim, 2 * dim, vb.pp("kv"))?,
            proj: Linear::new(dim, dim, vb.pp("proj"))?,
            q_norm,
            k_norm,
            heads,
        })
    }

    /// Queries from `x` `(M, Lq, D)` or `(1, Lq, D)`, which every row of the batch then shares; keys and values from
    /// `context` `(M, Lk, D)`. Returns `(M, Lq, D)`.
    pub(crate) fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (q, kv) = (self.q.forward(x)?, self.kv.forward(context)?);
        let rows = kv.dim(0)?;
        let q = if q.dim(0)? == rows { q } else { q.broadcast_as((rows, q.dim(1)?, q.dim(2)?))? };
        self.proj.forward(&attend_tokens(&q, &kv, self.heads, &self.q_norm, &self.k_norm)?)
    }
}
