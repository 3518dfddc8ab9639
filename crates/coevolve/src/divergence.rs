//! What happens when a loss or gradient is not a number.

use std::path::Path;

use cola_files::write_atomically;
use cola_nn::global_norm;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::plan::{Phase, Trains};
use crate::run::Run;

/// What a run does then. Either way the step changes no parameter and no moment, and no checkpoint is overwritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DivergencePolicy {
    /// Keeps the state in a folder of its own beside the checkpoints and ends with [`Error::Diverged`].
    #[default]
    Stop,
    /// Leaves the step out and goes on with the next batch, as long as it does not happen too often.
    Skip,
}

/// When a loss or gradient is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DivergenceConfig {
    /// Stop or skip.
    pub policy: DivergencePolicy,
    /// Steps in a row that may be skipped; one more stops the run.
    pub limit: u64,
}

impl Default for DivergenceConfig {
    fn default() -> Self {
        Self { policy: DivergencePolicy::Stop, limit: 10 }
    }
}

/// A step whose loss or gradient was not a number: enough to make it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Optimizer steps done before it.
    pub step: u64,
    /// The phase, as in the plan.
    pub phase: String,
    /// `loss` or `gradient norm`.
    pub what: String,
    /// Its value, as text: JSON has no NaN.
    pub value: String,
    /// Clips of the batch, by their number in the source.
    pub clips: Vec<usize>,
    /// Their global sample numbers, the key of all that was drawn for them.
    pub samples: Vec<u64>,
    /// Variables whose gradient was not finite; empty if it did not come to gradients.
    pub variables: Vec<String>,
}

/// Steps that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skips {
    /// In all.
    pub(crate) total: u64,
    /// Up to the last step, in a row.
    pub(crate) row: u64,
}

impl Divergence {
    /// Writes it below `folder` as `divergence.json`.
    fn write(&self, folder: &Path) -> Result<(), Error> {
        let file = folder.join("divergence.json");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Observer(format!("divergence.json: {error}").into()))?;
        write_atomically(&file, &text).map_err(|source| Error::Io { path: file, doing: "writing", source })
    }
}

impl Run {
    /// What is not a number in the parameters and their running average; `None` if all is well. Nothing else is worth
    /// saving: a checkpoint of it could push a good one out.
    pub(crate) fn unsound(&self, phase: &Phase) -> Result<Option<Divergence>, Error> {
        let mut variables = Vec::new();
        for (name, var, _) in self.params.vars(Trains::default()) {
            let average = self.optimizer.average(&name);
            if !global_norm(std::iter::once(&var.as_detached_tensor()).chain(&average))?.is_finite() {
                variables.push(name);
            }
        }
        Ok((!variables.is_empty()).then(|| Divergence {
            step: self.step,
            phase: phase.to_string(),
            what: "norm of the parameters".into(),
            value: f64::NAN.to_string(),
            clips: Vec::new(),
            samples: Vec::new(),
            variables,
        }))
    }

    /// Counts a step that is left out; `false` if there were too many of them, or none may be.
    pub(crate) fn may_skip(&mut self) -> bool {
        let DivergenceConfig { policy, limit } = self.config.divergence;
        if policy == DivergencePolicy::Stop || self.skips.row >= limit {
            return false;
        }
        self.skips = Skips { total: self.skips.total + 1, row: self.skips.row + 1 };
        true
    }

    /// Keeps the state before a step that went wrong: `checkpoints/diverged-step-00000123`, which `Run::open` reads as any
    /// checkpoint and which no resume takes by itself. Tells where, or why not: the step's own error matters more.
    pub(crate) fn dump(&self, checkpoints: &Path, divergence: &Divergence) -> String {
        let folder = checkpoints.join(format!("diverged-step-{:08}", self.step));
        match self.write_dump(&folder, divergence) {
            Ok(()) => format!("the state before it is kept in {}", folder.display()),
            Err(error) => format!("the state before it could not be kept: {error}"),
        }
    }

    fn write_dump(&self, folder: &Path, divergence: &Divergence) -> Result<(), Error> {
        crate::checkpoint::write(self, folder)?;
        divergence.write(folder)
    }
}
