//! Finite scalar quantization: no codebook, each number of a token is rounded to one of a few levels.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::var_builder::VarBuilder;

use super::{Quantized, VqLosses, leading, with_gradient_of};
use crate::config::LamConfig;
use crate::precision::at_least_f32;

/// How far the bound reaches beyond the outermost levels, as a share.
const MARGIN: f64 = 1e-3;

/// FSQ (arXiv 2309.15505, as in lucidrains' vector-quantize-pytorch). A number `x` with `L` levels becomes
///
/// ```text
/// b = tanh(x + s) h - o      h = (L - 1)(1 + 1e-3)/2,  o = 1/2 for an even L, else 0,  s = atanh(o/h)
/// z = round(b) / floor(L/2)                            in value; in gradient b / floor(L/2)
/// code = sum over the numbers of (round(b) + floor(L/2)) · (product of the earlier L)
/// ```
///
/// It has no parameters and no losses, so no row of a codebook can die; the tokens can still become constants. Computed in f32 (f64 for f64 tokens).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_lam::{CodeInit, LamConfig, LatentActionModel, QuantizerConfig};
/// use cola_nn::Params;
///
/// # fn main() -> candle_core::Result<()> {
/// let quantizer = QuantizerConfig { levels: vec![4, 3], ..QuantizerConfig::default() };
/// let config =
///     LamConfig { quantizer, code_dim: 2, codes: 12, code_init: CodeInit::Box, ..LamConfig::tiny() };
/// let model = LatentActionModel::new(&config, Params::seeded(0, DType::F32, &Device::Cpu).trainable())?;
/// let tokens = Tensor::new(&[[[[-9f32, 9.0], [9.0, 0.0]]]], &Device::Cpu)?;
/// let actions = model.quantize(&tokens)?;
/// assert_eq!(actions.codes.flatten_all()?.to_vec1::<u32>()?, [0 + 4 * 2, 3 + 4 * 1]);
/// assert_eq!(actions.embedding.flatten_all()?.to_vec1::<f32>()?, [-1.0, 1.0, 0.5, 0.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ScalarQuantizer {
    levels: Vec<usize>,
    dtype: DType,
    device: Device,
}

impl ScalarQuantizer {
    /// Without parameters; what [`ScalarQuantizer::embed`] returns has the builder's type and place.
    ///
    /// # Errors
    /// A configuration that fails its check, or has no levels.
    pub fn new(config: &LamConfig, vb: &VarBuilder) -> Result<Self> {
        config.checked()?;
        let levels = config.quantizer.levels.clone();
        if levels.is_empty() {
            candle_core::bail!(
                "`quantizer.levels` is empty: scalar quantization needs the levels of each number"
            );
        }
        Ok(Self { levels, dtype: vb.dtype(), device: vb.device().clone() })
    }

    /// Levels of each number.
    pub fn levels(&self) -> &[usize] {
        &self.levels
    }

    /// Codes of tokens, `(..., d)` to `(...)` u32, without a gradient.
    ///
    /// # Errors
    /// A last dimension other than the number of levels.
    pub fn nearest(&self, tokens: &Tensor) -> Result<Tensor> {
        self.codes(&self.bounded(&at_least_f32(&tokens.detach())?)?.round()?)
    }

    /// What stands for codes, as constants, `(...)` u32 to `(..., d)`: level numbers in `[-1, 1]`. Reads the codes to the
    /// host.
    ///
    /// # Errors
    /// A code that does not exist.
    pub fn embed(&self, codes: &Tensor) -> Result<Tensor> {
        let count: usize = self.levels.iter().product();
        let mut numbers = Vec::with_capacity(codes.elem_count() * self.levels.len());
        for code in codes.flatten_all()?.to_vec1::<u32>()? {
            let mut rest = code as usize;
            if rest >= count {
                candle_core::bail!("code {code}, levels {:?} make {count} codes", self.levels);
            }
            for level in &self.levels {
                let half = level / 2;
                numbers.push(((rest % level) as f64 - half as f64) / half as f64);
                rest /= level;
            }
        }
        let mut shape = codes.dims().to_vec();
        shape.push(self.levels.len());
        Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)
    }

    /// Rounded numbers with the gradient of the bound; both losses are zero.
    pub(crate) fn quantize(&self, tokens: &Tensor) -> Result<Quantized> {
        let bounded = self.bounded(&at_least_f32(tokens)?)?;
        let rounded = bounded.detach().round()?;
        let halves = self.row(&bounded, |level| (level / 2) as f64)?;
        let scaled = |x: &Tensor| x.broadcast_div(&halves);
        let rows = with_gradient_of(&scaled(&rounded)?, &scaled(&bounded)?)?.to_dtype(tokens.dtype())?;
        let nothing = Tensor::zeros((), bounded.dtype(), bounded.device())?;
        let losses = VqLosses { codebook: nothing.clone(), commitment: nothing, entropy: None };
        Ok(Quantized { rows, codes: self.codes(&rounded)?, losses })
    }

    /// `b`, in which every whole number is a level.
    fn bounded(&self, tokens: &Tensor) -> Result<Tensor> {
        leading(tokens, self.levels.len(), "levels are there for tokens")?;
        let reach = |level: usize| (level as f64 - 1.0) * (1.0 + MARGIN) / 2.0;
        let offset = |level: usize| if level.is_multiple_of(2) { 0.5 } else { 0.0 };
        let shift = self.row(tokens, |level| (offset(level) / reach(level)).atanh())?;
        tokens
            .broadcast_add(&shift)?
            .tanh()?
            .broadcast_mul(&self.row(tokens, reach)?)?
            .broadcast_sub(&self.row(tokens, offset)?)
    }

    fn codes(&self, rounded: &Tensor) -> Result<Tensor> {
        let digits = rounded.broadcast_add(&self.row(rounded, |level| (level / 2) as f64)?)?;
        let mut places = Vec::with_capacity(self.levels.len());
        let mut place = 1;
        for level in &self.levels {
            places.push(place as f64);
            place *= level;
        }
        let places = Tensor::new(places, digits.device())?.to_dtype(digits.dtype())?;
        digits.broadcast_mul(&places)?.sum(candle_core::D::Minus1)?.to_dtype(DType::U32)
    }

    /// A number for each level, typed and placed like `x`.
    fn row(&self, x: &Tensor, number: impl Fn(usize) -> f64) -> Result<Tensor> {
        let numbers: Vec<f64> = self.levels.iter().map(|level| number(*level)).collect();
        Tensor::new(numbers, x.device())?.to_dtype(x.dtype())
    }
}
