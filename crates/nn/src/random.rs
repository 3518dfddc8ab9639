//! Normal tensors from keyed streams.

use candle_core::{Device, Result, Shape, Tensor};
use cola_random::{normals, stream};
use rand::Rng;

/// A standard normal f32 tensor from the caller's generator.
///
/// # Errors
/// The device's.
pub fn normal(shape: impl Into<Shape>, device: &Device, rng: &mut impl Rng) -> Result<Tensor> {
    let shape = shape.into();
    Tensor::from_vec(normals(shape.elem_count(), rng), shape, device)
}

/// A standard normal f32 tensor `(samples.len(), shape...)` whose row `i` is a pure function of
/// (seed, purpose, step, samples\[i\]): the same whatever else is in the batch.
///
/// # Errors
/// The device's.
pub fn normal_by_sample(
    shape: &[usize],
    seed: u64,
    purpose: &str,
    step: u64,
    samples: &[u64],
    device: &Device,
) -> Result<Tensor> {
    let count = shape.iter().product();
    let values: Vec<f32> =
        samples.iter().flat_map(|&sample| normals(count, &mut stream(seed, purpose, step, sample))).collect();
    let full: Vec<usize> = std::iter::once(samples.len()).chain(shape.iter().copied()).collect();
    Tensor::from_vec(values, full, device)
}
