//! I3D: preprocessing, stages, logits; with weights by formula, and with the trained ones where they are at hand.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use cola_golden::{Golden, Tolerance};
use cola_metrics::{
    Covariance, Features, Fit, Frechet, I3d, I3dConfig, Video, frechet_from_features, kernel_distance,
};

use crate::filler::filled;

/// Values up to 20; the reference's own f32 and f64 runs differ by 6.4e-6.
const LOGITS: Tolerance = Tolerance::Absolute(2e-4);

/// Names the f32 weights of Kinetics-400 as safetensors.
const F32_WEIGHTS: &str = "COLA_I3D_F32";

pub(crate) fn compare(golden: &Golden) -> Result<()> {
    preprocessing(golden)?;
    let seed = golden.int("filler_seed") as u64;
    let tensors = filled(I3d::tensors(), seed)?;
    let build = |bn_eps| {
        let vb = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
        I3d::new(&I3dConfig { bn_eps }, vb).map_err(candle_core::Error::wrap)
    };
    let mut networks = Networks { usual: golden.float("bn_eps"), build, built: BTreeMap::new() };
    taps(golden, networks.get(None)?)?;
    logits(golden, "", &mut networks)?;
    sets(golden, "filler.", networks.get(None)?)?;

    // The distances of stored logits need no weights.
    for prefix in ["filler.", "kinetics."] {
        let stored = |set| golden.tensor(&format!("{prefix}logits_{set}"));
        if golden.has(&format!("{prefix}logits_a")) && golden.has(&format!("{prefix}logits_b")) {
            distances(golden, prefix, [stored("a"), stored("b")], 1e-8)?;
        }
    }

    let Some(file) = std::env::var_os(F32_WEIGHTS) else {
        println!("golden note {}: kinetics.* skipped, {F32_WEIGHTS} names no f32 weights", golden.name());
        return Ok(());
    };
    // A path that is relative is taken from the workspace's folder, as that of the reference files.
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let build =
        |bn_eps| I3d::open(&I3dConfig { bn_eps }, &file, &Device::Cpu).map_err(candle_core::Error::wrap);
    let mut networks = Networks { usual: I3dConfig::default().bn_eps, build, built: BTreeMap::new() };
    logits(golden, "kinetics.", &mut networks)?;
    sets(golden, "kinetics.", networks.get(None)?)
}

/// One network for each epsilon that a file asks for.
struct Networks<F> {
    usual: f64,
    build: F,
    built: BTreeMap<String, I3d>,
}

impl<F: Fn(f64) -> Result<I3d>> Networks<F> {
    fn get(&mut self, bn_eps: Option<f64>) -> Result<&I3d> {
        let bn_eps = bn_eps.unwrap_or(self.usual);
        let key = format!("{bn_eps:e}");
        if !self.built.contains_key(&key) {
            self.built.insert(key.clone(), (self.build)(bn_eps)?);
        }
        Ok(&self.built[&key])
    }
}

/// `pre.X.FIT.strided` and `.sum`.
fn preprocessing(golden: &Golden) -> Result<()> {
    for name in golden.names("pre.").filter(|name| name.ends_with(".strided")) {
        let stem = &name[..name.len() - ".strided".len()];
        let [_, clip, fit] = stem.split('.').collect::<Vec<_>>()[..] else {
            golden.fail(format!("{name}: expected pre.CLIP.FIT.strided"));
            continue;
        };
        let input = fit_of(fit)?.input(&video(golden.tensor(clip))?).map_err(candle_core::Error::wrap)?;
        let values = input.flatten_all()?.to_vec1::<f32>()?;
        golden.compare(name, &strided(&values, 512)?, Tolerance::Absolute(2e-6))?;
        let sums = values
            .iter()
            .map(|value| f64::from(*value))
            .fold([0.0, 0.0], |[sum, squares], value| [sum + value, squares + value * value]);
        if golden.has(&format!("{stem}.sum")) {
            golden.compare(
                &format!("{stem}.sum"),
                &Tensor::new(&sums, &Device::Cpu)?,
                Tolerance::Relative(2e-6),
            )?;
        }
    }
    Ok(())
}

/// `tap.STAGE.*` of the one clip that has logits in f64.
fn taps(golden: &Golden, i3d: &I3d) -> Result<()> {
    if golden.names("tap.").next().is_none() {
        return Ok(());
    }
    let clip = golden.names("").find_map(|name| name.strip_suffix(".logits_f64")).unwrap_or("clip16");
    let input = Fit::Crop.input(&video(golden.tensor(clip))?).map_err(candle_core::Error::wrap)?;
    let mut seen = Vec::new();
    i3d.stages(&input.unsqueeze(0)?, |stage, x| {
        seen.push(stage);
        tap(golden, stage, x)?;
        Ok(())
    })
    .map_err(candle_core::Error::wrap)?;
    for name in golden.names("tap.") {
        if !seen.iter().any(|stage| name.split('.').nth(1) == Some(stage)) {
            golden.fail(format!("{name}: there is no such stage"));
        }
    }
    Ok(())
}

