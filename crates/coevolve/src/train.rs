//! The loop: phases, batches, updates, records, checkpoints.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use cola_data::{Batch, ClipSource, Loader};
use cola_lam::{CODEBOOK, CodeRestart};

use crate::Error;
use crate::checkpoint;
use crate::codebook;
use crate::config::{ExperimentConfig, FIRST_BATCHES, Rates};
use crate::observe::Observer;
use crate::optim::{AdamW, Update};
use crate::plan::{Phase, PhaseKind, Trains};
use crate::step::{Key, Step, lam_step, world_step};
use crate::study::{HeldOut, sensitivity};
use crate::system::{System, SystemParams};
use crate::window::Window;

/// A run: configuration, parameters, optimizer and position. Everything else is a pure function of these.
pub struct Run {
    config: ExperimentConfig,
    params: SystemParams,
    optimizer: AdamW,
    restart: CodeRestart,
    step: u64,
    device: Device,
}

/// The variables that the current steps update.
struct Learner {
    name: String,
    var: Var,
    rate: f64,
    decays: bool,
}

impl Run {
    /// At step 0 with fresh parameters.
    ///
    /// # Errors
    /// A configuration that [`ExperimentConfig::check`] refuses, the device's.
    pub fn new(config: &ExperimentConfig, device: &Device) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            params: SystemParams::new(config, device)?,
            optimizer: AdamW::new(&config.optimizer),
            restart: CodeRestart::new(config.lam.codes, config.remedies.restart_after),
            step: 0,
            device: device.clone(),
            config: config.clone(),
        })
    }

    /// At the newest complete checkpoint below `root`, under its stored configuration.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], or what is wrong with the checkpoint.
    pub fn resume(root: &Path, device: &Device) -> Result<Self, Error> {
        let Some(newest) = checkpoint::list(root).pop() else {
            return Err(Error::NoCheckpoint { folder: root.to_path_buf() });
        };
        Self::open(&newest, device)
    }

    /// At one checkpoint folder.
    ///
    /// # Errors
    /// What is wrong with the checkpoint.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, Error> {
        let mut run = Self::new(&checkpoint::config(folder)?, device)?;
        let state = checkpoint::load(folder, &run.config, &run.params, &mut run.optimizer, device)?;
        run.step = state.step;
        run.restart = state.restart;
        Ok(run)
    }

    /// The configuration.
    pub fn config(&self) -> &ExperimentConfig {
        &self.config
    }

    /// The parameters.
    pub fn params(&self) -> &SystemParams {
        &self.params
    }

    /// Optimizer steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether the plan is done.
    pub fn is_finished(&self) -> bool {
        self.config.plan.locate(self.step).is_none()
    }

    /// The modules over frozen parameters, for evaluation.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn system(&self) -> Result<System, Error> {
        Ok(System::enter(&self.params, &self.config, Trains::default())?)
    }

    /// Sets the codec's shift and scale from the first batches. Only before a generator is pre-trained.
    ///
    /// # Errors
    /// The source's.
    pub fn fit_codec(&self, source: &Arc<dyn ClipSource>) -> Result<(), Error> {
        let loader = Loader::new(source.clone(), self.config.loader(), self.config.seed)?;
        let views = (0..FIRST_BATCHES)
            .map(|step| Ok(loader.batch(step, true, &self.device)?.world_view))
            .collect::<Result<Vec<Tensor>, Error>>()?;
        let (shift, scale) = cola_dit_world::SpaceToDepth::fit(&self.config.codec, &Tensor::cat(&views, 0)?)?;
        self.params.codec.set("shift", &shift)?;
        self.params.codec.set("scale", &scale)?;
        Ok(())
    }

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
        let loader = Loader::new(source.clone(), config.loader(), config.seed)?;
        let mut window = Window::new(&config.lam);
        let mut entered: Option<(usize, Trains, System, Vec<Learner>)> = None;
        while let Some((index, within)) = config.plan.locate(self.step) {
            let phase = config.plan.phases()[index];
            let trains = self.trains(&phase);
            if entered.as_ref().is_none_or(|(known, learns, ..)| (*known, *learns) != (index, trains)) {
                if entered.as_ref().is_none_or(|(known, ..)| *known != index) {
                    for observer in observers.iter_mut() {
                        observer.on_phase(&phase, within, self.step)?;
                    }
                }
                // Before a held model is read, too.
                if phase.kind.trains().lam {
                    codebook::begin(&config, &self.params, &self.optimizer, &loader, &self.device)?;
                }
                entered = Some((
                    index,
                    trains,
                    System::enter(&self.params, &config, trains)?,
                    self.learners(&phase, trains),
                ));
            }
            let Some((_, _, system, learners)) = &entered else { continue };

            let batch = loader.batch(self.step, phase.kind.crops(), &self.device)?;
            let loss = self.one_step(&phase, within, system, learners, &batch, &mut window)?;
            self.step += 1;
            for observer in observers.iter_mut() {
                observer.on_step(&phase, within + 1, loss)?;
            }

            let phase_ends = within + 1 == phase.steps;
            if self.step.is_multiple_of(schedule.log_every) || phase_ends {
                let mut record = window.take(self.step, &phase, within + 1)?;
                let due = phase_ends || self.step.is_multiple_of(schedule.sensitivity_every.max(1));
                if let Some(held_out) = held_out
                    && schedule.sensitivity_every > 0
                    && due
                    && phase.kind.trains().action
                {
                    record.sensitivity = Some(sensitivity(&self.system()?, &config, held_out)?.mean);
                }
                for observer in observers.iter_mut() {
                    observer.on_record(&record)?;
                }
            }
            if self.step.is_multiple_of(schedule.checkpoint_every) || phase_ends {
                let folder = checkpoint::save(
                    checkpoints,
                    &config,
                    &self.params,
                    &self.optimizer,
                    &self.restart,
                    self.step,
                )?;
                for observer in observers.iter_mut() {
                    observer.on_checkpoint(&folder)?;
                }
            }
        }
        Ok(())
    }

    /// What learns at this step: the phase's sets, less the latent action model while it is held.
    fn trains(&self, phase: &Phase) -> Trains {
        let trains = phase.kind.trains();
        let conditioned: u64 = {
            let mut first = 0;
            let mut steps = 0;
            for phase in self.config.plan.phases() {
                if phase.kind.trains().action {
                    steps += phase.steps.min(self.step.saturating_sub(first));
                }
                first += phase.steps;
            }
            steps
        };
        let held = trains.action && conditioned < self.config.remedies.hold_lam;
        Trains { lam: trains.lam && !held, ..trains }
    }

    fn learners(&self, phase: &Phase, trains: Trains) -> Vec<Learner> {
        let rates = self.config.phase(phase.kind).rates;
        self.params
            .vars(trains)
            .into_iter()
            .filter(|(name, _, learns)| {
                *learns
                    && name.strip_prefix("lam.").is_none_or(|name| self.config.lam.learns_by_gradient(name))
            })
            .map(|(name, var, _)| {
                // Decay is for the matrices of linear layers: not for norms, biases, tables, queries or codes.
                let decays = var.rank() >= 2 && name.ends_with(".weight") && !name.ends_with(CODEBOOK);
                Learner { rate: rate_of(&rates, &name), decays, name, var }
            })
            .collect()
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
        window: &mut Window,
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
        let Step { tokens, codes, .. } = window.add(step)?; // the graph ends here: variables change in place below
        let config = self.config.phase(phase.kind);
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * within as f64 / phase.steps as f64).cos());
        let factor = config.final_rate + (1.0 - config.final_rate) * fall;
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
        window.add_norm(norm);
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

fn rate_of(rates: &Rates, name: &str) -> f64 {
    if name.strip_prefix("lam.") == Some(CODEBOOK) {
        return rates.codebook;
    }
    match name.split('.').next() {
        Some("lam") => rates.idm,
        Some("fdm") => rates.fdm,
        Some("action") => rates.action,
        _ => rates.backbone,
    }
}
