//! Blocks of the paper's size, and its inverse dynamics model.

use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor};
use cola_dit_world::{Axis, DitBlock, DitConfig, Modulation};
use cola_lam::{Idm, LamConfig};
use cola_nn::{Params, Rope};

use super::{Case, Example, constant, variable};

/// Latent frames and tokens of each: 256 pixels through an 8-fold video encoder and patches of 2.
const FRAMES: usize = 5;
const TOKENS: usize = 256;

pub(super) fn space_forward() -> Result<Case> {
    forward(Axis::Space)
}

pub(super) fn space() -> Result<Case> {
    forward_backward(Axis::Space)
}

pub(super) fn time_forward() -> Result<Case> {
    forward(Axis::Time)
}

pub(super) fn time() -> Result<Case> {
    forward_backward(Axis::Time)
}

/// A block of the paper's size over these parameters.
///
/// # Errors
/// Parameters of another block.
pub fn dit_block(axis: Axis, params: &Params, trains: bool) -> Result<DitBlock> {
    let config = DitConfig::paper();
    let DitConfig { hidden_size, num_heads, mlp_ratio, .. } = config;
    let rope = match axis {
        Axis::Space => None,
        Axis::Time => Some(Rope::new(hidden_size / num_heads, 10_000.0)?),
    };
    // A fresh block over time is the identity; an example of that would show nothing.
    for (name, inputs) in [("attn.proj.weight", hidden_size), ("mlp.fc2.weight", mlp_ratio * hidden_size)] {
        params.set(name, &(constant((hidden_size, inputs), name)? * 0.02)?)?;
    }
    DitBlock::new(&config, axis, rope, params.builder(trains))
}

fn block(axis: Axis, trains: bool) -> Result<(DitBlock, Params)> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    Ok((dit_block(axis, &params, trains)?, params))
}

fn forward(axis: Axis) -> Result<Case> {
    let (block, params) = block(axis, false)?;
    let width = DitConfig::paper().hidden_size;
    let x = constant((1, FRAMES, TOKENS, width), "x")?;
    let rows = constant((1, FRAMES, 6 * width), "rows")?;
    let (modulation, count) = (Modulation::per_frame(&rows), params.count());
    let example = {
        let (block, modulation, x) = (block.clone(), modulation.clone(), x.clone());
        example(params, vec![x.clone(), rows], move || block.forward(&x, &modulation, None))
    };
    let run = move || {
        black_box(block.forward(&x, &modulation, None)?);
        Ok(())
    };
    Ok(Case { example: Some(example), ..Case::new(count, run) })
}

/// What `forward` makes of the inputs under these parameters.
fn example(params: Params, inputs: Vec<Tensor>, forward: impl Fn() -> Result<Tensor> + 'static) -> Example {
    Box::new(move || {
        let mut tensors = params.tensors();
        tensors
            .extend(inputs.iter().enumerate().map(|(index, input)| (format!("in.{index}"), input.clone())));
        tensors.insert("out".into(), forward()?);
        Ok(tensors)
    })
}

fn forward_backward(axis: Axis) -> Result<Case> {
    let (block, params) = block(axis, true)?;
    let width = DitConfig::paper().hidden_size;
    let x = variable((1, FRAMES, TOKENS, width), "x")?;
    let modulation = Modulation::per_frame(variable((1, FRAMES, 6 * width), "rows")?.as_tensor());
    Ok(Case::new(params.count(), move || {
        black_box(block.forward(&x, &modulation, None)?.backward()?);
        Ok(())
    }))
}

/// One clip of two frames to the tokens of its transition.
pub(super) fn idm_paper() -> Result<Case> {
    let config = LamConfig::paper();
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let idm = Idm::new(&config, params.frozen())?;
    let video = constant((1, 2, 3, config.image, config.image), "video")?;
    let count = params.count();
    let example = {
        let (idm, video) = (idm.clone(), video.clone());
        example(params, vec![video.clone()], move || idm.forward(&video))
    };
    let run = move || {
        black_box(idm.forward(&video)?);
        Ok(())
    };
    Ok(Case { example: Some(example), ..Case::new(count, run) })
}
