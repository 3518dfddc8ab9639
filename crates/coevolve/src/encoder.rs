//! The frozen video VAE of a run: opened once, known by its weights, with a cache of what it made.

use std::path::Path;
use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};
use cola_data::{Batch, CacheReport, LatentCache};
use cola_dit_world::{LatentCodec, VaeCodec};
use cola_video_vae::{Cut, Pretrained};
use cola_weights::Hub;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::config::{ExperimentConfig, LatentsConfig};
use crate::stored_lam::{read_name, write_name};

/// The file of a checkpoint that names its VAE.
const VERSION: &str = "vae.version";
/// Hexadecimal digits of a version.
const DIGITS: usize = 16;

/// The VAE. Shared by all modules of a run.
pub(crate) struct Encoder {
    codec: VaeCodec,
    /// `vae-` and digits of the SHA-256 of its sizes and of every tensor.
    version: String,
    device: Device,
    cache: OnceLock<LatentCache>,
}

impl Encoder {
    /// Opens the VAE that the configuration names, if it does.
    ///
    /// # Errors
    /// Weights that cannot be read, sizes that do not fit the configuration's.
    pub(crate) fn open(config: &ExperimentConfig, device: &Device) -> candle_core::Result<Option<Self>> {
        let Some(folder) = config.latents.vae() else { return Ok(None) };
        let Some(name) = folder.to_str() else {
            candle_core::bail!("latents.vae is {}; expected a path in UTF-8", folder.display());
        };
        let opened = Pretrained::from_pretrained(name, &Hub::from_env(), DType::F32, device);
        let opened = opened.map_err(|error| candle_core::Error::wrap(error).context("latents.vae"))?;
        let cut = match config.dit.action.frames_per_latent {
            1 => Cut::Frames,
            _ => Cut::Chunks,
        };
        let codec = VaeCodec::new(opened.vae(false)?, cut);
        let (channels, factor, side) = (codec.channels(), codec.factor(), config.data.world_size);
        if config.dit.in_channels != channels {
            let found = config.dit.in_channels;
            candle_core::bail!(
                "dit.in_channels is {found}; the VAE of latents.vae makes {channels} channels"
            );
        }
        if !side.is_multiple_of(factor) {
            candle_core::bail!(
                "data.world_size is {side}; the VAE of latents.vae needs a multiple of {factor}"
            );
        }
        let trained = config.dit.action.frames_per_latent;
        if codec.frames_per_latent() != trained {
            let found = codec.frames_per_latent();
            candle_core::bail!(
                "dit.action.frames_per_latent is {trained}; the VAE of latents.vae makes a latent of 1 or {found} frames"
            );
        }
        let mut hash = Sha256::new();
        // How many pictures it takes at a time changes no bit.
        let mut sizes = opened.config.clone();
        sizes.micro_batch = 1;
        hash.update(serde_json::to_string(&sizes).map_err(candle_core::Error::wrap)?);
        opened.params.feed(&mut |bytes| hash.update(bytes))?;
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let version = format!("vae-{}", &digits[..DIGITS]);
        Ok(Some(Self { codec, version, device: device.clone(), cache: OnceLock::new() }))
    }

    pub(crate) fn codec(&self) -> &VaeCodec {
        &self.codec
    }

    /// Opens the cache; false if the configuration names none.
    pub(crate) fn open_cache(&self, latents: &LatentsConfig) -> Result<bool, Error> {
        let Some((folder, options)) = latents.cache() else { return Ok(false) };
        if self.cache.get().is_none() {
            // Kinds of devices round differently.
            let device = match &self.device {
                Device::Cpu => "cpu",
                Device::Cuda(_) => "cuda",
                Device::Metal(_) => "metal",
            };
            let codec =
                format!("{}, {} frames a latent, {device}", self.version, self.codec.frames_per_latent());
            // Whoever was faster opened the same.
            let _ = self.cache.set(LatentCache::open(folder, &codec, options)?);
        }
        Ok(true)
    }

    pub(crate) fn cache_report(&self) -> Option<CacheReport> {
        self.cache.get().map(LatentCache::take_report)
    }

    /// Latents of the world model's views. One clip at a time, always: products of matrices may round otherwise in another
    /// batch, and a clip's latents must not depend on its neighbours, nor on which of them were in the cache.
    pub(crate) fn latents(&self, batch: &Batch) -> candle_core::Result<Tensor> {
        let views = &batch.world_view;
        let (clips, frames, _, height, width) = views.dims5()?;
        let factor = self.codec.factor();
        let latent_frames = 1 + frames.saturating_sub(1) / self.codec.frames_per_latent();
        let shape = [self.codec.channels(), latent_frames, height / factor, width / factor];
        let one = |clip: usize| -> candle_core::Result<Tensor> {
            let encode = || self.codec.encode(&views.narrow(0, clip, 1)?)?.squeeze(0);
            let (Some(cache), Some(key)) = (self.cache.get(), batch.keys.get(clip)) else { return encode() };
            if let Some(found) = cache.get(key, shape).map_err(candle_core::Error::wrap)? {
                return found.to_device(&self.device);
            }
            let made = encode()?;
            cache.insert(key, &made).map_err(candle_core::Error::wrap)?;
            Ok(made)
        };
        Tensor::stack(&(0..clips).map(one).collect::<candle_core::Result<Vec<_>>>()?, 0)
    }

    /// Names the VAE in a checkpoint folder.
    pub(crate) fn write_version(&self, folder: &Path) -> Result<(), Error> {
        write_name(&folder.join(VERSION), &self.version, "writing the version of the VAE")
    }
}

/// Refuses a checkpoint whose world model knows the latents of another VAE, or of none.
pub(crate) fn check_version(folder: &Path, encoder: Option<&Encoder>) -> Result<(), Error> {
    let file = folder.join(VERSION);
    let named = read_name(&file)?;
    let expected = encoder.map(|encoder| encoder.version.as_str());
    if named.as_deref() == expected {
        return Ok(());
    }
    Err(Error::State {
        file,
        field: "version".into(),
        found: named.unwrap_or_else(|| "missing: it was trained without a VAE".into()),
        expected: expected.map_or_else(
            || "no VAE, as latents.vae is empty".into(),
            |version| format!("{version}, the weights of latents.vae"),
        ),
        mend: "let latents.vae name the VAE that it was trained with",
    })
}
