//! Single operations at the sizes of the paper's blocks: 1280 tokens of width 1152, feed-forward width 4608.

use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::{Linear, Params, attend, modulate};

use super::{Case, constant, variable};

const ROWS: usize = 1280;
const WIDTH: usize = 1152;
const WIDE: usize = 4608;
/// The tokens as five frames, and one row of modulation for each frame.
const FRAMES: [usize; 4] = [1, 5, 256, WIDTH];
const FRAME_ROWS: [usize; 4] = [1, 5, 1, WIDTH];
/// 256 MB of f32.
const COPIED: usize = 64 << 20;

/// Forward and backward; the gradient at the output is all ones.
fn both(forward: impl Fn() -> Result<Tensor> + 'static) -> Result<Case> {
    Ok(Case::new(0, move || {
        black_box(forward()?.backward()?);
        Ok(())
    }))
}

pub(super) fn gelu() -> Result<Case> {
    let x = variable((ROWS, WIDE), "x")?;
    both(move || cola_nn::gelu(&x))
}

pub(super) fn layernorm_modulate() -> Result<Case> {
    let x = variable(&FRAMES, "x")?;
    let (shift, scale) = (variable(&FRAME_ROWS, "shift")?, variable(&FRAME_ROWS, "scale")?);
    both(move || modulate(&x, &shift, &scale, 1e-6))
}

pub(super) fn gate_add() -> Result<Case> {
    let (x, branch) = (variable(&FRAMES, "x")?, variable(&FRAMES, "branch")?);
    let gate = variable(&FRAME_ROWS, "gate")?;
    both(move || cola_nn::gate_add(&x, &gate, &branch))
}

pub(super) fn attention_space() -> Result<Case> {
    attention(&[5, 16, 256, 72], false)
}

pub(super) fn attention_time() -> Result<Case> {
    attention(&[256, 16, 5, 72], true)
}

pub(super) fn attention_long() -> Result<Case> {
    attention(&[1, 16, 1024, 72], false)
}

pub(super) fn attention_lam() -> Result<Case> {
    attention(&[8, 12, 256, 64], false)
}

fn attention(shape: &[usize; 4], causal: bool) -> Result<Case> {
    let (q, k, v) = (variable(shape, "q")?, variable(shape, "k")?, variable(shape, "v")?);
    both(move || attend(&q, &k, &v, causal))
}

pub(super) fn linear() -> Result<Case> {
    layer(true)
}

pub(super) fn linear_frozen() -> Result<Case> {
    layer(false)
}

fn layer(trains: bool) -> Result<Case> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let layer = Linear::new(WIDTH, WIDE, params.builder(trains))?;
    let x = variable((ROWS, WIDTH), "x")?;
    both(move || layer.forward(&x))
}

pub(super) fn bias_sum() -> Result<Case> {
    let x = constant((ROWS, WIDE), "x")?;
    Ok(Case::new(0, move || {
        black_box(x.sum(0)?);
        Ok(())
    }))
}

pub(super) fn matmul() -> Result<Case> {
    let (a, b) = (constant((ROWS, WIDTH), "a")?, constant((WIDTH, WIDE), "b")?);
    Ok(Case::new(0, move || {
        black_box(a.matmul(&b)?);
        Ok(())
    }))
}

/// What the memory gives: no code of this project, a measure for the other cases.
pub(super) fn copy() -> Result<Case> {
    let (source, mut target) = (vec![1f32; COPIED], vec![0f32; COPIED]);
    Ok(Case::new(0, move || {
        crate::copy(&mut target, &source);
        Ok(())
    }))
}
