//! The loop: phases, batches, updates, records, checkpoints.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use candle_core::DType;
use cola_data::{Batch, ClipSource, Feeder, Loader};
use cola_lam::UsageReport;

use crate::Error;
use crate::checkpoint::{self, State};
use crate::codebook;
use crate::config::ExperimentConfig;
use crate::health::Warning;
use crate::idm_gradient;
use crate::learner::{Learner, learners};
use crate::observe::{Observer, Record, tell};
use crate::optim::Update;
use crate::plan::{Phase, PhaseKind, Trains};
use crate::run::Run;
use crate::step::{Key, Step, lam_step, world_step};
use crate::study::{HeldOut, sensitivity};
use crate::system::System;

impl Run {
    /// Trains to the end of the plan. Checkpoints go below `checkpoints`; `held_out` is for the sensitivity curve.
    ///
    /// # Errors
    /// [`Error::Diverged`] for a loss or gradient that is not finite, the source's, an observer's. Checkpoints written
    /// before stay.
    pub fn train(
        &mut self,
        source: &Arc<dyn ClipSource>,
        held_out: Option<&HeldOut>,
        checkpoints: &Path,
        observers: &mut [&mut dyn Observer],
    ) -> Result<(), Error> {
        let config = self.config.clone();
        let schedule = &config.schedule;
        let loader = Arc::new(Loader::new(source.clone(), config.loader(), config.seed)?);
        let plan = config.plan.clone();
        let crops = move |step| plan.locate(step).is_some_and(|(index, _)| plan.phases()[index].kind.crops());
        let mut feeder =
            Feeder::start(loader.clone(), self.step..config.plan.steps(), crops, config.feeder())?;
        let mut entered: Option<(usize, Trains, System, Vec<Learner>)> = None;
        while let Some((index, within)) = config.plan.locate(self.step) {
            let phase = config.plan.phases()[index];
            let trains = self.trains(&phase);
            if entered.as_ref().is_none_or(|(known, learns, ..)| (*known, *learns) != (index, trains)) {
                if entered.as_ref().is_none_or(|(known, ..)| *known != index) {
                    tell(observers, |observer| observer.on_phase(&phase, within, self.step))?;
                }
                // Before a held model is read, too.
                if phase.kind.trains().lam && !self.lam_given {
                    codebook::begin(&config, &self.params, &self.optimizer, &loader, &self.device)?;
                }
                entered = Some((
                    index,
                    trains,
                    System::enter(&self.params, &config, trains)?,
                    learners(&config, &self.params, phase.kind, trains),
                ));
            }
            let Some((_, _, system, learners)) = &entered else { continue };

            let Some(batch) = feeder.next(&self.device)? else { break };
            let loss = self.one_step(&phase, within, system, learners, &batch)?;
            self.step += 1;
            tell(observers, |observer| observer.on_step(&phase, within + 1, loss))?;

            let mut collapse = None;
            if self.record_follows(self.step, &phase, within) {
                let record = self.record(&phase, within, system, held_out, observers)?;
                if self.stop_on_collapse
                    && self.health.may_stop(&config.health, config.plan.steps_with_actions())
                {
                    collapse = record.warnings.into_iter().find(Warning::is_collapse);
                }
            }
            let phase_ends = within + 1 == phase.steps;
            let every = schedule.evaluate_every;
            if every > 0 && self.step.is_multiple_of(every) {
                let frozen = self.system()?;
                tell(observers, |observer| observer.on_evaluation(&phase, self.step, &frozen))?;
            }
            if phase_ends {
                let (stall, failures) = (feeder.take_stall(), loader.failures());
                tell(observers, |observer| observer.on_phase_end(&phase, &stall, &failures))?;
            }
            let asked = self.stop.load(Ordering::Relaxed);
            if self.step.is_multiple_of(schedule.checkpoint_every)
                || phase_ends
                || asked
                || collapse.is_some()
            {
                let state = State::of(self);
                let folder = checkpoint::save(checkpoints, &config, &self.params, &self.optimizer, state)?;
                tell(observers, |observer| observer.on_checkpoint(&folder))?;
                if let Some(warning) = collapse {
                    return Err(Error::Collapsed {
                        phase: phase.to_string(),
                        step: self.step,
                        advice: warning.advice(&config),
                        warning: Box::new(warning),
                        folder,
                    });
                }
                if asked && !self.is_finished() {
                    return Err(Error::Stopped { step: self.step, folder });
                }
            }
        }
        Ok(())
    }

    /// Whether a record follows when `done` steps of the run are done, `within + 1` of them in this phase.
    fn record_follows(&self, done: u64, phase: &Phase, within: u64) -> bool {
        done.is_multiple_of(self.config.schedule.log_every) || within + 1 == phase.steps
    }

