//! Reference values of the public implementations: outputs of every layer, losses, all gradients, codebook metrics.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_golden::{Golden, Tolerance};
use cola_lam::{
    CODEBOOK, CodeInit, CodeRestart, CodebookUsage, Fdm, LamConfig, LatentActionModel, Pixels, Readout, Usage,
};
use cola_nn::Params;

/// A port may be this many times as far off as the reference's own float32 run.
const NOISE_FACTOR: f64 = 5.0;

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-lam", |golden| match golden.config()["kind"].as_str().unwrap_or_default() {
        "lam pooled-query reading" => {
            pooled_queries(golden, DType::F64)?;
            pooled_queries(golden, DType::F32)
        }
        "vector-quantizer" if golden.config()["entropy"].is_null() => quantizer(golden),
        "codebook-metrics" => metrics(golden),
        "dead-code counters" => restarts(golden),
        "patch order, normalisation, position tables" => patches(golden),
        kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
    });
}

/// The complete model: frames to loss.
fn pooled_queries(golden: &Golden, dtype: DType) -> Result<()> {
    let config = LamConfig {
        image: golden.int("resolution"),
        patch: golden.int("patch"),
        dim: golden.int("dim"),
        heads: golden.int("heads"),
        layers: golden.int("depth"),
        max_frames: golden.int("max_frames"),
        map_heads: golden.int("map_heads"),
        tokens: golden.int("tokens"),
        code_dim: golden.int("token_dim"),
        codes: golden.int("codes"),
        readout: Readout::Mean,
        causal: true,
        code_init: CodeInit::Box,
        codebook_weight: golden.float("codebook_weight"),
        commitment_weight: golden.float("beta"),
        fdm_layers: golden.int("decoder_depth"),
        fdm_heads: golden.int("decoder_heads"),
        fdm_residual: false,
    };
    let noise =
        |key: &str| NOISE_FACTOR * golden.config()["measured_f32_vs_f64"][key].as_f64().unwrap_or(0.0);
    let (outputs, gradients) = match dtype {
        DType::F64 => (Tolerance::Absolute(1e-9), Tolerance::Absolute(1e-9)),
        _ => (
            Tolerance::Relative(noise("output_max_relative_to_tensor_max")),
            Tolerance::Absolute(noise("grad_max_absolute")),
        ),
    };

    let device = Device::Cpu;
    let params = Params::seeded(0, dtype, &device);
    let weights = golden.weights("weight.", dtype)?;
    for (name, weight) in &weights {
        params.set(name, weight)?;
    }
    let model = LatentActionModel::new(&config, params.trainable())?;
    let fdm = Fdm::new(&config, params.trainable())?;
    assert_eq!(params.vars().len(), weights.len(), "the model has other parameters than the file");

    let video = Var::from_tensor(&(golden.input("clip_u8", dtype)? / 255.0)?)?;
    let mut seen: Vec<(String, Tensor)> = Vec::new();
    let tokens = model.idm().forward_with(video.as_tensor(), &mut |name, value| {
        seen.push((format!("enc.{name}"), value.clone()))
    })?;
    let actions = model.quantize(&tokens)?;
    let found = fdm.predict_with(video.as_tensor(), &actions.embedding, &mut |name, value| {
        seen.push((format!("dec.{name}"), value.clone()));
    })?;
    let mse = fdm.loss(video.as_tensor(), &actions.embedding, 0.0)?;
    let vq_loss = actions.losses.total(&config)?;
    let loss = (&mse + &vq_loss)?;
    let named = |name: &str, value: &Tensor| (name.to_string(), value.clone());
    seen.extend([
        named("tokens", &tokens),
        named("z_q", &actions.embedding),
        named("indices", &actions.codes),
        named("pixels_normalised", &Pixels::new(&config, dtype, &device)?.normalise(video.as_tensor())?),
        named("label_patches", &fdm.target(video.as_tensor())?),
        named("recon_patches", &found),
        named("mse", &mse),
        named("vq_loss", &vq_loss),
        named("loss", &loss),
    ]);
    for (name, value) in &seen {
        golden.compare(&format!("output.{name}"), value, if name == "indices" { EXACT } else { outputs })?;
    }
    for name in golden.names("output.").filter(|name| *name != "output.index_margin") {
        if !seen.iter().any(|(seen, _)| name["output.".len()..] == *seen) {
            golden.fail(format!("{name}: not compared"));
        }
    }

    let grads = loss.backward()?;
    // The file's gradient is that of the normalised pixels.
    let deviation = Tensor::new(&[0.229f64, 0.224, 0.225], &device)?.reshape((3, 1, 1))?.to_dtype(dtype)?;
    if let Some(gradient) = grads.get(video.as_tensor()) {
        golden.compare("grad.pixels", &gradient.broadcast_mul(&deviation)?, gradients)?;
    } else {
        golden.fail("grad.pixels: no gradient arrived".into());
    }
    for (name, var) in params.vars() {
        golden.compare_gradient(&name, var.as_tensor(), &grads, gradients)?;
    }
    assert_eq!(golden.names("grad.").count(), params.vars().len() + 1, "gradients in the file");
    Ok(())
}

