//! The targets that read what runs write: checkpoints, configurations, weights, adapters, logs.

use std::collections::HashMap;
use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Tensor};
use cola_coevolve::{
    ActionPairs, Adapter, AdapterConfig, ExperimentConfig, Plan, Run, StoredLam, checkpoint,
};
use cola_data::{ClipSource, DrawnConfig, DrawnWorld};
use cola_nn::{Linear, Params, read_tensors, save_tensors};
use cola_report::JsonLines;
use cola_weights::Weights;

use crate::places::{Place, Reader};
use crate::sets::{self, Base};

/// The name under which the adapter is opened.
const VERSION: &str = "step 2";

/// Files of a checkpoint, the small ones first.
const FILES: [&str; 9] = [
    "config.toml",
    "state.json",
    "lam.version",
    "codec.safetensors",
    "fdm.safetensors",
    "lam.safetensors",
    "action.safetensors",
    "backbone.safetensors",
    "optimizer.safetensors",
];

/// The places of a target.
pub(crate) fn places_of(target: &str) -> Vec<Place> {
    let place = |base, file, read| Place { reader: Reader::Run(read), ..Place::new(base, file) };
    match target {
        "checkpoint" => {
            let edited =
                Place { texts: &["", "0123", "01234567"], ..place(Base::Written(trained), "edits", edited) };
            let each = FILES.iter().map(|file| place(Base::Written(trained), file, opened));
            each.chain([edited]).collect()
        }
        "config" => vec![
            place(Base::Written(trained), "config.toml", configured),
            Place {
                texts: &[
                    "data.batch=16",
                    "plan=LAM2+WARM2",
                    "flow.time.shift={fixed=2.0}",
                    "lam.quantizer.levels=[8, 5, 5]",
                    "evaluation.also_guidance=[1.0, 4]",
                ],
                ..place(Base::Empty, "assignment", assigned)
            },
            Place { texts: &["PRE4+LAM8K+WARM8+E2E8k+WM4"], ..place(Base::Empty, "plan", planned) },
        ],
        "weights" => vec![
            place(Base::Written(published), "model-00001-of-00002.safetensors", weighed),
            place(Base::Written(published), "model.safetensors.index.json", weighed),
            place(Base::Written(published), "config.json", weighed),
        ],
        "parameters" => vec![place(Base::Written(layer), "layer.safetensors", loaded)],
        "adapter" => vec![place(Base::Written(adapter), "adapter.safetensors", adapted)],
        "metrics_log" => vec![Place {
            texts: &["{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"loss\": null}\n{\"step\": 3,", "{}\n\n"],
            ..place(Base::Empty, "metrics.jsonl", logged)
        }],
        other => panic!("no places for {other}"),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The smallest configuration that has every part.
fn config() -> ExperimentConfig {
    let mut config = ExperimentConfig::toy();
    config.plan = "LAM1+E2E1".parse().expect("a plan");
    config.data.batch = 8;
    (config.lam.dim, config.lam.heads, config.lam.map_heads, config.lam.fdm_heads) = (8, 2, 2, 2);
    (config.lam.code_dim, config.lam.codes, config.lam.layers, config.lam.fdm_layers) = (4, 4, 1, 1);
    (config.dit.hidden_size, config.dit.num_heads, config.dit.depth) = (8, 2, 1);
    config.dit.action.action_dim = 8;
    (config.dit.action.width, config.dit.action.heads, config.dit.action.layers) = (8, 2, 1);
    (config.schedule.log_every, config.schedule.checkpoint_every, config.schedule.sensitivity_every) =
        (1, 1, 0);
    config
}

/// A checkpoint, trained once for all places.
fn trained(root: &Path) -> Result<()> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let drawn = DrawnConfig { clips: 64, frames: 2, size: 16, ..DrawnConfig::tiny() };
        let clips: Arc<dyn ClipSource> = Arc::new(DrawnWorld::new(drawn, 5).expect("a drawn world"));
        let mut run = Run::new(&config(), &Device::Cpu).expect("a run");
        let folder = sets::folder();
        run.train(&clips, None, &folder, &mut []).expect("two steps");
        let newest = checkpoint::list(&folder).pop().expect("a checkpoint");
        unseal(&newest).expect("the state of the checkpoint");
        newest
    });
    sets::copy(folder, root)
}

/// Takes the checksums away, as checkpoints once had none: they would refuse every change before it is looked at.
fn unseal(folder: &Path) -> Result<()> {
    let file = folder.join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    state["format"] = 1.into();
    state["files"] = serde_json::json!({});
    fs::write(file, state.to_string())
}

/// Opens a checkpoint as a run and its latent action model alone.
fn opened(root: &Path, _: &Path, _: &[u8]) -> std::result::Result<(), String> {
    let run = Run::open(root, &Device::Cpu).map(|run| assert!(run.step() <= run.config().plan.steps()));
    drop(StoredLam::open(root, &Device::Cpu).map_err(text));
    run.map_err(text)
}

