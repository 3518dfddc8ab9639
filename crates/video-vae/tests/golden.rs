//! Open-Sora v1.2's own numbers, forward and backward.

use candle_core::{DType, Device, Result, Tensor};
use cola_golden::{Golden, Tolerance};
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

/// One module from `x` to `y`.
fn module(golden: &Golden, build: impl Fn(&Golden, &Params) -> Result<Forward>) -> Result<()> {
    let params = params(golden)?;
    let forward = build(golden, &params)?;
    golden.same_names("weight.", &params.vars());
    let x = golden.input_var("x", DType::F32)?;
    let y = forward(x.as_tensor())?;
    golden.compare("output.y", &y, FACTOR)?;
    let grads = (y * golden.input("cotangent.y", DType::F32)?)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", &x, &grads, FACTOR)?;
    golden.compare_weight_gradients("weight.", &params.vars(), &grads, FACTOR)?;
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

fn temporal(golden: &Golden) -> Result<()> {
    let params = params(golden)?;
    let vae = TemporalVae::new(&config(golden), params.trainable())?;
    golden.same_names("weight.", &params.vars());
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
        golden.compare_weight_gradients("weight.", &params.vars(), &grads, FACTOR)?;
    }
    Ok(())
}

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-video-vae", |golden| match golden.name() {
        name if name.starts_with("vae_causal_conv3d_") => module(golden, convolution),
        name if name.starts_with("vae_resblock") => module(golden, block),
        name if name.starts_with("vae_temporal_") => temporal(golden),
        _ => candle_core::bail!("there is no comparison for files of this name"),
    });
}
