//! The loop: phases, batches, updates, records, checkpoints.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cola_data::{ClipSource, Feeder, Loader};
use cola_files::FolderLock;
use cola_lam::UsageReport;

use crate::Error;
use crate::advance::Advance;
use crate::checkpoint;
use crate::codebook;
use crate::config::ExperimentConfig;
use crate::divergence::Divergence;
use crate::health::Warning;
use crate::learner::{Learner, learners};
use crate::observe::{Observer, Record, tell};
use crate::plan::{Phase, Trains};
use crate::run::Run;
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
        // Held to the end: two runs in one folder would remove each other's checkpoints.
        let _lock = FolderLock::claim(checkpoints, &program())?;
        checkpoint::prepare(checkpoints, self.step, schedule.keep)?;
        self.know_clips(source.len())?;
        let loader = Loader::new(source.clone(), config.loader(), config.seed)?;
        // A cache that cannot be opened is told before the first step.
        let cache = self.params.open_cache(&config)?;
        let loader = Arc::new(if cache { loader.keyed() } else { loader });
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
                if within == 0 && self.joins_late(index) {
                    self.optimizer.forget("backbone.");
                }
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
            let done = self.advance(&phase, within, system, learners, &batch)?;
            let done = match done {
                Advance::Diverged(divergence) if !self.may_skip() => {
                    return Err(self.diverged(&phase, *divergence, checkpoints));
                }
                done => done,
            };
            self.step += 1;
            match done {
                Advance::Done(loss) => {
                    self.skips.row = 0;
                    tell(observers, |observer| observer.on_step(&phase, within + 1, loss))?;
                }
                Advance::Diverged(divergence) => {
                    tell(observers, |observer| observer.on_skip(&phase, &divergence))?;
                }
            }

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
            let mut evaluated = Ok(());
            if every > 0 && self.step.is_multiple_of(every) {
                let frozen = self.system()?;
                evaluated = tell(observers, |observer| observer.on_evaluation(&phase, self.step, &frozen));
            }
            if phase_ends {
                let (stall, failures) = (feeder.take_stall(), loader.failures());
                tell(observers, |observer| observer.on_phase_end(&phase, &stall, &failures))?;
                if let Some(report) = self.params.cache_report() {
                    tell(observers, |observer| observer.on_cache(&phase, &report))?;
                }
            }
            let asked = self.stop.load(Ordering::Relaxed);
            if self.step.is_multiple_of(schedule.checkpoint_every)
                || phase_ends
                || asked
                || collapse.is_some()
                || evaluated.is_err()
            {
                if let Some(divergence) = self.unsound(&phase)? {
                    return Err(self.diverged(&phase, divergence, checkpoints));
                }
                let folder = checkpoint::save(self, checkpoints)?;
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
                // A picture that cannot be written costs no step.
                evaluated?;
                if asked && !self.is_finished() {
                    return Err(Error::Stopped { step: self.step, folder });
                }
            }
        }
        Ok(())
    }

    /// Whether the video transformer begins to learn with phase `index`, after one in which it did not: it then starts with
    /// fresh moments, step count and warm-up, also where it was trained earlier in the same plan.
    fn joins_late(&self, index: usize) -> bool {
        let learns = |index: usize| self.config.plan.phases()[index].kind.trains().backbone;
        index > 0 && learns(index) && !learns(index - 1)
    }

    /// Refuses clips that are other ones than those of the steps so far: order and crops would be other ones, too.
    fn know_clips(&mut self, found: usize) -> Result<(), Error> {
        if self.clips > 0 && self.clips != found {
            return Err(Error::Clips { step: self.step, known: self.clips, found });
        }
        self.clips = found;
        Ok(())
    }

    /// Keeps the state of a run that cannot go on, and says so.
    fn diverged(&self, phase: &Phase, divergence: Divergence, checkpoints: &Path) -> Error {
        Error::Diverged {
            key: ExperimentConfig::phase_key(phase.kind),
            part: if phase.kind.trains().backbone { "backbone" } else { "idm" },
            dump: self.dump(checkpoints, &divergence),
            divergence: Box::new(divergence),
        }
    }

    /// Whether a record follows when `done` steps of the run are done, `within + 1` of them in this phase.
    pub(crate) fn record_follows(&self, done: u64, phase: &Phase, within: u64) -> bool {
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
        record.skipped = self.skips.total;
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
    pub(crate) fn trains(&self, phase: &Phase) -> Trains {
        let trains = phase.kind.trains();
        let taught = self.config.plan.steps_with_conditioner(self.step);
        let held = trains.action && taught < self.config.remedies.hold_lam;
        Trains { lam: trains.lam && !held, ..trains }
    }
}

/// The name under which this program holds folders.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_stem().map_or_else(|| "training".into(), |name| name.to_string_lossy().into_owned())
}
