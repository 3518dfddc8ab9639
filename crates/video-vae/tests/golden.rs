//! Open-Sora v1.2's own numbers, forward and backward.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor};
use cola_golden::{Golden, Tolerance, files};
use cola_nn::{CausalConv3d, Params};
use cola_video_vae::{ResBlock, TemporalConfig, TemporalVae};

/// Times the file's own float32 noise. The golden README allows 4 to 10.
const FACTOR: Tolerance = Tolerance::Noise(6.0);

fn params(golden: &Golden) -> Result<Params> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    for (name, value) in golden.weights("weight.", DType::F32)? {
        params.set(&name, &value)?;
    }
    Ok(params)
}

fn compare_weight_gradients(golden: &Golden, params: &Params, grads: &GradStore) -> Result<()> {
    let stem = "grad.weight.";
    for name in golden.names(stem) {
        let short = &name[stem.len()..];
        match params.get(short) {
            Some(var) => golden.compare_gradient(&name["grad.".len()..], var.as_tensor(), grads, FACTOR)?,
            None => golden.fail(format!("{name}: the model has no parameter of that name")),
        }
    }
    Ok(())
}

/// A model that created parameters of its own has other names than the file.
fn same_names(golden: &Golden, params: &Params) {
    let stored: Vec<&str> = golden.names("weight.").map(|name| &name["weight.".len()..]).collect();
    let vars = params.vars();
    if !vars.iter().map(|(name, _)| name.as_str()).eq(stored.iter().copied()) {
        golden.fail(format!("the model has {} parameters, the file {}", vars.len(), stored.len()));
    }
}

/// One module from `x` to `y`.
fn module(golden: Golden, build: impl Fn(&Golden, &Params) -> Result<Forward>) -> Result<()> {
    let params = params(&golden)?;
    let forward = build(&golden, &params)?;
    same_names(&golden, &params);
    let x = golden.input_var("x", DType::F32)?;
    let y = forward(x.as_tensor())?;
    golden.compare("output.y", &y, FACTOR)?;
    let grads = (y * golden.input("cotangent.y", DType::F32)?)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", &x, &grads, FACTOR)?;
    compare_weight_gradients(&golden, &params, &grads)?;
    golden.finish();
    Ok(())
}

type Forward = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

fn convolution(golden: &Golden, params: &Params) -> Result<Forward> {
    let strides: Vec<u64> =
        golden.config()["strides"].as_array().expect("strides").iter().filter_map(|s| s.as_u64()).collect();
    assert_eq!(strides[1..], [1, 1], "the layer has no stride in space");
    let vb = params.trainable().pp("conv");
    let conv =
        CausalConv3d::new(golden.int("chan_in"), golden.int("chan_out"), [golden.int("kernel"); 3], vb)?
            .with_time_stride(strides[0] as usize)?;
    Ok(Box::new(move |x| conv.forward(x)))
}

fn block(golden: &Golden, params: &Params) -> Result<Forward> {
    let (from, to) = (golden.int("in_channels"), golden.int("filters"));
    let block =
        ResBlock::new(from, to, golden.int("num_groups"), golden.float("norm_eps"), params.trainable())?;
    Ok(Box::new(move |x| block.forward(x)))
}

fn config(golden: &Golden) -> TemporalConfig {
    let list = |key: &str| golden.config()[key].as_array().expect(key).clone();
    TemporalConfig {
        filters: golden.int("filters"),
        num_res_blocks: golden.int("num_res_blocks"),
        channel_multipliers: list("channel_multipliers")
            .iter()
            .filter_map(|value| value.as_u64())
            .map(|value| value as usize)
            .collect(),
        temporal_downsample: list("temporal_downsample").iter().filter_map(|v| v.as_bool()).collect(),
        num_groups: golden.int("num_groups"),
        norm_eps: golden.float("norm_eps"),
        latent_embed_dim: golden.int("latent_embed_dim"),
        embed_dim: golden.int("embed_dim"),
        ..TemporalConfig::open_sora_v1_2()
    }
}

fn temporal(golden: Golden) -> Result<()> {
    let params = params(&golden)?;
    let vae = TemporalVae::new(&config(&golden), params.trainable())?;
    same_names(&golden, &params);
    let x = golden.input_var("x", DType::F32)?;
    let posterior = vae.encode(&x)?;
    let z = posterior.sample_with(&golden.input("noise", DType::F32)?)?;
    let decoded = vae.decode(&z, golden.int("frames"))?;
    let outputs = [("mean", posterior.mean()), ("logvar", posterior.logvar()), ("z", &z), ("x", &decoded)];
    for (name, output) in outputs {
        golden.compare(&format!("output.{name}"), output, FACTOR)?;
    }
    if golden.has("grad.input.x") {
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (name, output) in outputs {
            let cotangent = golden.input(&format!("cotangent.{name}"), DType::F32)?;
            loss = (loss + (output * cotangent)?.sum_all()?)?;
        }
        let grads = loss.backward()?;
        golden.compare_gradient("input.x", &x, &grads, FACTOR)?;
        compare_weight_gradients(&golden, &params, &grads)?;
    }
    golden.finish();
    Ok(())
}

#[test]
fn every_ported_file_agrees_with_open_sora() -> Result<()> {
    let mut seen = 0;
    for path in files("opensora-v1.2") {
        let golden = Golden::open(&path);
        let name = golden.name().to_string();
        if name.starts_with("vae_causal_conv3d_") {
            module(golden, convolution)?;
        } else if name == "vae_resblock" {
            module(golden, block)?;
        } else if name.starts_with("vae_temporal_") {
            temporal(golden)?;
        } else {
            println!("golden skip {name} (not ported here)");
            continue;
        }
        seen += 1;
    }
    assert!(seen > 0, "no reference file below {}", cola_golden::root().display());
    Ok(())
}
