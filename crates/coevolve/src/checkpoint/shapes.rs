//! Whether the files of a checkpoint can be those of its configuration, before a model is made: a model of a terabyte ends
//! in an error that names a file, not in an allocator that gives up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use cola_dit_world::{ActionConditioner, DitWorld, SpaceToDepth};
use cola_lam::{Fdm, LatentActionModel};
use cola_nn::{Extent, Header};
use safetensors::Dtype;

use crate::Error;
use crate::config::ExperimentConfig;

/// After so many absent tensors the rest is not asked for: a configuration may claim a thousand layers.
const MOST_ABSENT: usize = 4096;

/// Compares the configuration with the headers of all five sets. Sets aside no more memory than the headers and the models'
/// tables of positions take.
///
/// # Errors
/// [`Error::Params`] naming file and tensor, sizes that the models refuse.
pub(crate) fn check(folder: &Path, config: &ExperimentConfig) -> std::result::Result<(), Error> {
    check_lam(folder, config)?;
    let dit = &config.dit;
    compare(folder, "fdm", |vb| Fdm::new(&config.lam, vb).map(drop))?;
    compare(folder, "action", |vb| ActionConditioner::new(dit, vb).map(drop))?;
    compare(folder, "backbone", |vb| DitWorld::new(dit, vb).map(drop))?;
    compare(folder, "codec", |vb| match config.latents.vae() {
        Some(_) => Ok(()), // it is no part of the checkpoint
        None => SpaceToDepth::new(&config.codec, vb).map(drop),
    })
}

/// [`check`] for inverse dynamics model and codebook alone.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_lam(folder: &Path, config: &ExperimentConfig) -> std::result::Result<(), Error> {
    compare(folder, "lam", |vb| LatentActionModel::new(&config.lam, vb).map(drop))
}

/// Builds the model of a set over its file's header.
fn compare(
    folder: &Path,
    set: &str,
    build: impl FnOnce(VarBuilder<'static>) -> Result<()>,
) -> std::result::Result<(), Error> {
    let file = folder.join(format!("{set}.safetensors"));
    let sketch = Sketch { tensors: Arc::new(Header::open(&file)?.tensors), asked: Arc::default() };
    let backend: Box<dyn SimpleBackend> = Box::new(sketch.clone());
    let built = build(VarBuilder::from_backend(backend, DType::F32, Device::Cpu));
    let Asked { used, absent, misfit } = std::mem::take(&mut *sketch.lock());
    if let Some(Misfit { name, found, expected }) = misfit {
        return Err(cola_nn::Error::Tensor { file, name, found, expected }.into());
    }
    let mut foreign = sketch.tensors.keys().filter(|name| !used.contains(*name)).peekable();
    if !absent.is_empty() || foreign.peek().is_some() {
        let first = |name: Option<&String>| name.cloned().unwrap_or_else(|| "-".into());
        let extra = first(foreign.peek().copied());
        return Err(cola_nn::Error::Names {
            file,
            found: sketch.tensors.len(),
            missing_count: absent.len(),
            missing: first(absent.first()),
            extra_count: foreign.count(),
            extra,
        }
        .into());
    }
    Ok(built?)
}

/// A model's parameters as a header tells them: shapes are compared, numbers are not there.
#[derive(Clone)]
struct Sketch {
    tensors: Arc<BTreeMap<String, Extent>>,
    asked: Arc<Mutex<Asked>>,
}

/// What a model wanted.
#[derive(Default)]
struct Asked {
    used: BTreeSet<String>,
    absent: BTreeSet<String>,
    misfit: Option<Misfit>,
}

/// A tensor of another shape or dtype than the model's.
struct Misfit {
    name: String,
    found: String,
    expected: String,
}

impl Sketch {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimpleBackend for Sketch {
    fn get(&self, shape: Shape, name: &str, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut asked = self.lock();
        match self.tensors.get(name) {
            Some(found) if found.shape == shape.dims() && found.dtype == Dtype::F32 => {
                asked.used.insert(name.to_string());
            }
            Some(found) => {
                asked.misfit = Some(Misfit {
                    name: name.to_string(),
                    found: format!("{:?} {:?}", found.dtype, found.shape),
                    expected: format!("{dtype:?} {:?}", shape.dims()),
                });
                candle_core::bail!("tensor `{name}` is not the configuration's");
            }
            None if asked.absent.len() < MOST_ABSENT => {
                asked.absent.insert(name.to_string());
            }
            None => candle_core::bail!("more than {MOST_ABSENT} tensors are absent"),
        }
        Tensor::zeros(1, dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        candle_core::bail!("a header cannot say which numbers the parameter `{name}` has")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
