//! The probe's numbers beside the references that they mean nothing without.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::study::probe::ProbeInput;
use crate::study::probe::fit::Fit;

/// What made the predictions of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// The paper's head: AdamW on the mean absolute error.
    Trained,
    /// Closed form, a little penalty.
    Ridge,
    /// Closed form, no penalty.
    LeastSquares,
    /// The best constant for the absolute error: the train split's median.
    Median,
    /// The best constant for the squared error: the train split's mean.
    Mean,
    /// As [`RowKind::Trained`] on shuffled latent actions.
    ShuffledTrained,
    /// As [`RowKind::Ridge`] on shuffled latent actions.
    ShuffledRidge,
}

impl RowKind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trained => "trained head",
            Self::Ridge => "ridge",
            Self::LeastSquares => "least squares",
            Self::Median => "constant: median",
            Self::Mean => "constant: mean",
            Self::ShuffledTrained => "trained, shuffled z",
            Self::ShuffledRidge => "ridge, shuffled z",
        }
    }
}

/// One predictor on both splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRow {
    /// Which one.
    pub kind: RowKind,
    /// On the split that it was fitted to.
    pub train: Fit,
    /// On the other one.
    pub valid: Fit,
}

/// All predictors of a probe, in the units of [`Quantiles`](crate::Quantiles). Prints itself as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeReport {
    /// What was read.
    pub input: ProbeInput,
    /// Steps of the trained heads.
    pub steps: u64,
    /// Samples of each step.
    pub batch: usize,
    /// Penalty of the ridge solution, see [`Ridge::lambda`](crate::Ridge::lambda).
    pub lambda: f64,
    /// Penalty of the least squares solution: above 0 if the latent actions have not the full rank.
    pub least_squares_lambda: f64,
    /// Every [`RowKind`] once, in that order.
    pub rows: Vec<ProbeRow>,
}

impl ProbeReport {
    /// One row.
    ///
    /// # Panics
    /// If it is not there; [`probe()`](crate::probe()) makes all of them.
    pub fn row(&self, kind: RowKind) -> &ProbeRow {
        match self.rows.iter().find(|row| row.kind == kind) {
            Some(row) => row,
            None => panic!("the report has no row `{}`", kind.name()),
        }
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r2 = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.4}"));
        let z = match self.input {
            ProbeInput::Quantised => "after quantization",
            ProbeInput::PreQuantised => "before quantization",
        };
        let Some(first) = self.rows.first() else { return Ok(()) };
        writeln!(
            f,
            "Linear probe, z {z}; {} transitions to fit, {} held out; {} steps of {}",
            first.train.samples, first.valid.samples, self.steps, self.batch
        )?;
        writeln!(f, "{:<20}  train L1  train MSE  train R2  valid L1  valid MSE  valid R2", "")?;
        for ProbeRow { kind, train, valid } in &self.rows {
            write!(f, "{:<20}", kind.name())?;
            for fit in [train, valid] {
                write!(f, "  {:>8.4}  {:>9.4}  {:>8}", fit.l1, fit.mse, r2(fit.r2))?;
            }
            writeln!(f)?;
        }
        if self.least_squares_lambda > 0.0 {
            writeln!(
                f,
                "z has not the full rank: least squares with lambda {:.1e}",
                self.least_squares_lambda
            )?;
        }
        writeln!(f, "{:<20}  train L1  train R2  valid L1  valid R2", "trained head, by dim")?;
        for (index, (train, valid)) in first.train.dimensions.iter().zip(&first.valid.dimensions).enumerate()
        {
            write!(f, "{index:<20}")?;
            for fit in [train, valid] {
                write!(f, "  {:>8.4}  {:>8}", fit.l1, r2(fit.r2))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
