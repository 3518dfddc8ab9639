//! Who learns in which phase.

use candle_core::{Device, Result, Tensor};
use cola_coevolve::{
    ExperimentConfig, Key, Phase, PhaseKind, Plan, System, SystemParams, Trains, lam_step, world_step,
};
use cola_data::Loader;
use cola_golden::gradients_cover;

use crate::support::{awake, is_exactly_zero};

#[test]
fn every_trainable_variable_gets_a_gradient_and_every_frozen_one_none_in_every_phase() -> Result<()> {
    let config = crate::support::config(crate::support::EVERY_PHASE);
    gradients_are_where_they_should_be(&config)
}

#[test]
fn so_it_is_with_the_prompt_reading() -> Result<()> {
    let mut config = crate::support::config(crate::support::EVERY_PHASE);
    config.lam.readout = cola_lam::Readout::Prompt;
    gradients_are_where_they_should_be(&config)
}

#[test]
fn a_run_with_the_prompt_reading_goes_through_every_phase() {
    let mut config = crate::support::config(crate::support::EVERY_PHASE);
    config.lam.readout = cola_lam::Readout::Prompt;
    let folder = tempfile::tempdir().expect("a folder");
    crate::support::train(&config, folder.path());
}

fn gradients_are_where_they_should_be(config: &ExperimentConfig) -> Result<()> {
    let params = SystemParams::new(config, &Device::Cpu)?;
    awake(&params)?;
    let loader = Loader::new(crate::support::clips(3), config.loader(), 0).expect("a loader");
    let batch = loader.batch(0, true, &Device::Cpu).expect("a batch");
    for kind in [PhaseKind::Pretrain, PhaseKind::Lam, PhaseKind::Warm, PhaseKind::Joint, PhaseKind::World] {
        let system = System::enter(&params, config, kind.trains())?;
        let step = match kind {
            PhaseKind::Lam => lam_step(&system, config, &batch)?,
            _ => world_step(&system, config, &batch, Key { seed: 0, step: 0 }, kind.has_actions())?,
        };
        let grads = step.loss.backward()?;
        let vars = params.vars(kind.trains());
        let part = |learns: bool| {
            vars.iter()
                .filter(move |(name, _, trains)| *trains == learns && !(learns && is_exactly_zero(name)))
                .map(|(name, var, _)| (name.as_str(), var))
        };
        assert!(part(true).count() > 10, "{kind:?} trains next to nothing");
        let complaints = gradients_cover(&grads, part(true), part(false))?;
        assert!(complaints.is_empty(), "{kind:?}:\n  {}", complaints.join("\n  "));
    }
    Ok(())
}

#[test]
fn the_flow_loss_alone_reaches_the_inverse_dynamics_model_through_a_frozen_backbone() -> Result<()> {
    let config = crate::support::config("WARM2");
    let params = SystemParams::new(&config, &Device::Cpu)?;
    awake(&params)?;
    let system = System::enter(&params, &config, PhaseKind::Warm.trains())?;
    let loader = Loader::new(crate::support::clips(3), config.loader(), 0).expect("a loader");
    let batch = loader.batch(0, true, &Device::Cpu).expect("a batch");
    let step = world_step(&system, &config, &batch, Key { seed: 0, step: 0 }, true)?;
    let grads = step.flow.expect("a flow loss").backward()?;
    let vars = params.vars(PhaseKind::Warm.trains());
    let encoder = vars
        .iter()
        .filter(|(name, ..)| name.starts_with("lam.encoder.") && !is_exactly_zero(name))
        .map(|(name, var, _)| (name.as_str(), var));
    let complaints = gradients_cover(&grads, encoder, [])?;
    assert!(complaints.is_empty(), "{}", complaints.join("\n  "));
    Ok(())
}

#[test]
fn a_step_depends_on_its_samples_not_on_their_batch() -> Result<()> {
    let config = crate::support::config("WARM2");
    let params = SystemParams::new(&config, &Device::Cpu)?;
    let system = System::enter(&params, &config, Trains::default())?;
    let loader = Loader::new(crate::support::clips(3), config.loader(), 0).expect("a loader");
    let batch = loader.batch(0, false, &Device::Cpu).expect("a batch");
    let flow = |batch: &cola_data::Batch| -> Result<f32> {
        let step = world_step(&system, &config, batch, Key { seed: 0, step: 3 }, true)?;
        step.flow.expect("a flow loss").to_scalar()
    };
    // Halves of the batch with their own sample numbers: the mean of their losses is the whole batch's.
    let half = |first: usize| -> Result<cola_data::Batch> {
        let part = |tensor: &Tensor| tensor.narrow(0, first, 4);
        Ok(cola_data::Batch {
            lam_view: part(&batch.lam_view)?,
            world_view: part(&batch.world_view)?,
            actions: None,
            samples: batch.samples[first..first + 4].to_vec(),
            clips: batch.clips[first..first + 4].to_vec(),
            keys: Vec::new(),
        })
    };
    let (whole, parts) = (flow(&batch)?, (flow(&half(0)?)? + flow(&half(4)?)?) / 2.0);
    assert!((whole - parts).abs() < 1e-5 * whole.abs(), "{whole} and {parts}");
    Ok(())
}

#[test]
fn plans_parse_print_and_locate() {
    let plan: Plan = "LAM2000+WARM400+E2E1600".parse().expect("a plan");
    assert_eq!(plan.to_string(), "LAM2K+WARM400+E2E1600");
    assert_eq!(plan.steps(), 4000);
    assert_eq!(plan.locate(1999), Some((0, 1999)));
    assert_eq!(plan.locate(2000), Some((1, 0)));
    assert_eq!(plan.locate(4000), None);
    assert_eq!(plan.phases()[2], Phase { kind: PhaseKind::Joint, steps: 1600 });
    assert_eq!(plan.without_warmup().to_string(), "LAM2K+E2E2K");
    for (text, part) in
        [("WARM", "WARM"), ("LAM3+", ""), ("E2E0", "E2E0"), ("XYZ4", "XYZ4"), ("WM-3", "WM-3")]
    {
        let error = text.parse::<Plan>().expect_err("no plan");
        assert_eq!(error.part, part);
        assert!(error.to_string().contains("e.g. WARM8K+E2E52K"), "{error}");
    }
}
