//! Where a run begins: from the weights of another one, or from its own checkpoint under changed settings.

use std::path::Path;

use candle_core::Device;
use cola_lam::codebook_version;

use crate::Error;
use crate::checkpoint;
use crate::config::ExperimentConfig;
use crate::run::Run;
use crate::stored_lam::check_version;
use crate::system::SystemParams;

/// Fields of `dit` and `codec` that decide first values or statistics only: weights of the one can be used in the other.
const FIRST_VALUES: [&str; 2] = ["dit.action.zero_output", "codec.whiten"];
/// Fields of the forward dynamics model, which [`cola_lam::LamConfig::differences`] leaves out.
const FORWARD: [&str; 3] = ["lam.fdm_layers", "lam.fdm_heads", "lam.fdm_residual"];

impl Run {
    /// Starts from all five parameter sets of another run's checkpoint: weights only, no moments, no steps. What follows
    /// may have another plan, other rates, other clips. Only before the first step.
    ///
    /// # Errors
    /// As [`Run::check_init_from`]; files that are missing, damaged or not this model's, named with the tensor: the
    /// parameters are unchanged then.
    pub fn init_from(&mut self, folder: &Path) -> Result<(), Error> {
        if self.step > 0 {
            let reason = format!("step {} is done; a run takes weights over before its first", self.step);
            return Err(Error::Config { origin: folder.display().to_string(), reason });
        }
        Self::check_init_from(folder, &self.config)?;
        // Weights alone, without the rest of a checkpoint, are welcome as well.
        if folder.join("state.json").is_file() {
            checkpoint::verify(folder)?;
        }
        let given = SystemParams::new(&self.config, &self.device)?;
        given.load(folder)?;
        check_version(folder, &codebook_version(&self.config.lam, &given.lam)?)?;
        for ((_, own), (_, given)) in self.params.sets().into_iter().zip(given.sets()) {
            for (name, var) in given.vars() {
                own.set(&name, &var.as_detached_tensor())?;
            }
        }
        self.lam_given = true;
        Ok(())
    }

    /// Whether a run of this configuration can start from the weights of that checkpoint; reads no parameters.
    ///
    /// # Errors
    /// [`Error::Config`] naming the fields that differ; a folder whose configuration cannot be read.
    pub fn check_init_from(folder: &Path, config: &ExperimentConfig) -> Result<(), Error> {
        let stored = checkpoint::config(folder)?;
        let mut differences: Vec<String> =
            config.lam.differences(&stored.lam).iter().map(|field| format!("lam.{field}")).collect();
        let shapes = |key: &str| {
            let of_models = key.starts_with("dit.") || key.starts_with("codec.");
            (of_models && !FIRST_VALUES.contains(&key)) || FORWARD.contains(&key)
        };
        differences.extend(
            config
                .differences(&stored)?
                .into_iter()
                .filter(|found| shapes(&found.key))
                .map(|found| format!("{} = {} ({})", found.key, found.other, found.own)),
        );
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Config {
            origin: folder.join("config.toml").display().to_string(),
            reason: format!(
                "its models are other ones than this run's: {}; start from that file with --config, or take these values \
                 over with --set KEY=VALUE",
                differences.join(", ")
            ),
        })
    }

    /// [`Run::resume`] under a configuration that differs from the stored one in what may change. The next checkpoint
    /// stores it.
    ///
    /// # Errors
    /// As [`Run::resume`] and [`ExperimentConfig::check_resume`].
    pub fn resume_with(root: &Path, config: &ExperimentConfig, device: &Device) -> Result<Self, Error> {
        config.check()?;
        let mut run = Self::newest(root, |folder| {
            let stored = checkpoint::config(folder)?;
            config.check_resume(&stored, checkpoint::step_of(folder).unwrap_or(0))?;
            // A VAE that was moved is opened where it is now, and known by its weights.
            Self::open_as(folder, &ExperimentConfig { latents: config.latents.clone(), ..stored }, device)
        })?;
        run.health.limit(&config.health);
        run.config = config.clone();
        Ok(run)
    }

    /// Whether the newest checkpoint below `root` can go on under this configuration; reads no parameters. To refuse what
    /// will not do before minutes of decoding; [`Run::resume_with`] checks again, with the checkpoint that it takes.
    ///
    /// # Errors
    /// As [`ExperimentConfig::check_resume`]; [`Error::NoCheckpoint`]; if no configuration can be read, what is wrong with
    /// the newest.
    pub fn check_resume(root: &Path, config: &ExperimentConfig) -> Result<(), Error> {
        let mut first = None;
        for folder in checkpoint::list(root).into_iter().rev() {
            match checkpoint::config(&folder) {
                Ok(stored) => {
                    return config.check_resume(&stored, checkpoint::step_of(&folder).unwrap_or(0));
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::NoCheckpoint { folder: root.to_path_buf() }))
    }
}
