//! Checkpoints in the published layout: opened and saved.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::{Params, blueprint};
use cola_weights::{
    Error, Hub, LoadOptions, Loaded, Weights, diffusers_names, load, read_config, resolve, save,
};

use crate::published::PublishedConfig;
use crate::{VideoVae, VideoVaeConfig};

/// The largest file that is written; larger checkpoints are sharded.
const SHARD: u64 = 5_000_000_000;

/// An opened checkpoint: parameters, and what became of its tensors.
///
/// ```
/// use candle_core::{DType, Device};
/// use cola_nn::Params;
/// use cola_video_vae::{Pretrained, VideoVae, VideoVaeConfig};
/// use cola_weights::Hub;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("vae");
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// VideoVae::new(&VideoVaeConfig::tiny(), params.frozen())?;
/// Pretrained::new(VideoVaeConfig::tiny(), params).save_pretrained(&folder)?;
///
/// let source = folder.to_str().ok_or("a path in UTF-8")?; // or hpcai-tech/OpenSora-VAE-v1.2
/// let opened = Pretrained::from_pretrained(source, &Hub::from_env(), DType::F32, &Device::Cpu)?;
/// let vae = opened.vae(false)?;
/// assert_eq!(vae.config(), &VideoVaeConfig::tiny());
/// # Ok(())
/// # }
/// ```
pub struct Pretrained {
    /// The model's sizes.
    pub config: VideoVaeConfig,
    /// Its parameters, and the buffers `shift` and `scale`.
    pub params: Params,
    /// Used, left and created tensors by name.
    pub report: Loaded,
    /// Fields of `config.json` that were passed over.
    pub unknown: Vec<String>,
}

impl Pretrained {
    /// Parameters that were never in a file.
    pub fn new(config: VideoVaeConfig, params: Params) -> Self {
        Self { config, params, report: Loaded::default(), unknown: Vec::new() }
    }

    /// Opens a folder or, with the feature `hub`, an id such as `hpcai-tech/OpenSora-VAE-v1.2`: `config.json` and
    /// safetensors, whole or sharded. Parameters are cast to `dtype`.
    ///
    /// The image VAE's attention may have its present names (`to_q`) or those of older files (`query`, weights as matrices
    /// or 1 x 1 convolutions). Every tensor must be there, finite and of its shape, but for `shift` and `scale`, which are
    /// the configuration's when absent. Other tensors are left and reported.
    ///
    /// # Errors
    /// Names file, field or tensor, what was found and what was expected.
    pub fn from_pretrained(
        path_or_id: &str,
        hub: &Hub,
        dtype: DType,
        device: &Device,
    ) -> cola_weights::Result<Self> {
        let folder = resolve(path_or_id, hub)?;
        let (published, unknown) = read_config::<PublishedConfig>(&folder)?;
        let config = published
            .config()
            .map_err(|refusal| Error::refused_config(&folder, refusal.field(), &refusal))?;
        let weights = Weights::open(&folder)?;
        let params = Params::seeded(0, dtype, device);
        let shapes = blueprint(|vb| VideoVae::new(&config, vb))?;
        let options = LoadOptions::new()
            .rename(diffusers_names)
            .squeeze()
            .create(|name| VideoVae::BUFFERS.contains(&name));
        let report = load(&weights, &params, &shapes, &options)?;
        Ok(Self { config, params, report, unknown })
    }

    /// Writes `config.json` in the published field names and the tensors under the published names. Published loaders
    /// open the folder if the model has the published sizes.
    ///
    /// # Errors
    /// A folder that holds a checkpoint or cannot be written.
    pub fn save_pretrained(&self, folder: &Path) -> cola_weights::Result<()> {
        let mut tensors = self.params.tensors();
        for (name, values) in VideoVae::BUFFERS.into_iter().zip([&self.config.shift, &self.config.scale]) {
            if !tensors.contains_key(name) {
                let buffer = Tensor::new(values.as_slice(), &Device::Cpu)?.to_dtype(DType::F32)?;
                tensors.insert(name.into(), buffer.reshape((1, values.len(), 1, 1, 1))?);
            }
        }
        let published = PublishedConfig::of(&self.config);
        let config = serde_json::to_value(published).map_err(candle_core::Error::wrap)?;
        save(folder, tensors, &config, SHARD)
    }

    /// The VAE over these parameters.
    ///
    /// # Errors
    /// Parameters of another model.
    pub fn vae(&self, trains: bool) -> Result<VideoVae> {
        VideoVae::new(&self.config, self.params.builder(trains))
    }
}