/// Takes the input as single bytes to change anywhere in the checkpoint: file, two bytes of offset, value.
fn edited(root: &Path, _: &Path, bytes: &[u8]) -> std::result::Result<(), String> {
    static SOUND: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let read = || FILES.iter().map(|file| fs::read(root.join(file)).expect("the checkpoint")).collect();
    let sound = SOUND.get_or_init(read);
    let mut files = sound.clone();
    for edit in bytes.as_chunks::<4>().0 {
        let [file, high, low, value] = *edit;
        let file = &mut files[usize::from(file) % FILES.len()];
        let place = usize::from(u16::from_be_bytes([high, low])) % file.len();
        file[place] = value;
    }
    for (name, bytes) in FILES.iter().zip(&files) {
        fs::write(root.join(name), bytes).expect("the folder of the checkpoint");
    }
    opened(root, root, bytes)
}

fn configured(_: &Path, file: &Path, _: &[u8]) -> std::result::Result<(), String> {
    let config = ExperimentConfig::read(file).map_err(text)?;
    drop(config.deviations().map_err(text));
    // What was understood can be written and is the same when it is read again.
    let written = config.to_toml().map_err(text)?;
    fs::write(file, &written).expect("the folder of the configuration");
    let again = ExperimentConfig::read(file).expect("what was written");
    assert_eq!(again.to_toml().expect("what was written"), written);
    Ok(())
}

fn assigned(_: &Path, _: &Path, bytes: &[u8]) -> std::result::Result<(), String> {
    let words = String::from_utf8_lossy(bytes);
    config().with(&words).map(drop).map_err(text)
}

fn planned(_: &Path, _: &Path, bytes: &[u8]) -> std::result::Result<(), String> {
    let plan: Plan = String::from_utf8_lossy(bytes).parse().map_err(text)?;
    assert_eq!(plan.to_string().parse::<Plan>().expect("what was written"), plan);
    let steps = plan.steps();
    assert!(plan.locate(steps).is_none() && (steps == 0 || plan.locate(steps - 1).is_some()));
    assert_eq!(plan.without_warmup().steps(), steps);
    Ok(())
}

/// A small model in two shards.
fn published(root: &Path) -> Result<()> {
    let tensor = |value: f32| Tensor::full(value, (4, 3), &Device::Cpu).map_err(Error::other);
    let tensors = [("a.weight".to_string(), tensor(1.0)?), ("b.weight".to_string(), tensor(2.0)?)];
    let config = serde_json::json!({ "hidden_size": 3, "depth": 2 });
    cola_weights::save(root, tensors, &config, 48).map(drop).map_err(Error::other)
}

fn weighed(root: &Path, _: &Path, _: &[u8]) -> std::result::Result<(), String> {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "what the file must hold")]
    struct Config {
        hidden_size: usize,
        depth: u32,
    }
    drop(cola_weights::read_config::<Config>(root).map_err(text));
    let weights = Weights::open(root).map_err(text)?;
    for stored in weights.tensors().take(16) {
        drop(weights.read(stored.name).map_err(text));
    }
    Ok(())
}

/// A layer's parameters: `(4, 3)` and `(4)`.
fn params() -> Params {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    Linear::new(3, 4, params.frozen()).expect("a layer");
    params
}

fn layer(root: &Path) -> Result<()> {
    params().save(&root.join("layer.safetensors")).map_err(Error::other)
}

fn loaded(_: &Path, file: &Path, _: &[u8]) -> std::result::Result<(), String> {
    let tensors: HashMap<String, Tensor> = read_tensors(file).map_err(text)?.into_iter().collect();
    drop(params().load_matching(file).map_err(text));
    drop(params().load(file).map_err(text));
    drop(save_tensors(tensors, &file.with_extension("copy")).map_err(text));
    Ok(())
}

/// An adapter over two codes, fitted for a few steps.
fn adapter(root: &Path) -> Result<()> {
    let fitted = || -> std::result::Result<Adapter, Box<dyn std::error::Error + Send + Sync>> {
        let codebook = Tensor::new(&[[-0.5f32], [0.5]], &Device::Cpu)?;
        let codes =
            Tensor::from_iter((0..8).map(|i| i % 2), &Device::Cpu)?.reshape((8, 1))?.to_dtype(DType::U32)?;
        let actions = ((codes.to_dtype(DType::F32)? * 6.0)? - 3.0)?;
        let z = codebook.index_select(&codes.flatten_all()?, 0)?;
        let pairs = ActionPairs { embedding: z.clone(), tokens: z, codes, actions, clips: 8 };
        let mut config = AdapterConfig { hidden: 4, ..AdapterConfig::default() };
        config.recipe.steps = 2;
        Ok(Adapter::train(&pairs, &codebook, VERSION, &config)?.0)
    };
    let fitted = fitted().map_err(Error::other)?;
    fitted.save(&root.join("adapter.safetensors")).map_err(Error::other)
}

fn adapted(_: &Path, file: &Path, _: &[u8]) -> std::result::Result<(), String> {
    let adapter = Adapter::load(file, VERSION).map_err(text)?;
    let one = Tensor::zeros((1, 1), DType::F32, &Device::Cpu).map_err(text)?;
    adapter.translate(&one, cola_coevolve::Choice::Argmax).map(drop).map_err(text)
}

fn logged(_: &Path, file: &Path, _: &[u8]) -> std::result::Result<(), String> {
    let before = JsonLines::read(file).map_err(text)?.len();
    let mut log = JsonLines::resume(file, |record| record["step"].as_u64() < Some(2)).map_err(text)?;
    log.write(&serde_json::json!({ "step": 2 })).map_err(text)?;
    assert!(JsonLines::read(file).expect("what was written").len() <= before + 1);
    Ok(())
}
