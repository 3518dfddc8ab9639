//! The parameter sets of a run and the modules built over them for the current phase.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_data::{Batch, CacheReport};
use cola_dit_world::{ActionConditioner, DitWorld, LatentCodec, SpaceToDepth, WorldModel};
use cola_lam::{Fdm, LatentActionModel};
use cola_nn::Params;

use crate::Error;
use crate::config::ExperimentConfig;
use crate::encoder::{self, Encoder};
use crate::plan::Trains;

/// Five named sets of variables. Clones share storage.
#[derive(Clone)]
pub struct SystemParams {
    /// Inverse dynamics model and codebook.
    pub lam: Params,
    /// Forward dynamics model.
    pub fdm: Params,
    /// Action conditioner.
    pub action: Params,
    /// Video transformer.
    pub backbone: Params,
    /// Shift and scale of the codec; never trained, and empty with a VAE.
    pub codec: Params,
    /// The VAE, if there is one; no part of a checkpoint but by its name.
    encoder: Option<Arc<Encoder>>,
}

impl SystemParams {
    /// Fresh parameters: a pure function of the configuration's seed and sizes. Opens the VAE if the configuration names one.
    ///
    /// # Errors
    /// Sizes that the models refuse; a VAE that cannot be opened or does not fit them.
    pub fn new(config: &ExperimentConfig, device: &Device) -> Result<Self> {
        // Sets share parameter names (`...attn.qkv.weight`), so each has a seed of its own.
        let set =
            |index: u64| Params::seeded(config.seed.wrapping_mul(8).wrapping_add(index), DType::F32, device);
        let encoder = Encoder::open(config, device)?.map(Arc::new);
        let params =
            Self { lam: set(0), fdm: set(1), action: set(2), backbone: set(3), codec: set(4), encoder };
        System::enter(&params, config, Trains::default())?;
        Ok(params)
    }

