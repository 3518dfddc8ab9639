//! A small model with random parameters.
#![allow(dead_code, reason = "each test file uses its own part")]

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use cola_dit_world::{ActionConfig, DitConfig};
use cola_nn::Params;
use cola_random::{normals, stream};

pub(crate) const DEVICE: Device = Device::Cpu;

/// Everything that a published model has, as small as it goes.
pub(crate) fn config() -> DitConfig {
    DitConfig {
        in_channels: 3,
        patch: 2,
        hidden_size: 16,
        depth: 2,
        num_heads: 2,
        mlp_ratio: 2,
        pred_sigma: true,
        input_sq_size: 32,
        qk_norm: true,
        causal: true,
        text: None,
        action: ActionConfig {
            action_dim: 5,
            frames_per_latent: 1,
            width: 12,
            layers: 2,
            heads: 2,
            mlp_ratio: 2,
            output_norm: false,
            zero_output: false,
        },
    }
}

pub(crate) fn empty() -> Params {
    Params::seeded(0, DType::F32, &DEVICE)
}

/// Standard normal numbers, a pure function of the name.
pub(crate) fn normal(name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    Tensor::from_vec(normals(shape.elem_count(), &mut stream(1, name, 0, 0)), shape, &DEVICE)
}

/// Draws every variable anew, those that start at zero or one included.
pub(crate) fn randomise(params: &Params) -> Result<()> {
    for (name, var) in params.vars() {
        var.set(&(normal(&name, var.shape())? * 0.3)?)?;
    }
    Ok(())
}

pub(crate) fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

pub(crate) fn largest_difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}

/// `x` with everything from index `start` of dimension `dim` on replaced by other numbers.
pub(crate) fn changed_from(x: &Tensor, dim: usize, start: usize) -> Result<Tensor> {
    let later = x.narrow(dim, start, x.dim(dim)? - start)?;
    Tensor::cat(&[x.narrow(dim, 0, start)?, later.affine(-2.0, 0.7)?], dim)
}

/// References to named variables, as the gradient check takes them.
pub(crate) fn named(vars: &[(String, Var)]) -> impl Iterator<Item = (&str, &Var)> {
    vars.iter().map(|(name, var)| (name.as_str(), var))
}
