//! Recomputed blocks change nothing but memory; bf16 activations change little.

use candle_core::{DType, Device, Result, Tensor};
use cola_coevolve::{ExperimentConfig, Key, PhaseKind, System, SystemParams, lam_step, world_step};
use cola_data::Loader;
use cola_golden::gradients_cover;
use cola_nn::{Compute, Precision};

use crate::support::{awake, is_exactly_zero};

const KINDS: [PhaseKind; 3] = [PhaseKind::Lam, PhaseKind::Warm, PhaseKind::Joint];

/// Every variable with its gradient.
type Grads = Vec<(String, Option<Tensor>)>;

/// The loss of one step and the gradients.
fn step(config: &ExperimentConfig, kind: PhaseKind) -> Result<(f64, Grads)> {
    let params = SystemParams::new(config, &Device::Cpu)?;
    awake(&params)?;
    let loader = Loader::new(crate::support::clips(3), config.loader(), 0).expect("a loader");
    let batch = loader.batch(0, true, &Device::Cpu).expect("a batch");
    let system = System::enter(&params, config, kind.trains())?;
    let step = match kind {
        PhaseKind::Lam => lam_step(&system, config, &batch)?,
        _ => world_step(&system, config, &batch, Key { seed: 0, step: 0 }, true)?,
    };
    let grads = step.loss.backward()?;
    let vars = params.vars(kind.trains());
    let part = |learns: bool| {
        vars.iter()
            .filter(move |(name, _, trains)| *trains == learns && !(learns && is_exactly_zero(name)))
            .map(|(name, var, _)| (name.as_str(), var))
    };
    let complaints = gradients_cover(&grads, part(true), part(false))?;
    assert!(complaints.is_empty(), "{kind:?}:\n  {}", complaints.join("\n  "));
    let loss = step.loss.to_dtype(DType::F64)?.to_scalar()?;
    Ok((loss, vars.into_iter().map(|(name, var, _)| (name, grads.get(&var).cloned())).collect()))
}

fn numbers(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

#[test]
fn recomputed_blocks_give_the_same_bits() -> Result<()> {
    let plain = crate::support::config(crate::support::EVERY_PHASE);
    let mut again = plain.clone();
    again.compute.recompute = true;
    for kind in KINDS {
        let ((plain_loss, plain), (again_loss, again)) = (step(&plain, kind)?, step(&again, kind)?);
        assert_eq!(plain_loss.to_bits(), again_loss.to_bits(), "{kind:?}");
        for ((name, plain), (_, again)) in plain.iter().zip(&again) {
            let (Some(plain), Some(again)) = (plain, again) else { continue };
            assert!(numbers(plain)? == numbers(again)?, "{kind:?}: {name} has another gradient");
        }
    }
    Ok(())
}

#[test]
fn bf16_activations_keep_loss_and_gradients_close_and_parameters_in_f32() -> Result<()> {
    let full = crate::support::config(crate::support::EVERY_PHASE);
    for recompute in [false, true] {
        let mut narrow = full.clone();
        narrow.compute = Compute { dtype: Precision::Bf16, recompute };
        for kind in KINDS {
            let ((full_loss, full), (loss, found)) = (step(&full, kind)?, step(&narrow, kind)?);
            assert!(
                loss != full_loss,
                "{kind:?}: the loss has the bits of f32; was anything computed in bf16?"
            );
            assert!(
                (loss - full_loss).abs() < 0.02 * full_loss.abs(),
                "{kind:?}: {loss}, in f32 {full_loss}"
            );
            let (mut along, mut sizes) = (0f64, [0f64; 2]);
            for ((name, full), (_, found)) in full.iter().zip(&found) {
                let (Some(full), Some(found)) = (full, found) else { continue };
                assert_eq!(found.dtype(), DType::F32, "{kind:?}: the gradient of {name}");
                for (full, found) in numbers(full)?.into_iter().zip(numbers(found)?) {
                    let (full, found) = (f64::from(full), f64::from(found));
                    along += full * found;
                    sizes[0] += full * full;
                    sizes[1] += found * found;
                }
            }
            let cosine = along / (sizes[0] * sizes[1]).sqrt();
            assert!(cosine > 0.99, "{kind:?}: the gradient points elsewhere, cosine {cosine}");
        }
    }
    Ok(())
}
