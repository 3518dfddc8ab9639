//! Classifier-free guidance: dropping conditions in training, combining velocities in sampling.

use candle_core::{Device, Result, Tensor};
use cola_random::{stream, uniforms};

/// `(B, transitions, 1)` f32: 0 where a transition's action is dropped, with probability `drop` each and independently of
/// the others (paper B.2: 0.1), else 1. Row `i` is a pure function of (seed, step, samples\[i\]).
///
/// # Errors
/// As [`keep_mask_with`].
pub fn keep_mask(
    drop: f64,
    transitions: usize,
    seed: u64,
    step: u64,
    samples: &[u64],
    device: &Device,
) -> Result<Tensor> {
    let draws: Vec<f32> = samples
        .iter()
        .flat_map(|&sample| uniforms(transitions, 0.0, 1.0, &mut stream(seed, "drop", step, sample)))
        .collect();
    keep_mask_with(drop, &draws, (samples.len(), transitions), device)
}

/// The mask `(B, transitions, 1)` that these draws stand for, a number in `[0, 1)` for each transition of each clip:
/// dropped where it is below `drop`. `shape` is `(B, transitions)`.
///
/// ```
/// use candle_core::Device;
///
/// let keep = cola_flow::keep_mask_with(0.1, &[0.5, 0.05, 0.1], (1, 3), &Device::Cpu)?;
/// assert_eq!(keep.to_vec3::<f32>()?, [[[1.0], [0.0], [1.0]]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// A probability outside `[0, 1]`, another number of draws than the shape says.
pub fn keep_mask_with(
    drop: f64,
    draws: &[f32],
    (clips, transitions): (usize, usize),
    device: &Device,
) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&drop) {
        candle_core::bail!("an action is dropped with probability {drop}, which is not in 0..=1");
    }
    // A comparison in f64: 0.7 as an f32 is another number than 0.7.
    let keep: Vec<f32> = draws.iter().map(|&u| if f64::from(u) < drop { 0.0 } else { 1.0 }).collect();
    Tensor::from_vec(keep, (clips, transitions, 1), device)
}

/// `without + scale (with - without)`: 1 is `with`, larger ones point further away from `without`.
///
/// # Errors
/// Tensor arithmetic.
pub fn guide(with: &Tensor, without: &Tensor, scale: f64) -> Result<Tensor> {
    without + ((with - without)? * scale)?
}
