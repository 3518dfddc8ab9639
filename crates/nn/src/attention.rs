//! Multi-head attention that keeps its gradient.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::kernel::heads::{Heads, LogSums, Source};
use crate::kernel::row_norm::RowNorm;
use crate::kernel::{serves, table};
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
/// No keys; causal attention with another number of queries than keys; shapes that do not fit.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let (n, heads, length, dim) = q.dims4()?;
    if q.elem_count() == 0 {
        return Ok(q.clone());
    }
    let keys = k.dim(2)?;
    if keys == 0 || (causal && length != keys) {
        candle_core::bail!("attention of {length} queries to {keys} keys, causal: {causal}");
    }
    let fits = k.dims() == v.dims() && k.dims() == [n, heads, keys, dim] && (!causal || length == keys);
    if fits && serves(&[q, k, v]) {
        let op = Heads {
            sources: [0, 1, 2].map(|operand| Source { operand, width: dim, offset: 0 }),
            heads: 1,
            size: dim,
            lengths: [length, keys],
            inner: 1,
            causal,
            norms: [None, None],
            rope: None,
            log_sums: LogSums::default(),
        };
        if op.fits(q)? {
            return q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op);
        }
    }
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

const RMS_EPS: f64 = 1e-6;

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

    /// The row-wise form; its parameters are appended to `rows`.
    fn row_norm(&self, rows: &mut Vec<Tensor>) -> Option<RowNorm> {
        let scale = rows.len();
        match self {
            Self::Identity => None,
            Self::Rms(weight) => {
                rows.push(weight.clone());
                Some(RowNorm { centred: false, eps: RMS_EPS as f32, scale, shift: None })
            }
            Self::Layer(norm) => {
                rows.extend([norm.weight.clone(), norm.bias.clone()]);
                Some(RowNorm { centred: true, eps: norm.eps as f32, scale, shift: Some(scale + 1) })
            }
        }
    }

    /// Over the last dimension.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Rms(weight) => rms_norm(x, weight, RMS_EPS),
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
        let (b, length, s, dim) = x.dims4()?;
        let qkv = self.qkv.forward(x)?;
        if let Some(out) = self.fused(&qkv, length, s)? {
            return self.proj.forward(&out);
        }
        let columns = qkv.transpose(1, 2)?.contiguous()?.reshape((b * s, length, 3 * dim))?;
        let out = self.composed(&columns)?.reshape((b, s, length, dim))?.transpose(1, 2)?;
        self.proj.forward(&out)
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

/// Attention from queries `(M, Lq, dim)` to keys and values `(M, Lk, 2 dim)` (keys first), heads merged again:
/// `(M, Lq, dim)`. Norms are applied within each head.
///
/// # Errors
/// Heads that do not divide the width, batches or dtypes that differ, no keys.
pub fn attend_tokens(
    q: &Tensor,
    kv: &Tensor,
    heads: usize,
    q_norm: &HeadNorm,
    k_norm: &HeadNorm,
) -> Result<Tensor> {
    let ((rows, queries, dim), (kv_rows, keys, both)) = (q.dims3()?, kv.dims3()?);
    let fits = both == 2 * dim && rows == kv_rows && keys > 0 && q.dtype() == kv.dtype();
    if heads == 0 || !dim.is_multiple_of(heads) || !fits {
        candle_core::bail!(
            "{heads} attention heads, queries of shape {:?} ({:?}), keys and values of shape {:?} ({:?})",
            q.dims(),
            q.dtype(),
            kv.dims(),
            kv.dtype()
        );
    }
    let source = |operand: usize, width: usize, offset: usize| Source { operand, width, offset };
    let shape = Core {
        sources: [source(0, dim, 0), source(1, 2 * dim, 0), source(1, 2 * dim, dim)],
        heads,
        size: dim / heads,
        lengths: [queries, keys],
        inner: 1,
        causal: false,
    };
    if serves(&[q])
        && let Some((op, norms)) = shape.heads(kv, [q_norm, k_norm], None)?
    {
        return q.contiguous()?.apply_op3(&kv.contiguous()?, &norms, op);
    }
    let part = |index: usize| split_heads(&kv.narrow(2, index * dim, dim)?, heads);
    let q = q_norm.forward(&split_heads(q, heads)?)?;
    merge_heads(&attend(&q, &k_norm.forward(&part(0)?)?, &part(1)?, false)?)
}

/// A [`Heads`] without its norms and positions.
struct Core {
    sources: [Source; 3],
    heads: usize,
    size: usize,
    lengths: [usize; 2],
    inner: usize,
    causal: bool,
}

impl Core {
    /// The operation and the table of its norms' parameters, if they can be served.
    fn heads(
        self,
        operand: &Tensor,
        norms: [&HeadNorm; 2],
        rope: Option<&Rope>,
    ) -> Result<Option<(Heads, Tensor)>> {
        let Self { sources, heads, size, lengths, inner, causal } = self;
        let mut rows = Vec::new();
        let norms = norms.map(|norm| norm.row_norm(&mut rows));
        let fits = rows.iter().all(|row| row.dims() == [size]) && rope.is_none_or(|rope| rope.size() == size);
        if !fits || !serves(&[operand]) || !rows.iter().all(|row| serves(&[row])) {
            return Ok(None);
        }
        let rope = rope.map(|rope| rope.table(lengths[0].max(lengths[1])));
        let log_sums = LogSums::default();
        let op = Heads { sources, heads, size, lengths, inner, causal, norms, rope, log_sums };
        if !op.fits(operand)? {
            return Ok(None);
        }
        let parameters = if rows.is_empty() {
            Tensor::zeros(1, DType::F32, operand.device())?
        } else {
            table(&Tensor::stack(&rows, 0)?)?
        };
        Ok(Some((op, parameters)))
    }
}
