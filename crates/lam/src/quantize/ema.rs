//! The moving average that a codebook can follow instead of a gradient.

use candle_core::{Result, Tensor};

use super::cosine::unit;

/// How many tokens chose each code and their sum, both as moving averages (van den Oord et al. 2017, appendix A.1; as in
/// lucidrains' vector-quantize-pytorch).
///
/// ```text
/// n_k <- g n_k + (1 - g) count_k            s_k <- g s_k + (1 - g) sum of the tokens that chose k
/// C_k <- s_k / (sum n · (n_k + eps) / (sum n + K eps))
/// ```
pub(super) struct Statistics {
    /// `n`, `(K)`.
    pub(super) counts: Tensor,
    /// `s`, `(K, d)`.
    pub(super) sums: Tensor,
}

impl Statistics {
    /// After one more batch of tokens `(N, d)` with codes `(N)`. Tokens are added one after the other, so that the sums do
    /// not depend on the number of threads.
    pub(super) fn after(&self, tokens: &Tensor, codes: &Tensor, decay: f64) -> Result<Self> {
        let ones = Tensor::ones(codes.dims1()?, self.counts.dtype(), codes.device())?;
        let counts = self.counts.zeros_like()?.index_add(codes, &ones, 0)?;
        let sums = self.sums.zeros_like()?.index_add(codes, tokens, 0)?;
        let mix = |old: &Tensor, new: Tensor| (old * decay)? + (new * (1.0 - decay))?;
        Ok(Self { counts: mix(&self.counts, counts)?, sums: mix(&self.sums, sums)? })
    }

    /// The codebook `(K, d)` that these statistics stand for; of unit rows with `cosine`.
    pub(super) fn rows(&self, eps: f64, cosine: bool) -> Result<Tensor> {
        let codes = self.counts.dims1()? as f64;
        let all = self.counts.sum_all()?;
        let smoothed = (&self.counts + eps)?.broadcast_div(&(&all + codes * eps)?)?.broadcast_mul(&all)?;
        let rows = self.sums.broadcast_div(&smoothed.unsqueeze(1)?)?;
        if cosine { unit(&rows) } else { Ok(rows) }
    }
}
