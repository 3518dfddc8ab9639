//! Self-attention with its projections.

use candle_core::{D, Result, Tensor};
use candle_nn::var_builder::VarBuilder;

use crate::attention::{Core, attend, merge_heads, split_heads};
use crate::head_norm::HeadNorm;
use crate::kernel::heads::Source;
use crate::linear::{Linear, xavier};
use crate::rope::Rope;

/// What a [`SelfAttention`] looks like.
#[derive(Clone, Debug)]
pub struct SelfAttentionConfig {
    /// Width of the tokens.
    pub dim: usize,
    /// Heads; they divide the width.
    pub heads: usize,
    /// Position `i` attends to `0..=i` only.
    pub causal: bool,
    /// The output projection starts at zero: a residual branch that starts silent.
    pub silent: bool,
}

impl SelfAttentionConfig {
    fn checked(&self) -> Result<Self> {
        if self.heads == 0 || !self.dim.is_multiple_of(self.heads) {
            candle_core::bail!("{} attention heads do not divide a width of {}", self.heads, self.dim);
        }
        Ok(self.clone())
    }
}

/// Self-attention over `(N, L, dim)`: one `qkv` layer (rows q, k, v; head-major within each), a norm on q and k, an
/// optional rotary embedding, an output projection `proj`. [`SelfAttention::plain`] has other parameters.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    qkv: Projection,
    proj: Linear,
    q_norm: HeadNorm,
    k_norm: HeadNorm,
    rope: Option<Rope>,
    heads: usize,
    causal: bool,
}

/// What makes queries, keys and values of tokens.
#[derive(Clone, Debug)]
enum Projection {
    Whole(Linear),
    /// Three weights without bias. They are put together when they are used: together they are one product, and a
    /// tensor made of variables beforehand would not see them change.
    Parts {
        weights: [Tensor; 3],
        no_bias: Tensor,
    },
}

impl Projection {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Whole(layer) => layer.forward(x),
            Self::Parts { weights, no_bias } => {
                Linear::of(Tensor::cat(weights, 0)?, no_bias.clone()).forward(x)
            }
        }
    }
}

impl SelfAttention {
    /// With norms `q_norm` and `k_norm` made by `norm` (e.g. [`HeadNorm::rms`]).
    ///
    /// # Errors
    /// Heads that do not divide the width, a stored parameter of another shape.
    pub fn new(
        config: &SelfAttentionConfig,
        norm: impl Fn(usize, VarBuilder) -> Result<HeadNorm>,
        rope: Option<Rope>,
        vb: VarBuilder,
    ) -> Result<Self> {
        let SelfAttentionConfig { dim, heads, causal, silent } = config.checked()?;
        let proj = if silent { Linear::zero } else { Linear::new };
        Ok(Self {
            qkv: Projection::Whole(Linear::new(dim, 3 * dim, vb.pp("qkv"))?),
            proj: proj(dim, dim, vb.pp("proj"))?,
            q_norm: norm(dim / heads, vb.pp("q_norm"))?,
            k_norm: norm(dim / heads, vb.pp("k_norm"))?,
            rope,
            heads,
            causal,
        })
    }

    /// Without norms and without a bias before the heads: parameters `to_q.weight`, `to_k.weight`, `to_v.weight`, and
    /// `to_out.0` with a bias, as Genie-like models have them.
    ///
    /// # Errors
    /// As [`SelfAttention::new`].
    pub fn plain(config: &SelfAttentionConfig, rope: Option<Rope>, vb: VarBuilder) -> Result<Self> {
        let SelfAttentionConfig { dim, heads, causal, silent } = config.checked()?;
        let weight = |name: &str| vb.pp(name).get_with_hints((dim, dim), "weight", xavier(dim, dim));
        let proj = if silent { Linear::zero } else { Linear::new };
        Ok(Self {
            qkv: Projection::Parts {
                weights: [weight("to_q")?, weight("to_k")?, weight("to_v")?],
                no_bias: Tensor::zeros(3 * dim, vb.dtype(), vb.device())?,
            },
            proj: proj(dim, dim, vb.pp("to_out.0"))?,
            q_norm: HeadNorm::Identity,
            k_norm: HeadNorm::Identity,
            rope,
            heads,
            causal,
        })
    }

