//! A run: what it is made of, how it starts, and where it stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use cola_data::{ClipSource, Loader};
use cola_lam::CodeRestart;

use crate::Error;
use crate::checkpoint;
use crate::config::{ExperimentConfig, FIRST_BATCHES};
use crate::divergence::Skips;
use crate::health::Health;
use crate::optim::AdamW;
use crate::plan::Trains;
use crate::stored_lam::StoredLam;
use crate::system::{System, SystemParams};
use crate::window::Window;

/// A run: configuration, parameters, optimizer and position. Everything else is a pure function of these.
pub struct Run {
    pub(crate) config: ExperimentConfig,
    pub(crate) params: SystemParams,
    pub(crate) optimizer: AdamW,
    pub(crate) restart: CodeRestart,
    pub(crate) health: Health,
    /// The latent action model came from elsewhere: its codes are not set anew.
    pub(crate) lam_given: bool,
    pub(crate) stop_on_collapse: bool,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) skips: Skips,
    /// Clips of the source that the steps so far were trained on; 0 before the first.
    pub(crate) clips: usize,
    passed_over: Vec<(PathBuf, Error)>,
    /// What the next record will tell.
    pub(crate) window: Window,
    pub(crate) step: u64,
    pub(crate) device: Device,
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
            health: Health::new(&config.health),
            lam_given: false,
            stop_on_collapse: false,
            stop: Arc::default(),
            skips: Skips::default(),
            clips: 0,
            passed_over: Vec::new(),
            window: Window::new(&config.lam),
            step: 0,
            device: device.clone(),
            config: config.clone(),
        })
    }

    /// At the newest checkpoint below `root` that is whole, under its stored configuration. Damaged ones are passed over,
    /// see [`Run::passed_over`].
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`]; if none is whole, what is wrong with the newest.
    pub fn resume(root: &Path, device: &Device) -> Result<Self, Error> {
        Self::newest(root, |folder| Self::open(folder, device))
    }

    /// The newest checkpoint that `open` can open.
    pub(crate) fn newest(root: &Path, open: impl Fn(&Path) -> Result<Self, Error>) -> Result<Self, Error> {
        let mut passed_over = Vec::new();
        for folder in checkpoint::list(root).into_iter().rev() {
            match open(&folder) {
                Ok(run) => return Ok(Self { passed_over, ..run }),
                // Of the machine or of what was asked for, not of the checkpoint.
                Err(error) if !error.is_damage() => return Err(error),
                Err(error) => passed_over.push((folder, error)),
            }
        }
        match passed_over.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Err(Error::NoCheckpoint { folder: root.to_path_buf() }),
        }
    }

    /// Newer checkpoints that [`Run::resume`] could not use, newest first, and why. [`Run::train`] sets them aside.
    pub fn passed_over(&self) -> &[(PathBuf, Error)] {
        &self.passed_over
    }

    /// At one checkpoint folder.
    ///
    /// # Errors
    /// What is wrong with the checkpoint.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, Error> {
        Self::open_as(folder, &checkpoint::config(folder)?, device)
    }

    /// At one checkpoint folder, whose models and codec are those of `config`.
    pub(crate) fn open_as(folder: &Path, config: &ExperimentConfig, device: &Device) -> Result<Self, Error> {
        let state = checkpoint::examine(folder, config)?;
        let mut run = Self::new(config, device)?;
        checkpoint::load(folder, config, &state, &run.params, &mut run.optimizer, device)?;
        run.step = state.step;
        run.clips = state.clips;
        run.restart = state.restart;
        run.lam_given = state.lam_given;
        run.skips = state.skips;
        if let Some(window) = state.window {
            run.window = window;
        }
        if let Some(health) = state.health {
            run.health = health;
        }
        Ok(run)
    }

    /// Starts from the inverse dynamics model and codebook of another run's checkpoint: weights only, no moments (the
    /// "pre-trained IDM" curves of the paper's figure 2, or the second stage of the two-stage baseline on its own). Only
    /// before the first step.
    ///
    /// # Errors
    /// A checkpoint that cannot be read, or whose model is another one: the message names the fields.
    pub fn load_lam(&mut self, folder: &Path) -> Result<(), Error> {
        if self.step > 0 {
            let reason = format!("step {} is done; a run takes a model over before its first", self.step);
            return Err(Error::Config { origin: folder.display().to_string(), reason });
        }
        StoredLam::check_fit(folder, &self.config)?;
        StoredLam::open(folder, &self.device)?.copy_to(&self.params.lam)?;
        self.lam_given = true;
        Ok(())
    }

    /// Whether training ends with [`Error::Collapsed`] once a collapse has been reported and `health.grace` steps with
    /// latent actions, or half of the plan's, are past; after a checkpoint. Off at first, also in a resumed run.
    pub fn stop_on_collapse(&mut self, stop: bool) {
        self.stop_on_collapse = stop;
    }

    /// Once `stop` is true, training ends after the step that is under way, with a checkpoint and [`Error::Stopped`]. Going
    /// on from it gives the bits of a run that was never stopped. For signal handlers and schedulers.
    pub fn stop_when(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
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

    /// Updates of a variable so far, e.g. `action.out.weight`; 0 for one that never learned or does not exist.
    pub fn updates(&self, name: &str) -> u64 {
        self.optimizer.steps(name)
    }

    /// Whether the plan is done.
    pub fn is_finished(&self) -> bool {
        self.config.plan.locate(self.step).is_none()
    }

    /// The modules over frozen parameters, for evaluation: the world model's running average where one is kept, see
    /// [`OptimizerConfig::average`](crate::OptimizerConfig::average).
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn system(&self) -> Result<System, Error> {
        let params = match self.config.optimizer.average > 0.0 {
            true => self.params.with_world(|name| self.optimizer.average(name))?,
            false => self.params.clone(),
        };
        Ok(System::enter(&params, &self.config, Trains::default())?)
    }

    /// Sets the codec's shift and scale from the first batches; those of a VAE stay as they are. Only before a generator is
    /// pre-trained.
    ///
    /// # Errors
    /// The source's.
    pub fn fit_codec(&self, source: &Arc<dyn ClipSource>) -> Result<(), Error> {
        if self.config.latents.vae().is_some() {
            return Ok(());
        }
        let loader = Loader::new(source.clone(), self.config.loader(), self.config.seed)?;
        let views = (0..FIRST_BATCHES)
            .map(|step| Ok(loader.batch(step, true, &self.device)?.world_view))
            .collect::<Result<Vec<Tensor>, Error>>()?;
        let (shift, scale) = cola_dit_world::SpaceToDepth::fit(&self.config.codec, &Tensor::cat(&views, 0)?)?;
        self.params.codec.set("shift", &shift)?;
        self.params.codec.set("scale", &scale)?;
        Ok(())
    }
}
