//! Open-Sora v1.2's own numbers, forward and backward.

use candle_core::{Device, Result, Tensor, Var};
use cola_golden::Golden;
use cola_nn::{CausalConv3d, Params};
use cola_video_vae::{
    Cut, ImageConfig, ImageVae, Noise, ResBlock, TemporalConfig, TemporalVae, VideoVae, VideoVaeConfig,
};
use serde_json::Value;

fn params(golden: &Golden) -> Result<Params> {
    let params = Params::seeded(0, golden.dtype(), &Device::Cpu);
    for (name, value) in golden.weights("weight.", golden.dtype())? {
        params.set(&name, &value)?;
    }
    Ok(params)
}

/// One module from `x` to `y`.
fn module(golden: &Golden, build: impl Fn(&Golden, &Params) -> Result<Forward>) -> Result<()> {
    let params = params(golden)?;
    let forward = build(golden, &params)?;
    golden.same_names("weight.", &params.vars());
    let x = golden.input_var("x", golden.dtype())?;
    let y = forward(x.as_tensor())?;
    golden.compare("output.y", &y, golden.tolerance())?;
    let grads = (y * golden.input("cotangent.y", golden.dtype())?)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", &x, &grads, golden.tolerance())?;
    golden.compare_weight_gradients("weight.", &params.vars(), &grads, golden.tolerance())?;
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

fn int(config: &Value, key: &str) -> usize {
    config[key].as_u64().unwrap_or_else(|| panic!("no whole number `{key}` in {config}")) as usize
}

fn real(config: &Value, key: &str) -> f64 {
    config[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {config}"))
}

fn list<T>(config: &Value, key: &str, entry: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let list = config[key].as_array().unwrap_or_else(|| panic!("no list `{key}` in {config}"));
    list.iter().map(|value| entry(value).unwrap_or_else(|| panic!("`{key}` holds {value}"))).collect()
}

fn widths(config: &Value, key: &str) -> Vec<usize> {
    list(config, key, |value| value.as_u64().map(|width| width as usize))
}

fn temporal_config(config: &Value) -> TemporalConfig {
    TemporalConfig {
        filters: int(config, "filters"),
        num_res_blocks: int(config, "num_res_blocks"),
        channel_multipliers: widths(config, "channel_multipliers"),
        temporal_downsample: list(config, "temporal_downsample", Value::as_bool),
        num_groups: int(config, "num_groups"),
        norm_eps: real(config, "norm_eps"),
        latent_embed_dim: int(config, "latent_embed_dim"),
        embed_dim: int(config, "embed_dim"),
        ..TemporalConfig::open_sora_v1_2()
    }
}

fn image_config(config: &Value) -> ImageConfig {
    ImageConfig {
        block_out_channels: widths(config, "block_out_channels"),
        layers_per_block: int(config, "layers_per_block"),
        norm_num_groups: int(config, "norm_num_groups"),
        norm_eps: real(config, "norm_eps"),
        in_channels: int(config, "in_channels"),
        latent_channels: int(config, "latent_channels"),
        scaling_factor: real(config, "scaling_factor_used"),
    }
}

/// Outputs by name, and where the file has them the gradients of `x` and of every parameter.
fn outputs(golden: &Golden, params: &Params, x: &Var, outputs: &[(&str, &Tensor)]) -> Result<()> {
    for (name, output) in outputs {
        golden.compare(&format!("output.{name}"), output, golden.tolerance())?;
    }
    if golden.has("grad.input.x") {
        let mut loss = Tensor::zeros((), golden.dtype(), &Device::Cpu)?;
        for (name, output) in outputs {
            let cotangent = golden.input(&format!("cotangent.{name}"), golden.dtype())?;
            loss = (loss + (*output * cotangent)?.sum_all()?)?;
        }
        let grads = loss.backward()?;
        golden.compare_gradient("input.x", x, &grads, golden.tolerance())?;
        golden.compare_weight_gradients("weight.", &params.vars(), &grads, golden.tolerance())?;
    }
    Ok(())
}

fn temporal(golden: &Golden) -> Result<()> {
    let params = params(golden)?;
    let vae = TemporalVae::new(&temporal_config(golden.config()), params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let x = golden.input_var("x", golden.dtype())?;
    let posterior = vae.encode(&x)?;
    let z = posterior.sample_with(&golden.input("noise", golden.dtype())?)?;
    let decoded = vae.decode(&z, golden.int("frames"))?;
    let found = [("mean", posterior.mean()), ("logvar", posterior.logvar()), ("z", &z), ("x", &decoded)];
    outputs(golden, &params, &x, &found)
}

fn image(golden: &Golden) -> Result<()> {
    let params = params(golden)?;
    let config = image_config(golden.config());
    let vae = ImageVae::new(&config, params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let x = golden.input_var("x", golden.dtype())?;
    let posterior = vae.encode(&x)?;
    let z = posterior.sample_with(&golden.input("noise", golden.dtype())?)?;
    let scaled = (&z * config.scaling_factor)?;
    let decoded = vae.decode(&z)?;
    let found = [
        ("mean", posterior.mean()),
        ("logvar", posterior.logvar()),
        ("z", &z),
        ("scaled_z", &scaled),
        ("x", &decoded),
    ];
    outputs(golden, &params, &x, &found)
}

fn pipeline(golden: &Golden) -> Result<()> {
    let params = params(golden)?;
    let reals = |key| list(golden.config(), key, Value::as_f64);
    let config = VideoVaeConfig {
        spatial_vae: image_config(&golden.config()["spatial"]),
        temporal_vae: TemporalConfig {
            micro_frame_size: golden.int("micro_frame_size"),
            ..temporal_config(&golden.config()["temporal"])
        },
        shift: reals("shift"),
        scale: reals("scale"),
        ..VideoVaeConfig::open_sora_v1_2()
    };
    let vae = VideoVae::new(&config, params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let (x, frames) = (golden.input_var("x", golden.dtype())?, golden.int("frames"));
    if vae.latent_frames(frames, Cut::Chunks) != golden.int("latents") {
        golden.fail(format!("{frames} frames have {} latents", vae.latent_frames(frames, Cut::Chunks)));
    }
    let input = |name| golden.input(name, golden.dtype());
    let noise = Noise { images: input("noise_spatial")?, latents: input("noise_temporal")? };
    let images = vae.encode_images(&x, Some(&noise.images))?;
    let posterior = vae.temporal().encode(&images)?;
    let z = vae.encode_with(&x, Cut::Chunks, &noise)?;
    let again = vae.decode_time(&z, frames, Cut::Chunks)?;
    let decoded = vae.decode(&z, frames, Cut::Chunks)?;
    let found = [
        ("spatial_latent", &images),
        ("temporal_mean", posterior.mean()),
        ("temporal_logvar", posterior.logvar()),
        ("z", &z),
        ("decoded_spatial_latent", &again),
        ("x", &decoded),
    ];
    outputs(golden, &params, &x, &found)
}

#[test]
fn every_reference_file_agrees() {
    cola_golden::run_in_both("cola-video-vae", |golden| match golden.name() {
        name if name.starts_with("vae_causal_conv3d_") => module(golden, convolution),
        name if name.starts_with("vae_resblock") => module(golden, block),
        name if name.starts_with("vae_temporal_") => temporal(golden),
        name if name.starts_with("vae_2d") => image(golden),
        name if name.starts_with("vae_pipeline_") => pipeline(golden),
        _ => candle_core::bail!("there is no comparison for files of this name"),
    });
}
