//! How often an adapter is right, and how much of the codebook it still uses (paper figure 5).

use std::fmt;

use candle_core::{DType, Tensor};
use cola_lam::{UsageFigures, UsageReport};
use serde::Serialize;

use crate::Error;
use crate::study::StudyError;
use crate::study::adapter::Target;

/// Shares of right codes, in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Of all codes.
    pub token: f64,
    /// Of the codes at each position.
    pub positions: Vec<f64>,
    /// Of whole actions.
    pub joint: f64,
}

impl Accuracy {
    /// Of codes `(M, n)` against the true ones `(M, n)`, whole numbers of any dtype.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`] for other shapes, [`StudyError::FewTransitions`] without rows.
    pub fn of(codes: &Tensor, truth: &Tensor) -> Result<Self, Error> {
        let (rows, positions) = truth.dims2()?;
        if codes.dims() != truth.dims() {
            let (found, expected) = (format!("{:?}", codes.dims()), format!("{:?}", truth.dims()));
            return Err(StudyError::Mismatch { what: "codes", found, expected }.into());
        }
        if rows * positions == 0 {
            return Err(StudyError::FewTransitions { found: 0 }.into());
        }
        let host = |codes: &Tensor| codes.to_dtype(DType::U32)?.to_vec2::<u32>();
        let (mut right, mut whole) = (vec![0u64; positions], 0u64);
        for (code, truth) in host(codes)?.iter().zip(&host(truth)?) {
            for (count, (code, truth)) in right.iter_mut().zip(code.iter().zip(truth)) {
                *count += u64::from(code == truth);
            }
            whole += u64::from(code == truth);
        }
        let share = |count: u64, of: usize| count as f64 / of as f64;
        Ok(Self {
            token: share(right.iter().sum(), rows * positions),
            positions: right.into_iter().map(|count| share(count, rows)).collect(),
            joint: share(whole, rows),
        })
    }
}

/// What one way to choose codes gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// How often it is right.
    pub accuracy: Accuracy,
    /// What it uses.
    pub usage: UsageReport,
}

/// An adapter on one split, beside the answer that is always the same and the codes of the latent action model itself.
/// Prints itself as a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterReport {
    /// Transitions.
    pub samples: usize,
    /// What the adapter learned.
    pub target: Target,
    /// Mean cross-entropy in nats, or mean squared error for [`Target::Latent`].
    pub loss: f64,
    /// The likeliest codes; for [`Target::Latent`] those nearest to the output.
    pub argmax: Predicted,
    /// Drawn codes; `None` for [`Target::Latent`].
    pub sampled: Option<Predicted>,
    /// The train split's most frequent codes.
    pub majority: Accuracy,
    /// The codes of the frozen latent action model (the paper's GT-LAM).
    pub truth: UsageReport,
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loss = match self.target {
            Target::Codes => "cross-entropy",
            Target::Latent => "squared error",
        };
        writeln!(f, "Adapter, {} transitions, {loss} {:.4}", self.samples, self.loss)?;
        writeln!(f, "{:<14}  codes right  actions right  by position", "")?;
        let accuracy = |f: &mut fmt::Formatter<'_>, name: &str, found: &Accuracy| {
            write!(f, "{name:<14}  {:>11.4}  {:>13.4} ", found.token, found.joint)?;
            found.positions.iter().try_for_each(|share| write!(f, " {share:.4}"))?;
            writeln!(f)
        };
        accuracy(f, "adapter", &self.argmax.accuracy)?;
        if let Some(sampled) = &self.sampled {
            accuracy(f, "sampled", &sampled.accuracy)?;
        }
        accuracy(f, "majority", &self.majority)?;
        writeln!(f, "{:<14}  {:<10}  utilization  max usage  entropy (nats)", "codes of", "reading")?;
        let usage = |f: &mut fmt::Formatter<'_>, name: &str, found: &UsageReport| {
            let mut line = |reading: &str, figures: &UsageFigures| {
                let UsageFigures { utilization, max_usage, entropy, .. } = figures;
                writeln!(
                    f,
                    "{name:<14}  {reading:<10}  {utilization:>11.4}  {max_usage:>9.4}  {entropy:>14.4}"
                )
            };
            line("pooled", &found.pooled)?;
            for (position, usage) in found.positions.iter().enumerate() {
                line(&format!("position {position}"), usage)?;
            }
            line("joint", &found.joint)
        };
        usage(f, "model (truth)", &self.truth)?;
        usage(f, "adapter", &self.argmax.usage)?;
        match &self.sampled {
            Some(sampled) => usage(f, "sampled", &sampled.usage),
            None => Ok(()),
        }
    }
}
