//! Numbers, parameters, and who has to learn.
#![allow(dead_code, reason = "each test file uses its own part")]

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_golden::gradients_cover;
use cola_nn::{Params, normal};

/// Standard normal numbers, a pure function of the name.
pub(crate) fn numbers(name: &str, shape: &[usize]) -> Result<Tensor> {
    normal(shape, &Device::Cpu, &mut cola_random::stream(5, name, 0, 0))
}

pub(crate) fn params() -> Params {
    Params::seeded(1, DType::F32, &Device::Cpu)
}

/// Differentiates a loss: the input learns, and every parameter or none.
pub(crate) fn learns(loss: &Tensor, input: &Var, params: &Params, trains: bool) -> Result<()> {
    let grads = loss.backward()?;
    let vars = params.vars();
    let named = vars.iter().map(|(name, var)| (name.as_str(), var));
    let (learns, frozen): (Vec<_>, Vec<_>) = named.partition(|_| trains);
    let learns = learns.into_iter().chain([("input", input)]);
    assert_eq!(gradients_cover(&grads, learns, frozen)?, Vec::<String>::new());
    Ok(())
}
