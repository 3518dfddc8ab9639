//! How much of the real action a line can read out of the latent one (paper table 1), beside what it could read out of
//! nothing.

mod fit;
mod head;
mod report;
mod ridge;

use candle_core::{DType, Tensor};
use cola_random::{permutation, stream};
use serde::{Deserialize, Serialize};

pub use fit::{DimensionFit, Fit};
pub use head::Head;
pub use report::{ProbeReport, ProbeRow, RowKind};
pub use ridge::{Ridge, ridge};

use crate::Error;
use crate::study::StudyError;
use crate::study::pairs::ActionPairs;
use crate::study::quantiles::{Quantiles, quantile};
use crate::study::recipe::Recipe;

/// Which latent action is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeInput {
    /// After quantization, as in the paper.
    Quantised,
    /// Before it: what the codebook costs is the difference.
    PreQuantised,
}

/// Settings of a [`probe()`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// What is read.
    pub input: ProbeInput,
    /// How the trained head is fitted; the defaults see the paper's 512 K samples.
    pub recipe: Recipe,
    /// `lambda |W|²` is added to the sum of squares of the ridge solution.
    pub lambda: f64,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { input: ProbeInput::Quantised, recipe: Recipe::new(512), lambda: 0.01 }
    }
}

/// A fitted probe: what it was told, what it learned, what that is worth.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Units of the actions, from the train split.
    pub quantiles: Quantiles,
    /// The head trained by AdamW: latent action to normalised real action.
    pub head: Head,
    /// Mean absolute error of each step's batch, before the step.
    pub losses: Vec<f64>,
    /// All rows of the comparison.
    pub report: ProbeReport,
}

/// Fits on `train`, measures on both: the head of the paper (AdamW on the mean absolute error), the closed-form
/// solutions of the squared error, the best constants, and the first two again on latent actions that were shuffled
/// among the transitions of their split.
///
/// The trained head starts at zero, so it never moves along directions in which the latent actions do not vary; with
/// AdamW a weight travels at most about rate x steps, so that latent actions of small scale are read badly by it and well
/// by least squares: look at both.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_coevolve::{ActionPairs, ProbeConfig, RowKind, probe};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Four latent actions, and an action that is exactly twice the first number.
/// let pairs = |rows: usize| -> candle_core::Result<ActionPairs> {
///     let codes = Tensor::from_iter((0..rows).map(|i| (i % 4) as u32), &Device::Cpu)?.reshape((rows, 1))?;
///     let z = codes.to_dtype(DType::F32)?;
///     Ok(ActionPairs { embedding: z.clone(), tokens: z.clone(), codes, actions: (z * 2.0)?, clips: rows })
/// };
/// let found = probe(&pairs(64)?, &pairs(32)?, &ProbeConfig::default())?;
/// assert!(found.report.row(RowKind::LeastSquares).valid.l1 < 1e-9);
/// assert!(found.report.row(RowKind::Median).valid.l1 > 0.5);
/// println!("{}", found.report); // a table, references beside the result
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`StudyError::FewTransitions`] for a split of less than two, [`StudyError::Mismatch`] for splits of other sizes,
/// [`StudyError::NotFinite`], [`StudyError::Setting`]. Collapsed latent actions are no error: every row then says what
/// the best constant says.
pub fn probe(train: &ActionPairs, valid: &ActionPairs, config: &ProbeConfig) -> Result<Probe, Error> {
    config.recipe.check()?;
    for pairs in [train, valid] {
        if pairs.len() < 2 {
            return Err(StudyError::FewTransitions { found: pairs.len() }.into());
        }
    }
    let quantiles = Quantiles::fit(&train.actions)?;
    let data = Splits {
        z: (train.latents(config.input)?, valid.latents(config.input)?),
        y: (quantiles.normalise(&train.actions)?, quantiles.normalise(&valid.actions)?),
    };
    let shuffled = Splits {
        z: (shuffled(&data.z.0, config, 0)?, shuffled(&data.z.1, config, 1)?),
        y: (data.y.0.clone(), data.y.1.clone()),
    };
    let (head, losses) = data.trained(config)?;
    let best = ridge(&data.z.0, &data.y.0, config.lambda)?;
    let least = ridge(&data.z.0, &data.y.0, 0.0)?;
    let (other, _) = shuffled.trained(config)?;
    let other_best = ridge(&shuffled.z.0, &shuffled.y.0, config.lambda)?;
    let rows = vec![
        data.row(RowKind::Trained, &head)?,
        data.row(RowKind::Ridge, &best.head)?,
        data.row(RowKind::LeastSquares, &least.head)?,
        data.row(RowKind::Median, &data.constant(median)?)?,
        data.row(RowKind::Mean, &data.constant(mean)?)?,
        shuffled.row(RowKind::ShuffledTrained, &other)?,
        shuffled.row(RowKind::ShuffledRidge, &other_best.head)?,
    ];
    let report = ProbeReport {
        input: config.input,
        steps: config.recipe.steps,
        batch: config.recipe.batch,
        lambda: best.lambda,
        least_squares_lambda: least.lambda,
        rows,
    };
    Ok(Probe { quantiles, head, losses, report })
}

/// Latent and normalised real actions of both splits, f64.
struct Splits {
    z: (Tensor, Tensor),
    y: (Tensor, Tensor),
}

impl Splits {
    fn trained(&self, config: &ProbeConfig) -> Result<(Head, Vec<f64>), Error> {
        let start = Head::zero(self.z.0.dim(1)?, self.y.0.dim(1)?, DType::F64)?;
        let batches = config.recipe.batches(self.z.0.dim(0)?);
        start.train(&self.z.0, &self.y.0, batches, &config.recipe)
    }

    fn row(&self, kind: RowKind, head: &Head) -> Result<ProbeRow, Error> {
        Ok(ProbeRow {
            kind,
            train: Fit::of(&head.predict(&self.z.0)?, &self.y.0)?,
            valid: Fit::of(&head.predict(&self.z.1)?, &self.y.1)?,
        })
    }

    /// The head that says the same whatever it is shown: one number of the train split for each dimension.
    fn constant(&self, number: fn(Vec<f64>) -> f64) -> Result<Head, Error> {
        let columns = self.y.0.t()?.contiguous()?.to_vec2::<f64>()?;
        let bias: Vec<f64> = columns.into_iter().map(number).collect();
        let silent = Head::zero(self.z.0.dim(1)?, bias.len(), DType::F64)?;
        Ok(Head::new(silent.weight().clone(), Tensor::new(bias, silent.weight().device())?)?)
    }
}

fn median(mut column: Vec<f64>) -> f64 {
    column.sort_by(f64::total_cmp);
    quantile(&column, 0.5)
}

fn mean(column: Vec<f64>) -> f64 {
    column.iter().sum::<f64>() / column.len() as f64
}

fn shuffled(z: &Tensor, config: &ProbeConfig, split: u64) -> Result<Tensor, Error> {
    let order = permutation(z.dim(0)?, &mut stream(config.recipe.seed, "probe-shuffle", 0, split));
    let order: Vec<u32> = order.into_iter().map(|row| row as u32).collect();
    Ok(z.index_select(&Tensor::new(order, z.device())?, 0)?)
}
