//! Classifier-free guidance: dropping conditions in training, combining velocities in sampling.

use candle_core::{Device, Result, Tensor};
use cola_random::{stream, uniforms};

/// `(B, transitions, 1)` f32: 0 where a transition's action is dropped, with probability `drop` each, else 1. Row `i` is
/// a pure function of (seed, step, samples\[i\]).
///
/// # Errors
/// The device's.
pub fn keep_mask(
    drop: f64,
    transitions: usize,
    seed: u64,
    step: u64,
    samples: &[u64],
    device: &Device,
) -> Result<Tensor> {
    let keep: Vec<f32> = samples
        .iter()
        .flat_map(|&sample| uniforms(transitions, 0.0, 1.0, &mut stream(seed, "drop", step, sample)))
        .map(|u| if f64::from(u) < drop { 0.0 } else { 1.0 })
        .collect();
    Tensor::from_vec(keep, (samples.len(), transitions, 1), device)
}

/// `without + scale (with - without)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn guide(with: &Tensor, without: &Tensor, scale: f64) -> Result<Tensor> {
    without + ((with - without)? * scale)?
}
