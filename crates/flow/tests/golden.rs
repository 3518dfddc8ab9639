//! Open-Sora v1.2's own numbers.

use candle_core::{DType, Device, Result, Tensor};
use cola_flow::{Given, Shift, VideoSize, corrupt, logit_normal, transform};
use cola_golden::Golden;

/// The rules know one number of time steps and one base size; a file of others is none that they could agree with.
fn same_constant(golden: &Golden, key: &str, ours: usize) -> Result<()> {
    match golden.int(key) {
        found if found == ours => Ok(()),
        found => candle_core::bail!("{key} is {found}, which is {ours} here"),
    }
}

fn numbers(golden: &Golden, name: &str) -> Result<Vec<f64>> {
    golden.input(name, DType::F64)?.to_vec1()
}

fn noise(golden: &Golden) -> Result<()> {
    same_constant(golden, "num_timesteps", 1000)?;
    let (x, noise) = (golden.input_var("x", golden.dtype())?, golden.input_var("noise", golden.dtype())?);
    let (b, _, frames, _, _) = x.dims5()?;
    let every = Given::first(b, frames, 0, &Device::Cpu)?;
    let noised = corrupt(&x, &noise, &golden.input("t", golden.dtype())?, &every)?;
    golden.compare("output.x_t", &noised.x, golden.tolerance())?;
    if golden.names("grad.").next().is_some() {
        let grads = (noised.x * golden.input("cotangent.x_t", golden.dtype())?)?.sum_all()?.backward()?;
        golden.compare_gradient("input.x", &x, &grads, golden.tolerance())?;
        golden.compare_gradient("input.noise", &noise, &grads, golden.tolerance())?;
    }
    Ok(())
}

/// A number as the files' names write it: without a point, so that `05` is a half and `2` is two.
fn written(number: &str) -> Result<f64> {
    let value = match number.strip_prefix('0') {
        Some(behind) if !behind.is_empty() && !behind.starts_with('.') => format!("0.{behind}").parse(),
        _ => number.parse(),
    };
    value.map_err(|_| candle_core::Error::Msg(format!("`{number}` is no number")))
}

fn distribution(golden: &Golden) -> Result<()> {
    let normals = numbers(golden, "normal")?;
    for name in golden.names("output.") {
        let parts = name.strip_prefix("output.t_loc").and_then(|rest| rest.split_once("_scale"));
        let Some((loc, scale)) = parts else { candle_core::bail!("{name} names no location and scale") };
        let (loc, scale) = (written(loc)?, written(scale)?);
        let times: Vec<f64> =
            normals.iter().map(|&normal| logit_normal(normal, loc, scale) / 1000.0).collect();
        golden.compare(name, &Tensor::new(times, &Device::Cpu)?, golden.tolerance())?;
    }
    Ok(())
}

fn timesteps(golden: &Golden) -> Result<()> {
    same_constant(golden, "num_timesteps", 1000)?;
    same_constant(golden, "base_resolution", 512 * 512)?;
    same_constant(golden, "base_num_frames", 1)?;
    let shift = Shift::OpenSora(golden.float("scale"));
    let (heights, widths) = (numbers(golden, "height")?, numbers(golden, "width")?);
    let (frames, times) = (numbers(golden, "num_frames")?, numbers(golden, "t")?);
    let mut rows = Vec::new();
    for ((height, width), frames) in heights.iter().zip(&widths).zip(&frames) {
        // The published rule does not look at latent frames.
        let size = VideoSize {
            height: *height as usize,
            width: *width as usize,
            frames: *frames as usize,
            latent_frames: 0,
        };
        rows.extend(times.iter().map(|&t| transform(t, shift.ratio(size))));
    }
    golden.compare("output.t_transformed", &Tensor::new(rows, &Device::Cpu)?, golden.tolerance())
}

#[test]
fn every_reference_file_agrees() {
    cola_golden::run_in_both("cola-flow", |golden| match golden.name() {
        name if name.starts_with("rf_add_noise") => noise(golden),
        name if name.starts_with("rf_logit_normal") => distribution(golden),
        name if name.starts_with("rf_timestep_transform") => timesteps(golden),
        _ => candle_core::bail!("there is no comparison for files of this name"),
    });
}
