//! AdamW against the reference's trajectories.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, IndexOp, Result, Tensor, Var};
use cola_coevolve::{AdamW, OptimizerConfig, Update};
use cola_golden::{Golden, Tolerance};

/// Five times what the golden README measured for the reference in f32.
const F32: Tolerance = Tolerance::Absolute(5.0 * 6.2e-7);
const F64: Tolerance = Tolerance::Absolute(1e-9);

fn number(golden: &Golden, key: &str, otherwise: f64) -> f64 {
    golden.config()[key].as_f64().unwrap_or(otherwise)
}

fn config(golden: &Golden, warmup: u64) -> OptimizerConfig {
    let betas = |i: usize| golden.config()["betas"][i].as_f64().expect("betas");
    OptimizerConfig {
        beta1: betas(0),
        beta2: betas(1),
        eps: golden.float("eps"),
        decay: golden.float("weight_decay"),
        clip: number(golden, "clip_global_norm", 0.0),
        warmup,
    }
}

fn variables(golden: &Golden, dtype: DType) -> Result<Vec<(String, Var)>> {
    let weights: BTreeMap<String, Tensor> = golden.weights("weight.", dtype)?.into_iter().collect();
    weights.into_iter().map(|(name, weight)| Ok((name, Var::from_tensor(&weight)?))).collect()
}

/// All variables from the first step, with warm-up and clipping, over the gradients that the file gives.
fn from_the_start(golden: &Golden, dtype: DType, tolerance: Tolerance) -> Result<()> {
    let warmup = golden.int("warmup") as u64;
    let warmup = match golden.config()["warmup_rule"].as_str() {
        Some("step_plus_1_over_warmup") => warmup - 1,
        _ => warmup,
    };
    let vars = variables(golden, dtype)?;
    let mut optimizer = AdamW::new(&config(golden, warmup));
    let mut found: Vec<Vec<Tensor>> = vec![Vec::new(); vars.len()];
    let mut norms = Vec::new();
    for step in 0..golden.int("steps") {
        let mut grads = GradStore::default();
        for (name, var) in &vars {
            let grad = golden.tensor(&format!("grad.raw.{name}")).i(step)?.to_dtype(dtype)?;
            grads.insert(var.as_tensor(), grad);
        }
        let rate = golden.float("lr");
        let updates: Vec<Update<'_>> =
            vars.iter().map(|(name, var)| Update { name, var, rate, decays: true }).collect();
        norms.push(optimizer.step(&updates, &grads)?);
        for (values, (_, var)) in found.iter_mut().zip(&vars) {
            values.push(var.as_detached_tensor().copy()?);
        }
    }
    for (values, (name, _)) in found.iter().zip(&vars) {
        golden.compare(&format!("output.param.{name}"), &Tensor::stack(values, 0)?, tolerance)?;
    }
    let norms = Tensor::new(norms, &candle_core::Device::Cpu)?;
    golden.compare("output.grad_norm", &norms, tolerance)
}

/// A late start: the gradient of `b` is withheld while it is frozen.
fn late_unfreeze(golden: &Golden, dtype: DType, tolerance: Tolerance) -> Result<()> {
    let vars = variables(golden, dtype)?;
    let mut optimizer = AdamW::new(&config(golden, 0));
    let frozen = golden.int("frozen_steps_of_b");
    let mut found: Vec<Vec<Tensor>> = vec![Vec::new(); vars.len()];
    for step in 0..golden.int("steps") {
        let mut grads = GradStore::default();
        for (name, var) in &vars {
            if name != "b" || step >= frozen {
                grads.insert(var.as_tensor(), golden.input(&format!("grad.{name}"), dtype)?.i(step)?);
            }
        }
        let updates: Vec<Update<'_>> = vars
            .iter()
            .map(|(name, var)| Update { name, var, rate: golden.float("lr"), decays: true })
            .collect();
        optimizer.step(&updates, &grads)?;
        for (values, (_, var)) in found.iter_mut().zip(&vars) {
            values.push(var.as_detached_tensor().copy()?);
        }
    }
    for (values, (name, _)) in found.iter().zip(&vars) {
        golden.compare(&format!("output.param.{name}"), &Tensor::stack(values, 0)?, tolerance)?;
    }
    Ok(())
}

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-coevolve", |golden| {
        let compare = match golden.config()["kind"].as_str().unwrap_or_default() {
            "adamw-late-unfreeze" => late_unfreeze,
            "adamw" => from_the_start,
            kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
        };
        compare(golden, DType::F64, F64)?;
        compare(golden, DType::F32, F32)
    });
}