fn tap(golden: &Golden, stage: &str, x: &Tensor) -> Result<()> {
    if stage == "avg_pool" {
        return match golden.has("tap.avg_pool") {
            true => golden.compare("tap.avg_pool", x, Tolerance::Relative(2e-5)),
            false => Ok(()),
        };
    }
    let stats_name = format!("tap.{stage}.stats");
    if !golden.has(&stats_name) {
        return Ok(());
    }
    let values = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| value * value).sum();
    let largest = values.iter().fold(0f64, |most, value| most.max(value.abs()));
    let deviation = (squares / count - mean * mean).sqrt();

    let stored = golden.tensor(&stats_name).to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let bound = Tolerance::Absolute(2e-5 * stored[2]);
    let shape: Vec<i64> = x.dims().iter().map(|side| *side as i64).collect();
    golden.compare(
        &format!("tap.{stage}.shape"),
        &Tensor::new(&shape[..], &Device::Cpu)?,
        Tolerance::Absolute(0.0),
    )?;
    let stats = [mean, deviation, largest, squares.sqrt()];
    golden.compare(&stats_name, &Tensor::new(&stats, &Device::Cpu)?, bound)?;
    golden.compare(&format!("tap.{stage}.strided"), &strided(&values, 64)?, bound)?;
    let means = x.to_dtype(DType::F64)?.mean((2, 3, 4))?;
    golden.compare(&format!("tap.{stage}.channel_mean"), &means, bound)
}

/// `PREFIX` + `CLIP[.FIT].logits[_f64|_f32|_epsE]`.
fn logits(golden: &Golden, prefix: &str, networks: &mut Networks<impl Fn(f64) -> Result<I3d>>) -> Result<()> {
    let mut known: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for name in golden.names(prefix) {
        let Some((source, which)) = name[prefix.len()..].split_once(".logits") else { continue };
        let (clip, fit) = source.split_once('.').unwrap_or((source, "crop"));
        // Sets, and clips of another prefix, are not here.
        if !golden.has(clip) || golden.tensor(clip).rank() != 4 {
            continue;
        }
        let bn_eps = match which {
            "" | "_f32" | "_f64" => None,
            _ => match which.strip_prefix("_eps").and_then(|eps| eps.parse().ok()) {
                Some(bn_eps) => Some(bn_eps),
                None => {
                    golden.fail(format!("{name}: no such logits are known"));
                    continue;
                }
            },
        };
        let key = (source.to_string(), format!("{bn_eps:?}"));
        if !known.contains_key(&key) {
            let feature = networks.get(bn_eps)?.feature(&video(golden.tensor(clip))?, fit_of(fit)?);
            known.insert(key.clone(), feature.map_err(candle_core::Error::wrap)?);
        }
        golden.compare(name, &Tensor::new(&known[&key][..], &Device::Cpu)?, LOGITS)?;
    }
    Ok(())
}

/// `PREFIX` + `logits_a` and `logits_b` of the clips in `set_a` and `set_b`, and their distances.
fn sets(golden: &Golden, prefix: &str, i3d: &I3d) -> Result<()> {
    let mut both = Vec::new();
    for set in ["a", "b"] {
        let name = format!("{prefix}logits_{set}");
        if !golden.has(&name) {
            continue;
        }
        let clips = golden.tensor(&format!("set_{set}"));
        let clips = (0..clips.dim(0)?).map(|clip| video(&clips.get(clip)?)).collect::<Result<Vec<_>>>()?;
        let features = i3d.features(clips, Fit::Crop).map_err(candle_core::Error::wrap)?;
        both.push(Tensor::new(features, &Device::Cpu)?);
        golden.compare(&name, &both[both.len() - 1], LOGITS)?;
    }
    match &both[..] {
        [a, b] => distances(golden, prefix, [a, b], 1e-3),
        _ => Ok(()),
    }
}

/// `PREFIX` + `fvd`, `fvd_biased_cov`, `parts` and `kvd` of two sets of logits, each within `share` of its size.
fn distances(golden: &Golden, prefix: &str, sets: [&Tensor; 2], share: f64) -> Result<()> {
    let [a, b] = sets.map(Features::from_tensor);
    let wrap = candle_core::Error::wrap;
    let (a, b) = (a.map_err(wrap)?, b.map_err(wrap)?);
    let check = |name: &str, values: &[f64], tolerance: Tolerance| {
        let name = format!("{prefix}{name}");
        if golden.has(&name) {
            golden.compare(&name, &Tensor::new(values, &Device::Cpu)?, tolerance)
        } else {
            Ok(())
        }
    };
    for (rule, name) in [(Covariance::Unbiased, "fvd"), (Covariance::Biased, "fvd_biased_cov")] {
        let found = frechet_from_features(&a, &b, rule).map_err(wrap)?;
        check(name, &[found.distance], Tolerance::Relative(share))?;
        if rule == Covariance::Unbiased {
            let Frechet { mean_term, trace_first, trace_second, trace_root, .. } = found;
            let parts = [mean_term, trace_first, trace_second, trace_root];
            check("parts", &parts, Tolerance::Relative(share))?;
        }
    }
    let kernel = kernel_distance(&a, &b).map_err(wrap)?;
    let largest = kernel.within_first.abs().max(kernel.within_second.abs()).max(kernel.across.abs());
    check("kvd", &[kernel.distance], Tolerance::Absolute(share * largest))
}

fn video(clip: &Tensor) -> Result<Video> {
    Video::from_tensor(clip).map_err(candle_core::Error::wrap)
}

fn fit_of(name: &str) -> Result<Fit> {
    serde_json::from_value(name.into()).map_err(candle_core::Error::wrap)
}

/// `count` values at equal steps from the first.
fn strided<T: candle_core::WithDType>(values: &[T], count: usize) -> Result<Tensor> {
    let step = (values.len() / count).max(1);
    let chosen: Vec<T> = values.iter().copied().step_by(step).take(count).collect();
    Tensor::new(&chosen[..], &Device::Cpu)
}
