//! Multi-head attention that keeps its gradient.

use candle_core::{D, DType, Result, Tensor};

use crate::head_norm::HeadNorm;
use crate::kernel::heads::{Heads, LogSums, Source};
use crate::kernel::{serves, table};
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
pub(crate) struct Core {
    pub(crate) sources: [Source; 3],
    pub(crate) heads: usize,
    pub(crate) size: usize,
    pub(crate) lengths: [usize; 2],
    pub(crate) inner: usize,
    pub(crate) causal: bool,
}

impl Core {
    /// The operation and the table of its norms' parameters, if they can be served.
    pub(crate) fn heads(
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
