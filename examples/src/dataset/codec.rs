//! The codec of a command line: a run's own, or the published video VAE.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use cola_coevolve::checkpoint;
use cola_data::Region;
use cola_dit_world::{LatentCodec, SpaceToDepth, VaeCodec};
use cola_nn::Params;
use cola_video_vae::{Cut, Pretrained};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::args::checkpoint_at;
use crate::dataset::args::EncodeArgs;
use crate::download::hub;
use crate::sources::generator;

/// Side of the VAE's frames unless told otherwise, pixels.
const VAE_SIDE: usize = 256;
/// Frames that go through a codec of single frames together.
const PIECE: usize = 16;
/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 16;

/// Which codec made the latents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecMade {
    /// `run` or `vae`.
    pub kind: String,
    /// Of its configuration and all its numbers: latents of different fingerprints must not be mixed.
    pub fingerprint: String,
    /// Latent channels.
    pub channels: usize,
    /// Pixels along the side of a latent pixel.
    pub factor: usize,
    /// Video frames of each latent frame behind the first of a chunk.
    pub frames_per_latent: usize,
    /// Frames that are encoded together and know of each other; 1 if each stands for itself.
    pub chunk: usize,
}

/// A codec and what it was made for.
pub struct Codec {
    codec: Box<dyn LatentCodec>,
    /// Which one.
    pub made: CodecMade,
    /// Where it comes from, for people.
    pub origin: String,
    /// Side of the frames that it was made for, pixels.
    pub side: usize,
    /// Longest side kept before that; none where frames are reduced at once.
    pub store: Option<usize>,
    /// The part of each frame that it was made for, in pictures of its own dataset.
    pub region: Option<Region>,
    device: Device,
}

impl Codec {
    /// Opens it.
    ///
    /// # Errors
    /// A folder that holds no such model, damaged files, an id that cannot be fetched.
    pub fn open(args: &EncodeArgs) -> Result<Self> {
        let device = args.device.open()?;
        match (&args.vae, &args.checkpoint) {
            (Some(vae), _) => Self::vae(vae, args.frames_per_latent, device),
            (None, Some(folder)) => Self::run(&codec_at(folder)?, device),
            (None, None) => Self::run(&generator(), device),
        }
    }

    fn run(folder: &Path, device: Device) -> Result<Self> {
        let config = checkpoint::config(folder)?;
        let params = Params::seeded(0, DType::F32, &device);
        let codec = SpaceToDepth::new(&config.codec, params.frozen())?;
        params.load(&folder.join("codec.safetensors"))?;
        let fingerprint = fingerprint(&serde_json::to_string(&config.codec)?, &params)?;
        let made = CodecMade {
            kind: "run".into(),
            fingerprint,
            channels: codec.channels(),
            factor: codec.factor(),
            frames_per_latent: 1,
            chunk: 1,
        };
        Ok(Self {
            codec: Box::new(codec),
            made,
            origin: folder.display().to_string(),
            side: config.data.world_size,
            store: Some(config.data.store),
            region: Some(config.data.region),
            device,
        })
    }

    fn vae(source: &str, frames_per_latent: usize, device: Device) -> Result<Self> {
        let opened = Pretrained::from_pretrained(source, &hub(), DType::F32, &device)
            .with_context(|| format!("--vae {source}"))?;
        let cut = if frames_per_latent == 1 { Cut::Frames } else { Cut::Chunks };
        let chunk = if frames_per_latent == 1 { 1 } else { opened.config.temporal_vae.micro_frame_size };
        let fingerprint = fingerprint(&serde_json::to_string(&opened.config)?, &opened.params)?;
        let codec = VaeCodec::new(opened.vae(false)?, cut);
        let made = CodecMade {
            kind: "vae".into(),
            fingerprint,
            channels: codec.channels(),
            factor: codec.factor(),
            frames_per_latent: codec.frames_per_latent(),
            chunk,
        };
        let (origin, side) = (source.to_owned(), VAE_SIDE);
        Ok(Self { codec: Box::new(codec), made, origin, side, store: None, region: None, device })
    }

    /// Frames that are encoded at once: a chunk, or some frames that know nothing of each other.
    pub fn piece(&self) -> usize {
        if self.made.chunk == 1 { PIECE } else { self.made.chunk }
    }

    /// Latents `(C, T', H', W')` of [`piece`](Self::piece) pictures of `side` x `side`, `(T, side, side, 3)`; fewer at the
    /// end of an episode.
    ///
    /// # Errors
    /// A side that the codec does not divide.
    pub fn encode(&self, rgb: &[u8], side: usize) -> Result<Tensor> {
        let frames = rgb.len() / (side * side * 3).max(1);
        let pixels = Tensor::from_slice(rgb, (1, frames, side, side, 3), &self.device)?;
        let video = (pixels.to_dtype(DType::F32)?.permute((0, 1, 4, 2, 3))?.contiguous()? / 255.0)?;
        Ok(self.codec.encode(&video)?.squeeze(0)?)
    }
}

/// The folder itself if a codec lies in it, or the newest checkpoint of a run's folder.
fn codec_at(path: &Path) -> Result<PathBuf> {
    if path.join("codec.safetensors").is_file() && path.join("config.toml").is_file() {
        return Ok(path.to_path_buf());
    }
    checkpoint_at(path).context("--checkpoint")
}

/// As a codebook's version is made: SHA-256 of the configuration and of every tensor's name, shape and values.
fn fingerprint(config: &str, params: &Params) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(config);
    for (name, var) in params.vars() {
        hash.update(format!("\n{name} {:?}\n", var.dims()));
        let values = var.as_detached_tensor().flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("codec-{}", &digits[..DIGITS]))
}
