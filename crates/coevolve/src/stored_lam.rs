//! The latent action model of a checkpoint, without the rest of the run.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use candle_core::{DType, Device};
use cola_files::write_atomically;
use cola_lam::{LatentActionModel, codebook_version};
use cola_nn::Params;

use crate::Error;
use crate::checkpoint;
use crate::config::ExperimentConfig;

/// Parameters of inverse dynamics model and codebook, and the file that names their version.
const PARAMS: &str = "lam.safetensors";
const VERSION: &str = "lam.version";

/// A latent action model opened from a checkpoint folder, frozen: `config.toml`, `lam.safetensors` and `lam.version` are
/// all it needs.
pub struct StoredLam {
    /// The configuration of the run that made it.
    pub config: ExperimentConfig,
    /// The model.
    pub model: LatentActionModel,
    /// Its parameters.
    pub params: Params,
    /// Which model it is, see [`codebook_version`].
    pub version: String,
}

impl StoredLam {
    /// Opens it.
    ///
    /// # Errors
    /// A file that is missing or damaged, parameters of another configuration, or of another version than the folder's.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, Error> {
        let config = checkpoint::config(folder)?;
        checkpoint::shapes::check_lam(folder, &config)?;
        let params = Params::seeded(0, DType::F32, device);
        let model = LatentActionModel::new(&config.lam, params.frozen())?;
        params.load(&folder.join(PARAMS))?;
        let version = codebook_version(&config.lam, &params)?;
        check_version(folder, &version)?;
        Ok(Self { config, model, params, version })
    }

    /// Puts its parameters into the set of another model of the same configuration.
    pub(crate) fn copy_to(&self, params: &Params) -> Result<(), Error> {
        for (name, var) in self.params.vars() {
            params.set(&name, &var.as_detached_tensor())?;
        }
        Ok(())
    }

    /// Whether a run of this configuration can start from the latent action model of that folder; reads no parameters.
    ///
    /// # Errors
    /// [`Error::Config`] naming the fields that differ; a folder whose configuration cannot be read.
    pub fn check_fit(folder: &Path, config: &ExperimentConfig) -> Result<(), Error> {
        let stored = checkpoint::config(folder)?;
        let differences = config.lam.differences(&stored.lam);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Config {
            origin: folder.join("config.toml").display().to_string(),
            reason: format!(
                "its latent action model is another one than this run's: {}; start from that file with --config, or take \
                 these values over with --set lam.KEY=VALUE",
                differences.join(", ")
            ),
        })
    }
}

/// Names the version of the parameters in a checkpoint folder.
pub(crate) fn write_version(folder: &Path, version: &str) -> Result<(), Error> {
    write_name(&folder.join(VERSION), version, "writing the version of the latent action model")
}

/// A file that holds one name.
pub(crate) fn write_name(file: &Path, name: &str, doing: &'static str) -> Result<(), Error> {
    write_atomically(file, format!("{name}\n").as_bytes()).map_err(|source| Error::Io {
        path: file.to_path_buf(),
        doing,
        source,
    })
}

/// What [`write_name`] wrote; `None` if there is no such file. A longer file is cut off.
pub(crate) fn read_name(file: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(file) {
        Ok(name) => Ok(Some(name.trim().chars().take(64).collect())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: file.to_path_buf(), doing: "reading", source }),
    }
}

/// Refuses parameters beside another version's name; checkpoints before there was one have none.
pub(crate) fn check_version(folder: &Path, found: &str) -> Result<(), Error> {
    let file = folder.join(VERSION);
    let Some(named) = read_name(&file)? else { return Ok(()) };
    if named == found {
        return Ok(());
    }
    Err(Error::State {
        file,
        field: "version".into(),
        found: named,
        expected: format!("{found}, the version of config.toml and {PARAMS} beside it"),
        mend: "a file of another checkpoint was copied here; take another checkpoint, or put the right one back",
    })
}
