//! Multi-head attention that keeps its gradient.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::linear::Linear;
use crate::norm::{LayerNorm, rms_norm};
use crate::rope::Rope;

/// `softmax(q kᵀ / sqrt(D)) v`; the softmax is computed in f32 or wider.
///
/// `causal`: position `i` attends to `0..=i`.
///
/// # Shapes
/// `q` `(N, heads, Lq, D)`, `k` and `v` `(N, heads, Lk, D)`; returns `(N, heads, Lq, D)`. Causal needs `Lq == Lk`.
///
/// # Errors
/// Tensor arithmetic.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let (_, _, length, dim) = q.dims4()?;
    let q = (q * (dim as f64).powf(-0.5))?.contiguous()?;
    let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?;
    let wide = if scores.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let scores = scores.to_dtype(wide)?;
    let scores = if causal { scores.broadcast_add(&causal_bias(length, &scores)?)? } else { scores };
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.to_dtype(v.dtype())?;
    weights.matmul(&v.contiguous()?)
}

/// 0 where key <= query, minus infinity elsewhere; `(L, L)`.
fn causal_bias(length: usize, like: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = (0..length * length)
        .map(|i| if i % length <= i / length { 0.0 } else { f32::NEG_INFINITY })
        .collect();
    Tensor::from_vec(values, (length, length), like.device())?.to_dtype(like.dtype())
}

/// `(N, L, heads * D)` to `(N, heads, L, D)`.
///
/// # Errors
/// A width that the heads do not divide.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (n, length, width) = x.dims3()?;
    x.reshape((n, length, heads, width / heads))?.transpose(1, 2)?.contiguous()
}

/// `(N, heads, L, D)` to `(N, L, heads * D)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn merge_heads(x: &Tensor) -> Result<Tensor> {
    let (n, heads, length, dim) = x.dims4()?;
    x.transpose(1, 2)?.contiguous()?.reshape((n, length, heads * dim))
}

/// The norm of queries and keys within a head, its parameters shared by all heads.
#[derive(Clone, Debug)]
pub enum HeadNorm {
    /// None.
    Identity,
    /// `weight x / sqrt(mean(x²) + 1e-6)` (Open-Sora).
    Rms(Tensor),
    /// Layer norm with scale and shift, eps 1e-5 (latent action model).
    Layer(LayerNorm),
}

impl HeadNorm {
    /// RMS norm; parameter `weight`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn rms(dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Rms(vb.get_with_hints(dim, "weight", Init::Const(1.0))?))
    }

    /// Layer norm; parameters `weight` and `bias`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn layer(dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Layer(LayerNorm::new(dim, 1e-5, vb)?))
    }

    /// Over the last dimension.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Rms(weight) => rms_norm(x, weight, 1e-6),
            Self::Layer(norm) => norm.forward(x),
        }
    }
}

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

/// Self-attention over `(N, L, dim)`: one `qkv` layer (rows q, k, v; head-major within each), a norm on q and k, an
/// optional rotary embedding, an output projection `proj`.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    qkv: Linear,
    proj: Linear,
    q_norm: HeadNorm,
    k_norm: HeadNorm,
    rope: Option<Rope>,
    heads: usize,
    causal: bool,
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
        let SelfAttentionConfig { dim, heads, causal, silent } = *config;
        if heads == 0 || !dim.is_multiple_of(heads) {
            candle_core::bail!("{heads} attention heads do not divide a width of {dim}");
        }
        let proj = if silent { Linear::zero } else { Linear::new };
        Ok(Self {
            qkv: Linear::new(dim, 3 * dim, vb.pp("qkv"))?,
            proj: proj(dim, dim, vb.pp("proj"))?,
            q_norm: norm(dim / heads, vb.pp("q_norm"))?,
            k_norm: norm(dim / heads, vb.pp("k_norm"))?,
            rope,
            heads,
            causal,
        })
    }

    /// `(N, L, dim)` to the same shape.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, dim) = x.dims3()?;
        let qkv = self.qkv.forward(x)?;
        let part = |index: usize| split_heads(&qkv.narrow(2, index * dim, dim)?, self.heads);
        let (mut q, mut k) = (self.q_norm.forward(&part(0)?)?, self.k_norm.forward(&part(1)?)?);
        if let Some(rope) = &self.rope {
            (q, k) = (rope.apply(&q)?, rope.apply(&k)?);
        }
        self.proj.forward(&merge_heads(&attend(&q, &k, &part(2)?, self.causal)?)?)
    }
}