    /// Makes and tells the record of the steps since the last one.
    fn record(
        &mut self,
        phase: &Phase,
        within: u64,
        system: &System,
        held_out: Option<&HeldOut>,
        observers: &mut [&mut dyn Observer],
    ) -> Result<Record, Error> {
        let (mut record, usage, steps) = self.window.take(self.step, phase, within + 1);
        let schedule = &self.config.schedule;
        let due = within + 1 == phase.steps || self.step.is_multiple_of(schedule.sensitivity_every.max(1));
        if let Some(held_out) = held_out
            && schedule.sensitivity_every > 0
            && due
            && phase.kind.trains().action
        {
            let found = sensitivity(&self.system()?, &self.config, held_out)?;
            (record.sensitivity, record.sensitivity_error) = (Some(found.mean), Some(found.standard_error));
        }
        let mut seen = None;
        if steps > 0 {
            record.code_norm = system.lam.quantizer().code_norm()?;
            let codes = self.health.slide(&self.config.health, steps, usage)?;
            record.warnings = self.health.judge(&self.config.health, &codes, &record);
            record.codes = Some(UsageReport::of(&codes));
            seen = Some(codes);
        }
        tell(observers, |observer| observer.on_record(&record))?;
        if let Some(codes) = seen {
            tell(observers, |observer| observer.on_codes(record.step, &codes))?;
        }
        Ok(record)
    }

    /// What learns at this step: the phase's sets, less the latent action model while it is held.
    fn trains(&self, phase: &Phase) -> Trains {
        let trains = phase.kind.trains();
        let taught = self.config.plan.steps_with_conditioner(self.step);
        let held = trains.action && taught < self.config.remedies.hold_lam;
        Trains { lam: trains.lam && !held, ..trains }
    }

    /// Forward, backward, update; returns the flow loss, or the reconstruction error of a LAM phase: the quantizer's losses
    /// grow with the tokens and say little by themselves.
    fn one_step(
        &mut self,
        phase: &Phase,
        within: u64,
        system: &System,
        learners: &[Learner],
        batch: &Batch,
    ) -> Result<f64, Error> {
        let diverged = |what, value| Error::Diverged {
            phase: phase.to_string(),
            key: ExperimentConfig::phase_key(phase.kind),
            part: if phase.kind.trains().backbone { "backbone" } else { "idm" },
            step: self.step,
            what,
            value,
        };
        let key = Key { seed: self.config.seed, step: self.step };
        let step = match phase.kind {
            PhaseKind::Lam => lam_step(system, &self.config, batch)?,
            kind => world_step(system, &self.config, batch, key, kind.has_actions())?,
        };
        let loss = f64::from(step.loss.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        if !loss.is_finite() {
            return Err(diverged("loss", loss));
        }
        let told = match step.flow.as_ref().or(step.reconstruction.as_ref()) {
            Some(told) => f64::from(told.to_dtype(DType::F32)?.to_scalar::<f32>()?),
            None => loss,
        };
        let grads = step.loss.backward()?;
        if let Some(vq) = &step.vq
            && learners.iter().any(Learner::is_idm)
            && self.record_follows(self.step + 1, phase, within)
        {
            let idm = learners.iter().filter(|learner| learner.is_idm()).map(|learner| &learner.var);
            let (prediction, vq) = idm_gradient::by_source(idm, &grads, &vq.total(&self.config.lam)?)?;
            self.window.add_sources(prediction, vq);
        }
        let Step { tokens, codes, .. } = self.window.add(step)?; // the graph ends here: variables change in place below
        let factor = self.config.phase(phase.kind).factor(within, phase.steps);
        let updates: Vec<Update<'_>> = learners
            .iter()
            .map(|learner| Update {
                name: &learner.name,
                var: &learner.var,
                rate: learner.rate * factor,
                decays: learner.decays,
            })
            .collect();
        let norm = self.optimizer.step(&updates, &grads)?;
        if !norm.is_finite() {
            return Err(diverged("gradient norm", norm));
        }
        self.window.add_norm(norm);
        if let (Some(tokens), Some(codes)) = (tokens, codes) {
            let (config, step, remedies) = (&self.config, self.step, &self.config.remedies);
            if self.trains(phase).lam {
                codebook::follow(config, &self.params, &tokens, &codes)?;
            }
            let restarts = remedies.restart_after > 0 && within < remedies.restart_until;
            if phase.kind == PhaseKind::Lam && restarts {
                let found = (&tokens, &codes);
                codebook::restart(config, &self.params, &mut self.optimizer, &mut self.restart, step, found)?;
            }
        }
        Ok(told)
    }
}