/// Straight-through quantization with both losses, in f64.
fn quantizer(golden: &Golden) -> Result<()> {
    let shape = &golden.config()["shape"];
    let size = |axis: usize| shape[axis].as_u64().unwrap_or(1) as usize;
    let config = LamConfig {
        codes: golden.int("K"),
        code_dim: golden.int("D"),
        tokens: size(1),
        codebook_weight: golden.float("codebook_weight"),
        commitment_weight: golden.float("beta"),
        ..LamConfig::tiny()
    };
    let params = Params::seeded(0, DType::F64, &Device::Cpu);
    params.set(CODEBOOK, golden.tensor("weight.codebook"))?;
    let model = LatentActionModel::new(&config, params.trainable())?;
    let codebook = model.quantizer().codebook();

    let z = golden.input_var("z", DType::F64)?;
    let tokens = z.reshape((size(0), 1, config.tokens, config.code_dim))?;
    let actions = model.quantize(&tokens)?;
    let vq = actions.losses.total(&config)?;
    let upstream = golden.input("upstream", DType::F64)?.reshape(actions.embedding.shape())?;
    let downstream = actions.embedding.mul(&upstream)?.sum_all()?;
    golden.compare("output.indices", &actions.codes, EXACT)?;
    golden.compare("output.z_q", &actions.embedding, TIGHT)?;
    for (name, loss) in [
        ("codebook_loss", actions.losses.codebook),
        ("commitment_loss", actions.losses.commitment),
        ("total", (&vq + &downstream)?),
        ("vq", vq),
        ("downstream", downstream),
    ] {
        let stored =
            if name.ends_with("loss") { format!("output.{name}") } else { format!("output.{name}_loss") };
        if golden.has(&stored) {
            golden.compare(&stored, &loss, TIGHT)?;
        }
        let grads = loss.backward()?;
        for (of, x) in [("z", z.as_tensor()), ("codebook", codebook)] {
            // What a loss does not depend on has no gradient here and a gradient of zero in the file.
            let gradient = grads.get(x).cloned().map_or_else(|| x.zeros_like(), Ok)?;
            golden.compare(&format!("grad.{name}.{of}"), &gradient, TIGHT)?;
        }
    }
    Ok(())
}

/// Counts and the three readings.
fn metrics(golden: &Golden) -> Result<()> {
    let entries = golden.int("K");
    let streams: Vec<String> = golden
        .names("input.")
        .map(|name| name.trim_start_matches("input.").trim_end_matches(".indices").to_string())
        .collect();
    for stream in &streams {
        let usage = CodebookUsage::of(golden.tensor(&format!("input.{stream}.indices")), entries)?;
        let positions = usage.positions();
        let row = |usage: Usage, symbols: usize| {
            let Usage { utilization, max_usage, entropy } = usage;
            vec![utilization, max_usage, entropy, usage.bits(), usage.normalised(symbols), usage.perplexity()]
        };
        for (reading, values) in [
            ("pooled", row(usage.pooled(), entries)),
            (
                "position",
                (0..positions).flat_map(|position| row(usage.position(position), entries)).collect(),
            ),
            ("joint", row(usage.joint(), entries.pow(positions as u32))),
        ] {
            golden.compare(
                &format!("output.{stream}.{reading}"),
                &Tensor::new(values, &Device::Cpu)?,
                TIGHT,
            )?;
        }
    }
    Ok(())
}

/// Which rows fall due, step by step.
fn restarts(golden: &Golden) -> Result<()> {
    let codes = golden.int("K");
    let mut restart = CodeRestart::new(codes, golden.int("threshold") as u32);
    let (mut due, mut idle) = (Vec::new(), Vec::new());
    let steps = golden.tensor("input.indices");
    for step in 0..steps.dim(0)? {
        let rows = restart.observe(&steps.get(step)?)?;
        due.extend((0..codes).map(|code| f64::from(u8::from(rows.contains(&code)))));
        idle.extend(restart.idle().iter().map(|steps| f64::from(*steps)));
    }
    golden.compare("output.restart", &Tensor::new(due, &Device::Cpu)?, EXACT)?;
    golden.compare("output.steps_since_active", &Tensor::new(idle, &Device::Cpu)?, EXACT)?;
    Ok(())
}

/// Normalisation and the order of patches; the position tables are `cola-nn`'s.
fn patches(golden: &Golden) -> Result<()> {
    let (image, patch) = (golden.int("resolution"), golden.int("patch"));
    let pixels = Pixels::new(&LamConfig { image, patch, ..LamConfig::tiny() }, DType::F64, &Device::Cpu)?;
    let frames = pixels.normalise(&(golden.input("frames_u8", DType::F64)? / 255.0)?)?;
    // The file was normalised in float32; its own noise is 2.5e-7.
    let single = Tolerance::Absolute(NOISE_FACTOR * 2.5e-7);
    golden.compare("output.normalised", &frames, single)?;
    golden.compare("output.patches", &pixels.patches(&frames)?, single)?;
    Ok(())
}

/// Two f64 computations of the same formula.
const TIGHT: Tolerance = Tolerance::Absolute(1e-9);
/// Codes are equal or wrong.
const EXACT: Tolerance = Tolerance::Absolute(0.5);
