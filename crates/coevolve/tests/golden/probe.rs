//! The linear probe: closed forms, the trained head, the scores of both.

use candle_core::{DType, Device, Result, Tensor};
use cola_coevolve::{Fit, Head, Recipe, ridge};
use cola_golden::{Golden, Tolerance};

/// A residual that crosses zero flips a sign in the gradient.
const TRAINED: Tolerance = Tolerance::Absolute(1e-7);

const COMPARED: [&str; 13] = [
    "output.ls.weight",
    "output.ls.bias",
    "output.ls.train_l1_mse_r2",
    "output.ls.valid_l1_mse_r2",
    "output.ls.valid_prediction",
    "output.ridge.weight",
    "output.ridge.bias",
    "output.ridge.valid_l1_mse_r2",
    "output.probe.weight",
    "output.probe.bias",
    "output.probe.loss",
    "output.probe.valid_l1_mse_r2",
    "output.ridge.train_l1_mse_r2",
];

fn failed(error: impl std::fmt::Display) -> candle_core::Error {
    candle_core::Error::Msg(error.to_string())
}

fn scores(head: &Head, z: &Tensor, y: &Tensor) -> Result<Tensor> {
    let fit = Fit::of(&head.predict(z)?, y).map_err(failed)?;
    Tensor::new(&[fit.l1, fit.mse, fit.r2.unwrap_or(f64::NAN)], &Device::Cpu)
}

/// In f64, in which a probe is always computed: in f32 a residual near zero may fall on its other side, and from that
/// sign on the weights go elsewhere.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let dtype = DType::F64;
    crate::all_known(golden, &["output.", "grad."], |name| COMPARED.contains(&name));
    let input = |name: &str| golden.input(name, dtype);
    let (train, valid) = ((input("x_train")?, input("y_train")?), (input("x_valid")?, input("y_valid")?));
    for (kind, lambda) in [("ls", 0.0), ("ridge", golden.float("ridge_lambda"))] {
        let found = ridge(&train.0, &train.1, lambda).map_err(failed)?;
        if found.lambda != lambda {
            golden.fail(format!("{kind}: solved with lambda {}, asked for {lambda}", found.lambda));
        }
        golden.compare(&format!("output.{kind}.weight"), found.head.weight(), crate::F64)?;
        golden.compare(&format!("output.{kind}.bias"), found.head.bias(), crate::F64)?;
        for (split, (z, y)) in [("train", &train), ("valid", &valid)] {
            let name = format!("output.{kind}.{split}_l1_mse_r2");
            if golden.has(&name) {
                golden.compare(&name, &scores(&found.head, z, y)?, crate::F64)?;
            }
        }
        let name = format!("output.{kind}.valid_prediction");
        if golden.has(&name) {
            golden.compare(&name, &found.head.predict(&valid.0)?, crate::F64)?;
        }
    }

    let told = &golden.config()["probe"];
    let recipe = Recipe {
        rate: told["lr"].as_f64().expect("the rate of the probe"),
        optimizer: crate::optimizer(told),
        ..Recipe::default()
    };
    let weight = |name: &str| golden.tensor(&format!("weight.probe.{name}")).to_dtype(dtype);
    let start = Head::new(weight("weight0")?, weight("bias0")?)?;
    let batches = golden.input("probe.batches", DType::U32)?.to_vec2::<u32>()?;
    let (head, losses) = start.train(&train.0, &train.1, batches, &recipe).map_err(failed)?;
    golden.compare("output.probe.weight", head.weight(), TRAINED)?;
    golden.compare("output.probe.bias", head.bias(), TRAINED)?;
    golden.compare("output.probe.loss", &Tensor::new(losses, &Device::Cpu)?, TRAINED)?;
    golden.compare("output.probe.valid_l1_mse_r2", &scores(&head, &valid.0, &valid.1)?, TRAINED)
}