    /// `(..., L, dim)` to the same shape.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        if let Some(out) = self.fused(&qkv, x.dim(D::Minus2)?, 1)? {
            return self.proj.forward(&out);
        }
        let dims = qkv.dims();
        let flat = qkv.reshape(((), dims[dims.len() - 2], dims[dims.len() - 1]))?;
        self.proj.forward(&self.composed(&flat)?.reshape(x.shape())?)
    }

    /// `(B, L, S, dim)` to the same shape: the sequences lie along the second axis.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward_across(&self, x: &Tensor) -> Result<Tensor> {
        self.proj.forward(&self.between_across(&self.qkv.forward(x)?)?)
    }

    /// [`SelfAttention::forward_across`] for positions behind others whose keys and values are known: `x`
    /// `(B, L, S, dim)` follows `past` `(B, P, S, 2 dim)`, keys before values, as this function returned them. Gives the
    /// output `(B, L, S, dim)` and the keys and values of all `P + L` positions, before norm and rotation.
    ///
    /// On the CPU in f32 the output has the bits of [`SelfAttention::forward_across`] over all positions.
    ///
    /// # Errors
    /// Attention that is not causal: earlier positions would have to be computed anew. Shapes that do not fit.
    pub fn forward_behind(&self, x: &Tensor, past: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        if !self.causal {
            candle_core::bail!("earlier positions of an attention that is not causal see later ones");
        }
        let (b, length, s, dim) = x.dims4()?;
        let qkv = self.qkv.forward(x)?;
        let known = past.map_or(Ok(0), |past| past.dim(1))?;
        let all = match past {
            // Nobody reads what earlier positions ask, so their queries may be anything.
            Some(past) => {
                let queries = Tensor::zeros((b, known, s, dim), qkv.dtype(), qkv.device())?;
                Tensor::cat(&[&Tensor::cat(&[&queries, past], 3)?, &qkv], 1)?
            }
            None => qkv,
        };
        let out = self.between_across(&all)?.narrow(1, known, length)?.contiguous()?;
        Ok((self.proj.forward(&out)?, all.narrow(3, dim, 2 * dim)?))
    }

    /// Between the two layers: `(B, L, S, 3 dim)` to `(B, L, S, dim)`, sequences along the second axis.
    fn between_across(&self, qkv: &Tensor) -> Result<Tensor> {
        let (b, length, s, width) = qkv.dims4()?;
        if let Some(out) = self.fused(qkv, length, s)? {
            return Ok(out);
        }
        let columns = qkv.transpose(1, 2)?.contiguous()?.reshape((b * s, length, width))?;
        self.composed(&columns)?.reshape((b, s, length, width / 3))?.transpose(1, 2)
    }

    /// Everything between the two layers in one operation; `inner` sequences lie side by side.
    fn fused(&self, qkv: &Tensor, length: usize, inner: usize) -> Result<Option<Tensor>> {
        let dim = qkv.dim(D::Minus1)? / 3;
        let source = |part: usize| Source { operand: 0, width: 3 * dim, offset: part * dim };
        let shape = Core {
            sources: [source(0), source(1), source(2)],
            heads: self.heads,
            size: dim / self.heads,
            lengths: [length, length],
            inner,
            causal: self.causal,
        };
        let Some((op, norms)) = shape.heads(qkv, [&self.q_norm, &self.k_norm], self.rope.as_ref())? else {
            return Ok(None);
        };
        qkv.contiguous()?.apply_op2(&norms, op).map(Some)
    }

    /// `(N, L, 3 dim)` to `(N, L, dim)`.
    fn composed(&self, qkv: &Tensor) -> Result<Tensor> {
        let dim = qkv.dim(2)? / 3;
        let part = |index: usize| split_heads(&qkv.narrow(2, index * dim, dim)?, self.heads);
        let (mut q, mut k) = (self.q_norm.forward(&part(0)?)?, self.k_norm.forward(&part(1)?)?);
        if let Some(rope) = &self.rope {
            (q, k) = (rope.apply(&q)?, rope.apply(&k)?);
        }
        merge_heads(&attend(&q, &k, &part(2)?, self.causal)?)
    }
}
