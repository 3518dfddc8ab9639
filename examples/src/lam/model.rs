//! A trained latent action model and the clips it is looked at with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cola_coevolve::{ExperimentConfig, StoredLam};
use cola_data::{ClipOptions, ClipSource, OpenOptions, Region};
use cola_lam::LatentActionModel;
use cola_nn::Params;

use crate::args::checkpoint_at;
use crate::lam::args::{DataArgs, ModelArgs};
use crate::sources::{Sources, decode_split, robodesk, same_folder};

/// The shipped latent action model of the `tiny` preset.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/lam_tiny")
}

/// A trained model, frozen.
pub struct Model {
    /// Its run's configuration.
    pub config: ExperimentConfig,
    /// The model.
    pub lam: LatentActionModel,
    /// Its parameters.
    pub params: Params,
    /// Which one it is.
    pub version: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// Where it computes.
    pub device: Device,
}

impl Model {
    /// Opens the model of a command line.
    ///
    /// # Errors
    /// A folder without a checkpoint, a damaged one.
    pub fn open(args: &ModelArgs) -> Result<Self> {
        let folder = match &args.lam {
            Some(path) => checkpoint_at(path)?,
            None => shipped(),
        };
        let device = args.device.open()?;
        let StoredLam { config, model: lam, params, version } = StoredLam::open(&folder, &device)?;
        println!("model      version {version}, {}", folder.display());
        Ok(Self { config, lam, params, version, folder, device })
    }

    /// How a dataset is read: as trained, but for a dataset that the user names with the region that the user wants.
    ///
    /// # Errors
    /// A region that is none.
    pub fn clip_options(&self, args: &DataArgs) -> Result<ClipOptions> {
        let trained = self.config.clip_options();
        let region = match (&args.region.region, &args.data) {
            (Some(region), _) => region_of(region)?,
            // The cut-out belongs to the pictures it was chosen for.
            (None, Some(data)) if !same_folder(data, &robodesk()) => Region::FULL,
            (None, _) => trained.region,
        };
        Ok(ClipOptions { region, ..trained })
    }

    /// Clips of a split, as trained.
    ///
    /// # Errors
    /// A dataset that is missing, damaged, or too short for the clips.
    pub fn clips(&self, args: &DataArgs, split: &str) -> Result<Arc<dyn ClipSource>> {
        if self.config.data.drawn && args.data.is_none() {
            let sources = Sources::drawn(&self.config)?;
            return Ok(if split == "train" { sources.train } else { sources.held_out });
        }
        let data = args.data.clone().unwrap_or_else(robodesk);
        let dataset = cola_data::open(&data, &OpenOptions::default())?;
        Ok(Arc::new(decode_split(&*dataset, split, &self.clip_options(args)?)?))
    }
}

/// Four fractions.
///
/// # Errors
/// Another number of them.
pub fn region_of(values: &[f64]) -> Result<Region> {
    let &[top, left, height, width] = values else {
        bail!(
            "--region: {} numbers found, expected four fractions, TOP,LEFT,HEIGHT,WIDTH, such as 0.25,0,0.5,1",
            values.len()
        );
    };
    Ok(Region { top, left, height, width })
}

/// The folder of a program's results.
///
/// # Errors
/// A folder that cannot be made.
pub fn result_folder(wanted: Option<&Path>, program: &str) -> Result<PathBuf> {
    let folder = match wanted {
        Some(folder) => folder.to_path_buf(),
        None => std::iter::once(format!("out/{program}"))
            .chain((2..).map(|n| format!("out/{program}-{n}")))
            .map(PathBuf::from)
            .find(|folder| !folder.exists())
            .context("no free folder name")?,
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    Ok(folder)
}