    /// The sets with their names, which are also their files' names.
    pub fn sets(&self) -> [(&'static str, &Params); 5] {
        [
            ("lam", &self.lam),
            ("fdm", &self.fdm),
            ("action", &self.action),
            ("backbone", &self.backbone),
            ("codec", &self.codec),
        ]
    }

    /// Every variable as `set.name`, with whether it learns.
    pub fn vars(&self, trains: Trains) -> Vec<(String, Var, bool)> {
        let learns = |set: &str| match set {
            "lam" => trains.lam,
            "fdm" => trains.fdm,
            "action" => trains.action,
            "backbone" => trains.backbone,
            _ => false,
        };
        self.sets()
            .into_iter()
            .flat_map(|(set, params)| {
                params.vars().into_iter().map(move |(name, var)| (format!("{set}.{name}"), var, learns(set)))
            })
            .collect()
    }

    /// Whether a variable, as `set.name`, belongs to the world model: action conditioner or video transformer.
    pub(crate) fn is_world(name: &str) -> bool {
        name.starts_with("action.") || name.starts_with("backbone.")
    }

    /// These parameters with other values of the world model where `values` has some; those sets are copies.
    pub(crate) fn with_world(&self, values: impl Fn(&str) -> Option<Tensor>) -> Result<Self> {
        let copy = |set: &str, params: &Params| -> Result<Params> {
            let copied = params.empty();
            for (name, var) in params.vars() {
                let value = values(&format!("{set}.{name}"));
                copied.set(&name, &value.unwrap_or_else(|| var.as_detached_tensor()))?;
            }
            Ok(copied)
        };
        Ok(Self {
            action: copy("action", &self.action)?,
            backbone: copy("backbone", &self.backbone)?,
            ..self.clone()
        })
    }

    /// Writes `lam.safetensors` and so on into a folder.
    ///
    /// # Errors
    /// [`Error::Params`].
    pub fn save(&self, folder: &Path) -> std::result::Result<(), Error> {
        for (name, params) in self.sets() {
            params.save(&folder.join(format!("{name}.safetensors")))?;
        }
        self.encoder.as_ref().map_or(Ok(()), |encoder| encoder.write_version(folder))
    }

    /// Reads what [`SystemParams::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Params`] naming file and tensor; [`Error::State`] for another VAE than the one of these parameters.
    pub fn load(&self, folder: &Path) -> std::result::Result<(), Error> {
        encoder::check_version(folder, self.encoder.as_deref())?;
        for (name, params) in self.sets() {
            params.load(&folder.join(format!("{name}.safetensors")))?;
        }
        Ok(())
    }

    /// Reads only the pre-trained generator: backbone and codec.
    ///
    /// # Errors
    /// As [`SystemParams::load`].
    pub fn load_generator(&self, folder: &Path) -> std::result::Result<(), Error> {
        encoder::check_version(folder, self.encoder.as_deref())?;
        self.backbone.load(&folder.join("backbone.safetensors"))?;
        self.codec.load(&folder.join("codec.safetensors"))?;
        Ok(())
    }

    /// Writes what [`SystemParams::load_generator`] reads.
    ///
    /// # Errors
    /// [`Error::Params`].
    pub fn save_generator(&self, folder: &Path) -> std::result::Result<(), Error> {
        self.backbone.save(&folder.join("backbone.safetensors"))?;
        self.codec.save(&folder.join("codec.safetensors"))?;
        self.encoder.as_ref().map_or(Ok(()), |encoder| encoder.write_version(folder))
    }

    /// Opens the cache that the configuration names; false if it names none. One that is open already stays.
    pub(crate) fn open_cache(&self, config: &ExperimentConfig) -> std::result::Result<bool, Error> {
        self.encoder.as_ref().map_or(Ok(false), |encoder| encoder.open_cache(&config.latents))
    }

    /// What the cache was good for since the last call.
    pub(crate) fn cache_report(&self) -> Option<CacheReport> {
        self.encoder.as_ref()?.cache_report()
    }
}

/// The modules of a phase. What learns was decided when it was entered; nothing in a training step asks again.
pub struct System {
    /// Clips to latent actions.
    pub lam: LatentActionModel,
    /// A frame and an action to the next frame (LAM phases only).
    pub fdm: Fdm,
    /// Latents, times and actions to velocities.
    pub world: WorldModel,
    encoder: Option<Arc<Encoder>>,
}

impl System {
    /// Builds the modules over trainable or frozen views; copies no parameters.
    ///
    /// # Errors
    /// Sizes that the models refuse.
    pub fn enter(params: &SystemParams, config: &ExperimentConfig, trains: Trains) -> Result<Self> {
        let codec: Box<dyn LatentCodec + Send + Sync> = match &params.encoder {
            Some(encoder) => Box::new(encoder.codec().clone()), // layers of shared tensors
            None => Box::new(SpaceToDepth::new(&config.codec, params.codec.frozen())?),
        };
        Ok(Self {
            lam: LatentActionModel::new(&config.lam, params.lam.builder(trains.lam))?
                .computing(config.compute),
            fdm: Fdm::new(&config.lam, params.fdm.builder(trains.fdm))?.computing(config.compute),
            world: WorldModel {
                codec,
                dit: DitWorld::new(&config.dit, params.backbone.builder(trains.backbone))?
                    .computing(config.compute),
                conditioner: ActionConditioner::new(&config.dit, params.action.builder(trains.action))?
                    .computing(config.compute),
            },
            encoder: params.encoder.clone(),
        })
    }

    /// Latents `(B, C, T', h, w)` of the world model's views, without history: a pure function of each clip by itself,
    /// whether it is encoded or found in the cache.
    ///
    /// # Errors
    /// Views that the codec does not take.
    pub fn latents(&self, batch: &Batch) -> Result<Tensor> {
        match &self.encoder {
            Some(encoder) => encoder.latents(batch),
            None => self.world.codec.encode(&batch.world_view),
        }
    }
}
