//! `lam probe`: latent actions beside real ones.

use anyhow::{Context, Result};
use candle_core::Tensor;
use cola_coevolve::{ActionPairs, Adapter, AdapterConfig, ProbeConfig, ProbeInput, probe};
use cola_data::ClipSource;
use cola_report::Progress;
use serde_json::json;

use crate::lam::args::ProbeArgs;
use crate::lam::model::{Model, result_folder};
use crate::output::write;

/// Fits probes and an adapter on the train split and prints what they are worth on the held-out one.
///
/// # Errors
/// A model or dataset that will not do, a dataset without actions.
pub fn run(args: &ProbeArgs) -> Result<()> {
    let model = Model::open(&args.model)?;
    let pairs = |split: &str, transitions: usize| -> Result<ActionPairs> {
        let clips = model.clips(&args.data, split)?;
        gather(&model, &*clips, transitions, split)
    };
    let train = pairs("train", args.train)?;
    let valid = pairs(&model.config.evaluation.split, args.valid)?;

    let input = if args.pre_quantised { ProbeInput::PreQuantised } else { ProbeInput::Quantised };
    let mut config = ProbeConfig { input, ..ProbeConfig::default() };
    config.recipe.seed = args.seed;
    let fitted = probe(&train, &valid, &config)?;
    println!("\n{}", fitted.report);

    let mut config = AdapterConfig::default();
    config.recipe.seed = args.seed;
    let (adapter, _) = Adapter::train(&train, &codebook(&model)?, &model.version, &config)?;
    let adapted = adapter.evaluate(&valid, args.seed)?;
    println!("{adapted}");

    let folder = result_folder(args.out.as_deref(), "probe")?;
    adapter.save(&folder.join("adapter.safetensors"))?;
    let all = json!({
        "codebook": model.version,
        "model": model.folder,
        "data": args.data.data,
        "seed": args.seed,
        "probe": fitted.report,
        "quantiles": fitted.quantiles,
        "adapter": adapted,
    });
    write(&folder.join("probe.json"), &serde_json::to_vec_pretty(&all)?)?;
    println!("written    {0}/probe.json, {0}/adapter.safetensors", folder.display());
    Ok(())
}

fn gather(model: &Model, clips: &dyn ClipSource, transitions: usize, split: &str) -> Result<ActionPairs> {
    let each = (clips.frames_per_clip() - 1).max(1);
    let count = transitions.div_ceil(each).min(clips.len());
    let mut bar = Progress::start(&format!("pairs of {split}"), count as u64, 0);
    let pairs =
        ActionPairs::gather(&model.lam, clips, count, &model.config, &model.device, &mut |done, _| {
            bar.tick(done as u64, "clips");
        })
        .with_context(|| format!("split `{split}`"))?;
    bar.finish(&format!("{} transitions", pairs.len()));
    Ok(pairs)
}

/// All codes' rows, `(codes, code_dim)`; for scalar quantization, what each index stands for.
fn codebook(model: &Model) -> Result<Tensor> {
    let codes = Tensor::arange(0u32, model.config.lam.codes as u32, &model.device)?;
    Ok(model.lam.quantizer().embed(&codes)?)
}
