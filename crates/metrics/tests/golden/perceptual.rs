//! LPIPS: values, layers and spatial means of pairs, features of one frame, the heads.

use std::path::Path;

use candle_core::{DType, Device, Error, IndexOp, Result, Tensor};
use candle_nn::VarBuilder;
use cola_golden::{Golden, Tolerance, root};
use cola_metrics::{Lpips, LpipsConfig, Network, Video};

use crate::filler;

/// Every LPIPS value of a file of pairs: in f32 all of them, and the smaller networks in f64 as well, which shows that the
/// formulas are the reference's. What is left there is the reference's own: it keeps the pixels' shift and scale in f32.
pub(crate) fn compare_pairs(golden: &Golden) -> Result<()> {
    for network in Network::ALL {
        compare_network(golden, network, DType::F32, Tolerance::Absolute(1e-6))?;
        if network != Network::Vgg {
            compare_network(golden, network, DType::F64, Tolerance::Absolute(1e-8))?;
        }
    }
    Ok(())
}

fn compare_network(golden: &Golden, network: Network, dtype: DType, tolerance: Tolerance) -> Result<()> {
    let field = format!("lpips_{}", network.name());
    // Pairs, and for each the value of a kind by which the number of frames is told.
    let pairs: Vec<(&str, String)> = golden
        .names("")
        .filter_map(|name| name.strip_suffix(".a"))
        .filter_map(|pair| {
            let names = ["", "_layers", "_spatial_mean"].map(|kind| format!("{pair}.{field}{kind}"));
            names.into_iter().find(|name| golden.has(name)).map(|name| (pair, name))
        })
        .collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let tensors = filler::filled(network.tensors(), golden.int("filler_seed") as u64)?;
    let vb = VarBuilder::from_tensors(tensors, dtype, &Device::Cpu);
    let open = |spatial| {
        let config = LpipsConfig { network, spatial, ..LpipsConfig::default() };
        Lpips::new(&config, vb.clone()).map_err(Error::wrap)
    };
    let (even, spatial) = (open(false)?, open(true)?);
    let compare = |name: String, values: Vec<f64>| match golden.has(&name) {
        true => golden.compare(&name, &Tensor::new(values, &Device::Cpu)?, tolerance),
        false => Ok(()),
    };
    for (pair, stored) in pairs {
        let frames = golden.tensor(&stored).dim(0)?;
        let a = video(golden, &format!("{pair}.a"), frames)?;
        let b = video(golden, &format!("{pair}.b"), frames)?;
        let layers = even.layers(&a, &b).map_err(Error::wrap)?;
        compare(format!("{pair}.{field}"), layers.iter().map(|taps| taps.iter().sum()).collect())?;
        compare(format!("{pair}.{field}_layers"), layers.concat())?;
        let name = format!("{pair}.{field}_spatial_mean");
        if golden.has(&name) {
            compare(name, spatial.frames(&a, &b).map_err(Error::wrap)?)?;
        }
    }
    Ok(())
}

/// The first frames of a stored video.
fn video(golden: &Golden, name: &str, frames: usize) -> Result<Video> {
    Video::from_tensor(&golden.tensor(name).narrow(0, 0, frames)?).map_err(Error::wrap)
}

/// Features of the first frame of `blur.a`, which is in the file of pairs.
pub(crate) fn compare_taps(golden: &Golden) -> Result<()> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/data");
    let pairs = [root(), own].map(|root| root.join("metrics/pairs.safetensors"));
    let pairs = pairs.iter().filter(|file| file.exists()).map(|file| Golden::open(file));
    let Some(pairs) = pairs.into_iter().find(|pairs| pairs.has("blur.a")) else {
        candle_core::bail!("there is no `blur.a` to look at")
    };
    let video = video(&pairs, "blur.a", 1)?;
    for network in Network::ALL {
        if golden.names(&format!("{}.", network.name())).next().is_none() {
            continue;
        }
        let tensors = filler::filled(network.tensors(), golden.int("filler_seed") as u64)?;
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let config = LpipsConfig { network, ..LpipsConfig::default() };
        let taps = Lpips::new(&config, vb).and_then(|lpips| lpips.taps(&video)).map_err(Error::wrap)?;
        for (tap, features) in taps.iter().enumerate() {
            compare_tap(golden, &format!("{}.tap{tap}", network.name()), features)?;
        }
        if golden.has(&format!("{}.tap{}.shape", network.name(), taps.len())) {
            golden.fail(format!("{}: {} taps, the file has more", network.name(), taps.len()));
        }
    }
    Ok(())
}

fn compare_tap(golden: &Golden, tap: &str, features: &Tensor) -> Result<()> {
    let name = |what: &str| format!("{tap}.{what}");
    let shape: Vec<i64> = features.dims().iter().map(|side| *side as i64).collect();
    golden.compare(&name("shape"), &Tensor::new(shape, &Device::Cpu)?, Tolerance::Absolute(0.0))?;
    let values = features.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = |from: f64| values.iter().map(|value| (value - from).powi(2)).sum::<f64>();
    let largest = values.iter().fold(0f64, |most, value| most.max(value.abs()));
    let stored = golden.tensor(&name("stats"));
    let tolerance = Tolerance::Absolute(2e-5 * stored.i(2)?.to_scalar::<f64>()?);
    let stats =
        Tensor::new(&[mean, (squares(mean) / count).sqrt(), largest, squares(0.0).sqrt()], &Device::Cpu)?;
    golden.compare(&name("stats"), &stats, tolerance)?;
    golden.compare(&name("channel_mean"), &features.to_dtype(DType::F64)?.mean((0, 2, 3))?, tolerance)?;
    let strided: Vec<f64> = values.iter().step_by((values.len() / 64).max(1)).take(64).copied().collect();
    golden.compare(&name("strided"), &Tensor::new(strided, &Device::Cpu)?, tolerance)
}

/// First values and sums of the networks' filled tensors.
pub(crate) fn compare_filler(golden: &Golden) -> Result<()> {
    for network in Network::ALL {
        let prefix = format!("{}/", network.name());
        if golden.names(&prefix).next().is_some() {
            filler::compare(golden, &prefix, &network.tensors())?;
        }
        let needed: Vec<String> = network.tensors().into_iter().map(|(name, _)| name).collect();
        for name in golden.names(&prefix) {
            let tensor = name[prefix.len()..].trim_end_matches(".head").trim_end_matches(".sum");
            if !needed.iter().any(|needed| needed == tensor) {
                golden.fail(format!("{name}: the network has no such tensor"));
            }
        }
    }
    Ok(())
}

/// The shipped heads of the network that the file is named after, bit for bit.
pub(crate) fn compare_heads(golden: &Golden) -> Result<()> {
    let Some(network) = Network::ALL.into_iter().find(|network| golden.name().ends_with(network.name()))
    else {
        candle_core::bail!("heads of an unknown network")
    };
    let heads = network.heads().map_err(Error::wrap)?;
    if golden.names("").count() != heads.len() {
        golden.fail(format!("{} heads, the file has {}", heads.len(), golden.names("").count()));
    }
    for (tap, head) in heads.into_iter().enumerate() {
        let head = Tensor::new(head, &Device::Cpu)?;
        golden.compare(&format!("lin{tap}.model.1.weight"), &head, Tolerance::Absolute(0.0))?;
    }
    Ok(())
}
