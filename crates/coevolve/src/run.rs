//! A run: what it is made of, how it starts, and where it stands.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use cola_data::{ClipSource, Loader};
use cola_lam::CodeRestart;

use crate::Error;
use crate::checkpoint;
use crate::config::{ExperimentConfig, FIRST_BATCHES};
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
            window: Window::new(&config.lam),
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
        run.lam_given = state.lam_given;
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
}
