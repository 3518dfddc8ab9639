//! The optimizer alone.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Var};
use cola_coevolve::{AdamW, OptimizerConfig, Update};
use cola_nn::{Linear, Params};

use super::{Case, constant};

const WIDTH: usize = 512;
const LAYERS: usize = 16;

/// The linear layers of a transformer: 128 variables, 50.4 million numbers.
pub(super) fn adamw_50m() -> Result<Case> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    for layer in 0..LAYERS {
        let shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)];
        for (index, (inputs, outputs)) in shapes.into_iter().enumerate() {
            Linear::new(inputs, outputs, params.trainable().pp(layer).pp(index))?;
        }
    }
    let vars = params.vars();
    let grads = gradients(&vars)?;
    let mut optimizer = AdamW::new(&OptimizerConfig { warmup: 0, ..OptimizerConfig::default() });
    Ok(Case::new(params.count(), move || {
        let updates: Vec<Update<'_>> = vars
            .iter()
            .map(|(name, var)| Update {
                name,
                var,
                rate: 1e-4,
                decays: name.ends_with(".weight"),
                averaged: false,
            })
            .collect();
        optimizer.step(&updates, &grads)?;
        Ok(())
    }))
}

/// Normal gradients; a store of them only comes from a backward pass.
fn gradients(vars: &[(String, Var)]) -> Result<GradStore> {
    let start = Var::zeros(1, DType::F32, &Device::Cpu)?;
    let mut grads = start.backward()?;
    for (name, var) in vars {
        grads.insert(var, constant(var.shape(), name)?);
    }
    Ok(grads)
}
