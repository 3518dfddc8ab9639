//! What happens to a codebook outside the gradient: rows are replaced, a moving average is followed.

use candle_core::{Result, Tensor, Var};
use cola_nn::Params;

use super::cosine::unit;
use super::ema::Statistics;
use super::{CLUSTER_SIZE, CODEBOOK, EMBED_AVG};
use crate::config::{CodeUpdate, LamConfig, QuantizerConfig};
use crate::precision::at_least_f32;
use crate::restart::replace_rows;

/// The codebook of a parameter set, with the statistics of its moving average where it has one. Changes variables in
/// place: drop the step's graph first.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_lam::{Codebook, CodeUpdate, LamConfig, LatentActionModel, QuantizerConfig};
/// use cola_nn::Params;
///
/// # fn main() -> candle_core::Result<()> {
/// let quantizer = QuantizerConfig { update: CodeUpdate::Ema, decay: 0.5, ..QuantizerConfig::default() };
/// let config = LamConfig { quantizer, code_dim: 1, codes: 2, ..LamConfig::tiny() };
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let model = LatentActionModel::new(&config, params.trainable())?;
/// let codebook = Codebook::open(&config, &params)?.expect("no scalar quantization");
/// codebook.replace(&[0, 1], &Tensor::new(&[[0f32], [8.0]], &Device::Cpu)?)?;
/// let tokens = Tensor::new(&[[[[4.5f32], [8.0]]]], &Device::Cpu)?; // one transition, two tokens of one number
/// codebook.follow(&tokens, &model.quantize(&tokens)?.codes)?;
/// // The second code was chosen twice: (0.5 * 8 + 0.5 * 12.5) / (0.5 * 1 + 0.5 * 2).
/// let row = params.get(cola_lam::CODEBOOK).unwrap().get(1)?.to_vec1::<f32>()?[0];
/// assert!((row - 10.25 / 1.5).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
pub struct Codebook {
    rows: Var,
    /// Counts and sums.
    statistics: Option<(Var, Var)>,
    config: QuantizerConfig,
}

impl Codebook {
    /// The codebook below `vq` of a set over which a [`LatentActionModel`](crate::LatentActionModel) was built; `None` for
    /// scalar quantization.
    ///
    /// # Errors
    /// A set without the configuration's parameters; the message names the first that is missing.
    pub fn open(config: &LamConfig, params: &Params) -> Result<Option<Self>> {
        let quantizer = config.quantizer.clone();
        if quantizer.is_scalar() {
            return Ok(None);
        }
        let var = |name: &str| match params.get(name) {
            Some(var) => Ok(var),
            None => candle_core::bail!("there is no parameter `{name}`: build the model over this set first"),
        };
        let statistics = match quantizer.update {
            CodeUpdate::Gradient => None,
            CodeUpdate::Ema => Some((var(CLUSTER_SIZE)?, var(EMBED_AVG)?)),
        };
        Ok(Some(Self { rows: var(CODEBOOK)?, statistics, config: quantizer }))
    }

    /// Puts new rows in the place of some; with `cosine` they are brought to length 1. Their statistics start anew: chosen
    /// once, by a token equal to the row.
    ///
    /// # Shapes
    /// `values` `(rows.len(), d)`, usually from [`rows_from_tokens`](crate::rows_from_tokens).
    ///
    /// # Errors
    /// Another shape.
    pub fn replace(&self, rows: &[usize], values: &Tensor) -> Result<()> {
        let values = values.detach().to_dtype(self.rows.dtype())?;
        let values = if self.config.cosine { unit(&values)?.detach() } else { values };
        self.rows.set(&replace_rows(&self.rows.as_detached_tensor(), rows, &values)?)?;
        if let Some((counts, sums)) = &self.statistics {
            let once = Tensor::ones(rows.len(), counts.dtype(), counts.device())?;
            counts.set(&replace_rows(&counts.as_detached_tensor(), rows, &once)?)?;
            sums.set(&replace_rows(&sums.as_detached_tensor(), rows, &values)?)?;
        }
        Ok(())
    }

    /// Takes in the tokens `(..., d)` and codes `(...)` of one step and moves the codebook after them; does nothing without
    /// a moving average. The codes are those that the old codebook gave.
    ///
    /// # Errors
    /// Tokens that do not fit the codebook, a code that it does not have.
    pub fn follow(&self, tokens: &Tensor, codes: &Tensor) -> Result<()> {
        let Some((counts, sums)) = &self.statistics else { return Ok(()) };
        let size = self.rows.dim(1)?;
        let tokens = at_least_f32(&tokens.detach().reshape(((), size))?)?.to_dtype(sums.dtype())?;
        let tokens = if self.config.cosine { unit(&tokens)? } else { tokens };
        let before = Statistics { counts: counts.as_detached_tensor(), sums: sums.as_detached_tensor() };
        let after = before.after(&tokens.contiguous()?, &codes.flatten_all()?, self.config.decay)?;
        self.rows.set(&after.rows(self.config.eps, self.config.cosine)?)?;
        counts.set(&after.counts)?;
        sums.set(&after.sums)
    }
}
