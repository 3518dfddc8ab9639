//! The training loss through a whole model.

use candle_core::{Device, Result, Tensor};
use cola_flow::{Given, corrupt, velocity_loss};
use cola_golden::Golden;

use crate::support::{compare, conditions, given, model, var};

pub(crate) fn loss(golden: &Golden) -> Result<()> {
    let (dit, params) = model(golden)?;
    let (action, y) = (var(golden, "action_mod")?, var(golden, "y")?);
    let clean = golden.input("x_start", golden.dtype())?;
    let (noise, t) = (golden.input("noise", golden.dtype())?, golden.input("t", golden.dtype())?);
    let mask = given(golden)?;
    let (b, _, frames, _, _) = clean.dims5()?;
    let all = Given::from_mask(&Tensor::ones((b, frames), golden.dtype(), &Device::Cpu)?)?;
    let noised = corrupt(&clean, &noise, &t, mask.as_ref().unwrap_or(&all))?;
    let conditions = conditions(golden, action.as_deref(), y.as_deref())?;
    let velocity = dit.forward(&noised.x, &noised.t, mask.as_ref(), &conditions)?;
    let loss = velocity_loss(&velocity, &noised)?;
    let outputs = [("loss", &loss), ("model_output", &velocity), ("x_t", &noised.x)];
    let inputs: Vec<_> = [("action_mod", action.as_ref()), ("y", y.as_ref())]
        .into_iter()
        .filter_map(|(name, var)| Some((name, var?)))
        .collect();
    compare(golden, &outputs, &inputs, "weight.", &params)
}
