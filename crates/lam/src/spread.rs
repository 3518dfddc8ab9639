//! How far the tokens of different clips lie apart.

use candle_core::{D, DType, Result, Tensor};

/// Norm of the tokens and their spread over the clips, of any number of batches and without keeping them. Tokens that do not
/// depend on the clip have none: the latent actions then say nothing, whatever the histogram of their codes.
///
/// The spread is the root mean square distance of the tokens from their mean over the clips, transition by transition and
/// position by position (a frame's place in the clip alone moves them), over their mean norm.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_lam::TokenSpread;
///
/// // Two clips, one transition, one token of two numbers: norms 5 and 5, each 5 away from the mean (0, 0).
/// let mut spread = TokenSpread::default();
/// spread.add(&Tensor::new(&[[[[3f32, 4.0]]]], &Device::Cpu)?)?;
/// assert_eq!((spread.norm(), spread.spread()), (5.0, None)); // a single clip
/// spread.add(&Tensor::new(&[[[[-3f32, -4.0]]]], &Device::Cpu)?)?;
/// assert_eq!((spread.norm(), spread.spread()), (5.0, Some(1.0)));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokenSpread {
    clips: f64,
    /// Sums over the clips of each number, `(T - 1)·n·d`.
    values: Vec<f64>,
    squares: f64,
    norms: f64,
    /// Tokens of a clip.
    tokens: f64,
}

impl TokenSpread {
    /// Takes in tokens before quantization, `(B, T - 1, n, d)` of any float type; reads them to the host in f64.
    ///
    /// # Errors
    /// Another rank, or clips of another length or size than before.
    pub fn add(&mut self, tokens: &Tensor) -> Result<()> {
        let tokens = tokens.detach().to_dtype(DType::F64)?;
        let (clips, transitions, positions, size) = tokens.dims4()?;
        let numbers = transitions * positions * size;
        if self.clips > 0.0 && self.values.len() != numbers {
            candle_core::bail!(
                "tokens of shape {:?}, those before had {} numbers a clip, not {numbers}",
                tokens.dims(),
                self.values.len()
            );
        }
        let scalar = |value: Tensor| value.to_scalar::<f64>();
        self.values.resize(numbers, 0.0);
        let sums = tokens.sum(0)?.flatten_all()?.to_vec1::<f64>()?;
        self.values.iter_mut().zip(sums).for_each(|(sum, value)| *sum += value);
        self.squares += scalar(tokens.sqr()?.sum_all()?)?;
        self.norms += scalar(tokens.sqr()?.sum(D::Minus1)?.sqrt()?.sum_all()?)?;
        self.clips += clips as f64;
        self.tokens = (transitions * positions) as f64;
        Ok(())
    }

    /// Mean norm of a token; 0 before the first.
    pub fn norm(&self) -> f64 {
        if self.clips > 0.0 { self.norms / (self.clips * self.tokens) } else { 0.0 }
    }

    /// Spread over the clips, over the norm; `None` for fewer than two clips, 0 for tokens of zeros.
    pub fn spread(&self) -> Option<f64> {
        if self.clips < 2.0 {
            return None;
        }
        let of_means: f64 = self.values.iter().map(|sum| (sum / self.clips).powi(2)).sum();
        let variance = (self.squares / self.clips - of_means).max(0.0) / self.tokens;
        let norm = self.norm();
        Some(if norm > 0.0 { variance.sqrt() / norm } else { 0.0 })
    }
}
