//! A world model with its parameters: loaded or drawn, one part after the other.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use cola_dit_world::{
    ActionConditioner, DitWorld, Form, LatentCodec, Pretrained, SpaceToDepth, VaeCodec, WorldModel,
};
use cola_lam::LatentActionModel;
use cola_nn::{Params, blueprint};
use cola_report::Progress;
use cola_video_vae::{Cut, Pretrained as PretrainedVae, VideoVae, VideoVaeConfig};
use cola_weights::{Hub, LoadOptions, Loaded, Weights, load};
use indicatif::ProgressBar;

use crate::rollout::origin::{Kind, Origin};

/// Numbers that one step of a bar stands for.
const MILLION: usize = 1_000_000;
/// Parts with fewer numbers are drawn before a bar could be read.
const SHOWN: usize = 50 * MILLION;

/// A part of a model and how it came to be.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Its numbers.
    pub parameters: usize,
    /// Time to draw or load it; none where another part's includes it.
    pub seconds: Option<f64>,
    /// Whether its numbers come from a file.
    pub loaded: bool,
    /// What was used of a file, created and left; none where no file was opened for this part alone.
    pub report: Option<Loaded>,
}

/// A model that is there.
pub struct Model {
    /// Codec, transformer, conditioner.
    pub world: WorldModel,
    /// Reads codes, where a run's codebook is there.
    pub lam: Option<LatentActionModel>,
    /// What it consists of.
    pub parts: Vec<Part>,
    /// Fields of published configurations that were passed over.
    pub unknown: Vec<String>,
}

impl Model {
    /// Loads or draws the parameters, all of them frozen.
    ///
    /// # Errors
    /// Files that are missing, damaged or another model's.
    pub fn open(origin: &Origin, seed: u64, hub: &Hub, device: &Device) -> Result<Self> {
        match &origin.kind {
            Kind::Run(folder) => Self::run(origin, folder, device),
            Kind::Published { weights, vae } => Self::published(origin, weights, vae, hub, device),
            Kind::Random { vae, .. } => Self::random(origin, vae, seed, device),
        }
    }

    fn run(origin: &Origin, folder: &Path, device: &Device) -> Result<Self> {
        let usual = &origin.usual;
        if let Some(vae) = usual.latents.vae() {
            bail!(
                "{}: this run's latents are those of the video VAE {}, with which only the run itself imagines yet: see the \
                 evaluations in its folder",
                folder.display(),
                vae.display()
            );
        }
        let file = |name: &str| folder.join(format!("{name}.safetensors"));
        let (codec, of_codec) =
            stored("codec", &file("codec"), device, |vb| SpaceToDepth::new(&usual.codec, vb))?;
        let (dit, of_dit) =
            stored("transformer", &file("backbone"), device, |vb| DitWorld::new(&origin.dit, vb))?;
        let mut parts = vec![of_dit, of_codec];
        let action = |vb: VarBuilder<'static>| ActionConditioner::new(&origin.dit, vb);
        let space = origin.actions();
        let conditioner = if space.is_some() {
            let (conditioner, part) = stored("action conditioner", &file("action"), device, action)?;
            parts.insert(1, part);
            conditioner
        } else {
            // A world has one; without actions it is never asked.
            action(Params::seeded(0, DType::F32, device).frozen())?
        };
        let mut lam = None;
        if space.is_some_and(|space| space.codebook.is_some()) {
            let (model, part) = stored("latent action model", &file("lam"), device, |vb| {
                LatentActionModel::new(&usual.lam, vb)
            })?;
            parts.push(part);
            lam = Some(model.computing(usual.compute));
        }
        let world = WorldModel {
            codec: Box::new(codec),
            dit: dit.computing(usual.compute),
            conditioner: conditioner.computing(usual.compute),
        };
        Ok(Self { world, lam, parts, unknown: Vec::new() })
    }

    fn published(origin: &Origin, weights: &Path, vae: &str, hub: &Hub, device: &Device) -> Result<Self> {
        let since = Instant::now();
        let opened =
            waiting("loads the VAE", || PretrainedVae::from_pretrained(vae, hub, DType::F32, device))?;
        let codec = VaeCodec::new(opened.vae(false)?, cut(origin));
        let of_codec = Part::loaded("VAE", &opened.params, since, opened.report);
        let mut unknown = opened.unknown;

        let since = Instant::now();
        let folder = weights.to_str().with_context(|| format!("{}: not UTF-8", weights.display()))?;
        let form = Form::Paper(origin.dit.action.clone());
        let opened = waiting("loads the transformer", || {
            Pretrained::from_pretrained(folder, &form, hub, DType::F32, device)
        })?;
        let (dit, conditioner) = (opened.dit(false)?, opened.conditioner(false)?);
        let acts = opened.report.names.used.iter().any(|name| name.starts_with("action_conditioner."));
        let of_dit = Part::loaded("transformer", &opened.backbone, since, opened.report);
        // It stands in the transformer's file and report, if anywhere.
        let of_actions =
            Part { seconds: None, loaded: acts, ..Part::drawn("action conditioner", &opened.action, since) };
        unknown.extend(opened.unknown);
        let parts = vec![of_dit, of_actions, of_codec];
        Ok(Self { world: WorldModel { codec: Box::new(codec), dit, conditioner }, lam: None, parts, unknown })
    }

