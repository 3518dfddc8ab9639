//! What a run tells whoever watches; the library itself never prints.

use std::path::Path;

use cola_data::{CacheReport, Failure, Stall};
use cola_lam::{CodebookUsage, UsageReport};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Error;
use crate::divergence::Divergence;
use crate::health::Warning;
use crate::plan::Phase;
use crate::system::System;

/// Means over the steps since the last record, and the state after the last of them. A pure function of the run: it
/// holds no wall-clock time, so a resumed run writes the same records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Optimizer steps done, over all phases.
    pub step: u64,
    /// The phase, as in the plan.
    pub phase: String,
    /// Steps done in this phase.
    pub phase_step: u64,
    /// What was differentiated; NaN, as JSON null, if every step since the last record was left out.
    #[serde(deserialize_with = "number_or_null")]
    pub loss: f64,
    /// Flow loss of the world model.
    pub flow: Option<f64>,
    /// Squared error of the forward dynamics model.
    pub reconstruction: Option<f64>,
    /// Codebook loss, unweighted.
    pub codebook: Option<f64>,
    /// Commitment loss, unweighted.
    pub commitment: Option<f64>,
    /// Entropy penalty, unweighted; `None` while it is off.
    pub entropy_penalty: Option<f64>,
    /// Global gradient norm before clipping; NaN as for `loss`.
    #[serde(deserialize_with = "number_or_null")]
    pub gradient_norm: f64,
    /// Steps that were left out since the run began, see `divergence.policy`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Norm of the prediction's gradient (flow loss; in a LAM phase reconstruction) on the inverse dynamics model at the
    /// last step, before clipping; `None` while it does not learn.
    pub idm_gradient_prediction: Option<f64>,
    /// The same of the quantizer's losses.
    pub idm_gradient_vq: Option<f64>,
    /// Codes of the last `health.window` steps.
    pub codes: Option<UsageReport>,
    /// Mean norm of the tokens before quantization.
    pub token_norm: Option<f64>,
    /// Root mean square distance of the tokens from their mean over the batch's clips, over their norm; `None` for
    /// batches of one clip.
    pub token_spread: Option<f64>,
    /// Mean norm of the codebook's rows.
    pub code_norm: Option<f64>,
    /// Flow loss on held-out clips with shuffled minus with true actions.
    pub sensitivity: Option<f64>,
    /// Its standard error over clips.
    pub sensitivity_error: Option<f64>,
    /// What is wrong, and for how many records in a row.
    pub warnings: Vec<Warning>,
}

/// JSON has no NaN: it is written as null.
fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Something that watches a run: a progress bar, a log, a test.
pub trait Observer {
    /// A phase begins or goes on; `done` of its steps are done, `global` over all phases.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_phase(&mut self, phase: &Phase, done: u64, global: u64) -> Result<(), Error> {
        let _ = (phase, done, global);
        Ok(())
    }

    /// A step is done; `done` counts this phase's. `loss` is its flow loss, in a LAM phase its reconstruction error.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_step(&mut self, phase: &Phase, done: u64, loss: f64) -> Result<(), Error> {
        let _ = (phase, done, loss);
        Ok(())
    }

    /// A step was left out because its loss or gradient was not a number, see `divergence.policy`; nothing was updated.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_skip(&mut self, phase: &Phase, divergence: &Divergence) -> Result<(), Error> {
        let _ = (phase, divergence);
        Ok(())
    }

    /// A record is complete.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        let _ = record;
        Ok(())
    }

    /// The codes of the record that was just told, over the last `health.window` steps: the histograms behind its figures.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_codes(&mut self, step: u64, usage: &CodebookUsage) -> Result<(), Error> {
        let _ = (step, usage);
        Ok(())
    }

    /// An evaluation is due, see `schedule.evaluate_every`: after `step` steps of the run, with the modules over frozen
    /// parameters. The library measures nothing here; whoever wants scores and pictures does.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_evaluation(&mut self, phase: &Phase, step: u64, system: &System) -> Result<(), Error> {
        let _ = (phase, step, system);
        Ok(())
    }

    /// The last step of a phase is done. `stall` tells how long its steps waited for their batches, in a resumed run
    /// since the resume; `failures` lists every clip that was replaced so far, see `data.budget`.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_phase_end(&mut self, phase: &Phase, stall: &Stall, failures: &[Failure]) -> Result<(), Error> {
        let _ = (phase, stall, failures);
        Ok(())
    }

    /// The last step of a phase is done, in a run with `latents.cache`: what the cache was good for since the phase before.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_cache(&mut self, phase: &Phase, report: &CacheReport) -> Result<(), Error> {
        let _ = (phase, report);
        Ok(())
    }

    /// A checkpoint is safely on the disk.
    ///
    /// # Errors
    /// The observer's own; they stop the run.
    fn on_checkpoint(&mut self, folder: &Path) -> Result<(), Error> {
        let _ = folder;
        Ok(())
    }
}

/// Tells every observer, one after the other, up to the first that fails.
pub(crate) fn tell(
    observers: &mut [&mut dyn Observer],
    mut what: impl FnMut(&mut dyn Observer) -> Result<(), Error>,
) -> Result<(), Error> {
    observers.iter_mut().try_for_each(|observer| what(&mut **observer))
}
