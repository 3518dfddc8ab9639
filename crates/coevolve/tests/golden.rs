//! AdamW against the reference's trajectories.

use std::collections::BTreeSet;

use candle_core::backprop::GradStore;
use candle_core::{DType, IndexOp, Result, Tensor, Var};
use cola_coevolve::{AdamW, OptimizerConfig, Update};
use cola_golden::{Golden, Tolerance, files};

/// Five times what the golden README measured for the reference in f32.
const F32: Tolerance = Tolerance::Absolute(5.0 * 6.2e-7);
const F64: Tolerance = Tolerance::Absolute(1e-9);

fn number(golden: &Golden, key: &str, otherwise: f64) -> f64 {
    golden.config()[key].as_f64().unwrap_or(otherwise)
}

/// A late start: the gradient of `b` is withheld while it is frozen.
fn late_unfreeze(golden: &Golden, dtype: DType, tolerance: Tolerance) -> Result<()> {
    let betas = |i: usize| golden.config()["betas"][i].as_f64().expect("betas");
    let config = OptimizerConfig {
        beta1: betas(0),
        beta2: betas(1),
        eps: golden.float("eps"),
        decay: golden.float("weight_decay"),
        clip: number(golden, "max_norm", 0.0),
        warmup: 0,
    };
    let names: BTreeSet<&str> = golden.names("weight.").map(|name| &name["weight.".len()..]).collect();
    let vars: Vec<(&str, Var)> = names
        .into_iter()
        .map(|name| Ok((name, Var::from_tensor(&golden.tensor(&format!("weight.{name}")).to_dtype(dtype)?)?)))
        .collect::<Result<_>>()?;
    let mut optimizer = AdamW::new(&config);
    let frozen = golden.int("frozen_steps_of_b");
    let mut found: Vec<Vec<Tensor>> = vec![Vec::new(); vars.len()];
    for step in 0..golden.int("steps") {
        let mut grads = GradStore::default();
        for (name, var) in &vars {
            if *name != "b" || step >= frozen {
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
fn every_ported_file_agrees_with_the_reference() -> Result<()> {
    let mut seen = 0;
    for path in files("latent-action-model") {
        let golden = Golden::open(&path);
        match golden.config()["kind"].as_str() {
            Some("adamw-late-unfreeze") => {
                late_unfreeze(&golden, DType::F64, F64)?;
                late_unfreeze(&golden, DType::F32, F32)?;
                golden.finish();
                seen += 1;
            }
            _ if golden.name().starts_with("adamw") => {
                println!("golden skip {} (not ported yet)", golden.name())
            }
            _ => {}
        }
    }
    assert!(seen > 0, "no reference file below {}", cola_golden::root().display());
    Ok(())
}