    fn random(origin: &Origin, vae: &VideoVaeConfig, seed: u64, device: &Device) -> Result<Self> {
        let config = &origin.dit;
        let (dit, of_dit) = drawn("transformer", seed, device, |vb| DitWorld::new(config, vb))?;
        let (conditioner, of_actions) =
            drawn("action conditioner", seed, device, |vb| ActionConditioner::new(config, vb))?;
        let (vae, of_vae) = drawn("VAE", seed, device, |vb| VideoVae::new(vae, vb))?;
        let codec: Box<dyn LatentCodec + Send + Sync> = Box::new(VaeCodec::new(vae, cut(origin)));
        let parts = vec![of_dit, of_actions, of_vae];
        Ok(Self { world: WorldModel { codec, dit, conditioner }, lam: None, parts, unknown: Vec::new() })
    }
}

impl Part {
    fn drawn(name: &'static str, params: &Params, since: Instant) -> Self {
        let seconds = Some(since.elapsed().as_secs_f64());
        Self { name, parameters: params.count(), seconds, loaded: false, report: None }
    }

    fn loaded(name: &'static str, params: &Params, since: Instant, report: Loaded) -> Self {
        Self { loaded: true, report: Some(report), ..Self::drawn(name, params, since) }
    }
}

fn cut(origin: &Origin) -> Cut {
    if origin.dit.action.frames_per_latent == 1 { Cut::Frames } else { Cut::Chunks }
}

/// A part of a run's checkpoint.
fn stored<M>(
    name: &'static str,
    file: &Path,
    device: &Device,
    build: impl Fn(VarBuilder<'static>) -> candle_core::Result<M>,
) -> Result<(M, Part)> {
    let since = Instant::now();
    let params = Params::seeded(0, DType::F32, device);
    let options = LoadOptions::new().create(|name| DitWorld::BUFFERS.contains(&name));
    let report = load(&Weights::open(file)?, &params, &blueprint(&build)?, &options)?;
    let model = build(params.frozen())?;
    Ok((model, Part::loaded(name, &params, since, report)))
}

/// A part of random numbers.
fn drawn<M>(
    name: &'static str,
    seed: u64,
    device: &Device,
    build: impl Fn(VarBuilder<'static>) -> candle_core::Result<M>,
) -> Result<(M, Part)> {
    let since = Instant::now();
    let total: usize = blueprint(&build)?.values().map(Shape::elem_count).sum();
    let params = Params::seeded(seed, DType::F32, device);
    if total < SHOWN {
        let model = build(params.frozen())?;
        return Ok((model, Part::drawn(name, &params, since)));
    }
    let bar = Progress::start(&format!("draw {name}"), (total / MILLION) as u64, 0);
    let shown = Arc::new(Mutex::new(Shown { done: 0, bar: Some(bar) }));
    let backend: Box<dyn SimpleBackend> = Box::new(Told { inner: params.frozen(), shown: shown.clone() });
    let model = build(VarBuilder::from_backend(backend, DType::F32, device.clone()))?;
    if let Some(bar) = shown.lock().unwrap_or_else(PoisonError::into_inner).bar.take() {
        bar.finish("steps of a million numbers");
    }
    Ok((model, Part::drawn(name, &params, since)))
}

struct Shown {
    done: usize,
    bar: Option<Progress>,
}

/// A builder whose every tensor moves a bar.
struct Told {
    inner: VarBuilder<'static>,
    shown: Arc<Mutex<Shown>>,
}

impl SimpleBackend for Told {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _dtype: DType,
        _device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.inner.get_with_hints(shape, name, init)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.done += tensor.elem_count();
        let done = (shown.done / MILLION) as u64;
        if let Some(bar) = &mut shown.bar {
            bar.tick(done, "steps of a million numbers");
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _device: &Device) -> candle_core::Result<Tensor> {
        self.inner.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.inner.contains_tensor(name)
    }
}

/// Does what may take long and cannot say how far it is.
fn waiting<T, E>(words: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    if !std::io::stderr().is_terminal() {
        eprintln!("{words}");
        return work();
    }
    let spinner = ProgressBar::new_spinner().with_message(words.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}
