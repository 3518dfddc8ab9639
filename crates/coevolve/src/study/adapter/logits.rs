//! Logits of codes: their loss, the likeliest code, a drawn one.

use candle_core::{DType, Result, Tensor};
use cola_random::stream;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How a code is taken from logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The likeliest one at each position; the lowest index among equals.
    Argmax,
    /// One drawn at each position with its probability: restores the diversity that the likeliest codes lack.
    Sample {
        /// Keys the draws, together with the row's number.
        seed: u64,
    },
}

/// Logits `(M, n, K)` of `n` codes each.
#[derive(Clone, Debug)]
pub struct CodeLogits(Tensor);

impl CodeLogits {
    /// From a network's output `(M, n·K)`.
    ///
    /// # Errors
    /// A last dimension that `positions` does not divide.
    pub fn new(output: &Tensor, positions: usize) -> Result<Self> {
        let (rows, outputs) = output.dims2()?;
        if positions == 0 || !outputs.is_multiple_of(positions) {
            candle_core::bail!("{outputs} outputs cannot be logits of {positions} codes");
        }
        Ok(Self(output.reshape((rows, positions, outputs / positions))?))
    }

    /// `(M, n, K)`.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// Mean over rows and positions of `-ln softmax` at codes `(M, n)`, a scalar.
    ///
    /// # Errors
    /// Codes of another shape, or that the codebook does not have.
    pub fn cross_entropy(&self, codes: &Tensor) -> Result<Tensor> {
        candle_nn::loss::cross_entropy(&self.0.flatten(0, 1)?, &codes.flatten_all()?)
    }

    /// Codes `(M, n)` u32.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn choose(&self, choice: Choice) -> Result<Tensor> {
        let (rows, positions, _) = self.0.dims3()?;
        let logits = self.0.detach().to_dtype(DType::F64)?.to_vec3::<f64>()?;
        let codes: Vec<u32> = logits
            .iter()
            .enumerate()
            .flat_map(|(row, positions)| {
                let mut rng = match choice {
                    Choice::Argmax => None,
                    Choice::Sample { seed } => Some(stream(seed, "adapter-sample", 0, row as u64)),
                };
                positions
                    .iter()
                    .map(move |logits| match &mut rng {
                        None => likeliest(logits),
                        Some(rng) => drawn(logits, rng.random()),
                    })
                    .collect::<Vec<u32>>()
            })
            .collect();
        Tensor::from_vec(codes, (rows, positions), self.0.device())
    }
}

fn likeliest(logits: &[f64]) -> u32 {
    let best = (0..logits.len()).reduce(|best, code| if logits[code] > logits[best] { code } else { best });
    best.unwrap_or(0) as u32
}

/// The code in whose share of `[0, 1)` the number `at` lies.
fn drawn(logits: &[f64], at: f64) -> u32 {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights = logits.iter().map(|logit| (logit - most).exp());
    let mut left = at * weights.clone().sum::<f64>();
    for (code, weight) in weights.enumerate() {
        left -= weight;
        if left < 0.0 {
            return code as u32;
        }
    }
    // Rounding only: the shares add up to less than `at`.
    likeliest(logits)
}
