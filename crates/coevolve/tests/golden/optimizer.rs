//! AdamW against the reference's trajectories.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, IndexOp, Result, Tensor, Var};
use cola_coevolve::{AdamW, Update};
use cola_golden::{Golden, Tolerance};

/// Largest deviation of the reference's own f32 run from its f64 run, over all of these files.
const DEVIATION: f64 = 6.2e-7;

const MODEL: &str = "h = tanh(x w1^T + b1); y = h w2^T + b2; loss = mean((y - target)^2)";

/// Variables, optimizer and everything that a trajectory leaves behind, step by step.
struct Trajectory {
    vars: Vec<(String, Var)>,
    optimizer: AdamW,
    params: Vec<Vec<Tensor>>,
    norms: Vec<f64>,
}

impl Trajectory {
    fn new(golden: &Golden, dtype: DType) -> Result<Self> {
        let weights: BTreeMap<String, Tensor> = golden.weights("weight.", dtype)?.into_iter().collect();
        let vars: Vec<(String, Var)> = weights
            .into_iter()
            .map(|(name, weight)| Ok((name, Var::from_tensor(&weight)?)))
            .collect::<Result<_>>()?;
        let params = vec![Vec::new(); vars.len()];
        let optimizer = AdamW::new(&crate::optimizer(golden.config()));
        Ok(Self { vars, optimizer, params, norms: Vec::new() })
    }

    fn step(&mut self, golden: &Golden, grads: &GradStore) -> Result<()> {
        let rate = golden.float("lr");
        let updates: Vec<Update<'_>> = self
            .vars
            .iter()
            .map(|(name, var)| Update { name, var, rate, decays: true, averaged: false })
            .collect();
        self.norms.push(self.optimizer.step(&updates, grads)?);
        for (values, (_, var)) in self.params.iter_mut().zip(&self.vars) {
            values.push(var.as_detached_tensor().copy()?);
        }
        Ok(())
    }

    fn compare_params(&self, golden: &Golden, tolerance: Tolerance) -> Result<()> {
        for (values, (name, _)) in self.params.iter().zip(&self.vars) {
            golden.compare(&format!("output.param.{name}"), &Tensor::stack(values, 0)?, tolerance)?;
        }
        Ok(())
    }
}

/// All variables from the first step, with warm-up and clipping: over the gradients that the file gives, then over those
/// of the model that it names.
pub(crate) fn from_the_start(golden: &Golden, dtype: DType) -> Result<()> {
    // Measured over 20 steps.
    let tolerance = crate::tolerance(dtype, DEVIATION * (golden.int("steps") as f64 / 20.0).max(1.0));
    let steps = golden.int("steps");
    let mut given = Trajectory::new(golden, dtype)?;
    let names: Vec<String> = given.vars.iter().map(|(name, _)| name.clone()).collect();
    crate::all_known(golden, &["output.", "grad."], |tensor| {
        ["output.loss", "output.lr", "output.grad_norm"].contains(&tensor)
            || names.iter().any(|name| {
                ["output.param", "output.exp_avg", "output.exp_avg_sq", "grad.raw", "grad.clipped"]
                    .iter()
                    .any(|kind| tensor == format!("{kind}.{name}"))
            })
    });
    let raw = |name: &str, step: usize| golden.tensor(&format!("grad.raw.{name}")).i(step)?.to_dtype(dtype);
    for step in 0..steps {
        let mut grads = GradStore::default();
        for (name, var) in &given.vars {
            grads.insert(var.as_tensor(), raw(name, step)?);
        }
        given.step(golden, &grads)?;
    }
    given.compare_params(golden, tolerance)?;

    let config = crate::optimizer(golden.config());
    let rates: Vec<f64> = (0..steps as u64).map(|step| golden.float("lr") * config.warmth(step)).collect();
    golden.compare("output.lr", &Tensor::new(rates, &Device::Cpu)?, Tolerance::Relative(1e-15))?;
    golden.compare("output.grad_norm", &Tensor::new(given.norms.as_slice(), &Device::Cpu)?, tolerance)?;
    for name in &names {
        let clipped = (0..steps)
            .map(|step| raw(name, step)? * config.clip_factor(given.norms[step]))
            .collect::<Result<Vec<Tensor>>>()?;
        golden.compare(&format!("grad.clipped.{name}"), &Tensor::stack(&clipped, 0)?, tolerance)?;
        let (first, second) = given.optimizer.moments(name).expect("moments after twenty steps");
        golden.compare(&format!("output.exp_avg.{name}"), &first, tolerance)?;
        golden.compare(&format!("output.exp_avg_sq.{name}"), &second, tolerance)?;
    }
    by_autograd(golden, dtype, tolerance)
}

/// The same trajectory with the model's own losses and gradients.
fn by_autograd(golden: &Golden, dtype: DType, tolerance: Tolerance) -> Result<()> {
    if golden.config()["model"].as_str() != Some(MODEL) {
        golden.fail(format!("config.model is {}, expected {MODEL}", golden.config()["model"]));
        return Ok(());
    }
    let mut own = Trajectory::new(golden, dtype)?;
    let (x, target) = (golden.input("x", dtype)?, golden.input("y", dtype)?);
    let (mut losses, mut raw) = (Vec::new(), vec![Vec::new(); own.vars.len()]);
    for step in 0..golden.int("steps") {
        let loss = {
            let weight = |name: &str| {
                let found = own.vars.iter().find(|(var, _)| var == name);
                found.map(|(_, var)| var.as_tensor()).expect("the weights of the model")
            };
            let linear = |x: &Tensor, index: usize| {
                x.matmul(&weight(&format!("w{index}")).t()?)?.broadcast_add(weight(&format!("b{index}")))
            };
            (linear(&linear(&x.i(step)?, 1)?.tanh()?, 2)? - target.i(step)?)?.sqr()?.mean_all()?
        };
        losses.push(loss.detach());
        let grads = loss.backward()?;
        drop(loss);
        for (values, (_, var)) in raw.iter_mut().zip(&own.vars) {
            values.push(grads.get(var.as_tensor()).expect("a gradient for every weight").detach().copy()?);
        }
        own.step(golden, &grads)?;
    }
    golden.compare("output.loss", &Tensor::stack(&losses, 0)?, tolerance)?;
    for (values, (name, _)) in raw.iter().zip(&own.vars) {
        golden.compare(&format!("grad.raw.{name}"), &Tensor::stack(values, 0)?, tolerance)?;
    }
    own.compare_params(golden, tolerance)
}

/// A late start: the gradient of `b` is withheld while it is frozen.
pub(crate) fn late_unfreeze(golden: &Golden, dtype: DType) -> Result<()> {
    crate::all_known(golden, &["output.", "grad."], |name| {
        let variable = name.strip_prefix("output.param.");
        variable.is_some_and(|variable| golden.has(&format!("weight.{variable}")))
    });
    let mut late = Trajectory::new(golden, dtype)?;
    let frozen = golden.int("frozen_steps_of_b");
    for step in 0..golden.int("steps") {
        let mut grads = GradStore::default();
        for (name, var) in &late.vars {
            if name != "b" || step >= frozen {
                grads.insert(var.as_tensor(), golden.input(&format!("grad.{name}"), dtype)?.i(step)?);
            }
        }
        late.step(golden, &grads)?;
    }
    late.compare_params(golden, crate::tolerance(dtype, DEVIATION))
}
