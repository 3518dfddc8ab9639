//! The continuous action: its distribution, gradients, refusals.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_lam::{ConfigError, Posterior, VariationalActionModel, VariationalConfig};
use cola_nn::{Compute, Params, Precision};
use cola_random::{stream, uniforms};

const DEVICE: Device = Device::Cpu;

/// Random clips for the tiny model.
fn clips(clips: usize, frames: usize) -> Result<Tensor> {
    let numbers = uniforms(clips * frames * 3 * 32 * 32, 0.0, 1.0, &mut stream(0, "video", 0, 0));
    Tensor::from_vec(numbers, (clips, frames, 3, 32, 32), &DEVICE)
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

fn normal(numbers: &[f32]) -> Result<Posterior> {
    let mean = Tensor::new(numbers, &DEVICE)?.reshape((1, 1, numbers.len()))?;
    Ok(Posterior { log_variance: mean.zeros_like()?, mean })
}

#[test]
fn a_standard_normal_posterior_has_no_divergence_and_a_shifted_one_half_its_square() -> Result<()> {
    assert_eq!(normal(&[0.0, 0.0])?.divergence()?.to_scalar::<f32>()?, 0.0);
    assert_eq!(normal(&[3.0, -1.0])?.divergence()?.to_scalar::<f32>()?, 5.0);
    Ok(())
}

#[test]
fn a_draw_is_the_mean_plus_the_noise_times_the_deviation() -> Result<()> {
    let mean = Tensor::new(&[[[1f32, 2.0]]], &DEVICE)?;
    let log_variance = Tensor::new(&[[[0f32, 4f32.ln()]]], &DEVICE)?;
    let drawn = Posterior { mean, log_variance }.sample(&Tensor::new(&[[[1f32, -1.0]]], &DEVICE)?)?;
    let drawn = flat(&drawn)?;
    assert!((drawn[0] - 2.0).abs() < 1e-6 && drawn[1].abs() < 1e-6, "{drawn:?}");
    Ok(())
}

#[test]
fn every_parameter_learns_and_a_frozen_one_does_not() -> Result<()> {
    for compute in [Compute::default(), Compute { dtype: Precision::Bf16, recompute: true }] {
        for trains in [true, false] {
            let config = VariationalConfig::tiny();
            let params = Params::seeded(0, DType::F32, &DEVICE);
            let model = VariationalActionModel::new(&config, params.builder(trains))?.computing(compute);
            let clips = Var::from_tensor(&clips(2, 4)?)?;
            let posterior = model.posterior(&clips)?;
            let actions = posterior.sample(&posterior.mean.ones_like()?)?;
            let loss = model.losses(&clips, &posterior, &actions)?.total(&config)?;
            let grads = loss.backward()?;
            let vars = params.vars();
            let own = || vars.iter().map(|(name, var)| (name.as_str(), var));
            let complaints = if trains {
                cola_golden::gradients_cover(&grads, own(), [])?
            } else {
                cola_golden::gradients_cover(&grads, [("video", &clips)], own())?
            };
            assert!(complaints.is_empty(), "{compute:?}, trains: {trains}: {complaints:#?}");
        }
    }
    Ok(())
}

#[test]
fn a_clip_cut_shorter_has_the_same_earlier_posterior_only_if_it_is_causal() -> Result<()> {
    for causal in [true, false] {
        let config = VariationalConfig { causal, ..VariationalConfig::tiny() };
        let params = Params::seeded(3, DType::F32, &DEVICE);
        let model = VariationalActionModel::new(&config, params.frozen())?;
        let whole = clips(2, 6)?;
        let all = model.posterior(&whole)?;
        for cut in 2..6 {
            let found = model.posterior(&whole.narrow(1, 0, cut)?)?;
            let same = flat(&found.mean)? == flat(&all.mean.narrow(1, 0, cut - 1)?)?;
            assert_eq!(same, causal, "cut to {cut} frames");
        }
    }
    Ok(())
}

#[test]
fn predictions_are_frames_between_zero_and_one() -> Result<()> {
    let config = VariationalConfig::tiny();
    let model = VariationalActionModel::new(&config, Params::seeded(0, DType::F32, &DEVICE).frozen())?;
    let found = model.predict(&clips(1, 3)?, &Tensor::zeros((1, 2, 32), DType::F32, &DEVICE)?)?;
    assert_eq!(found.dims(), [1, 2, 3, 32, 32]);
    assert!(flat(&found)?.iter().all(|pixel| *pixel > 0.0 && *pixel < 1.0));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() -> Result<()> {
    let tiny = VariationalConfig::tiny;
    assert_eq!(tiny().check(), Ok(()));
    assert_eq!(VariationalConfig::paper().check(), Ok(()));
    assert_eq!(
        VariationalConfig { dim: 60, heads: 4, ..tiny() }.check(),
        Err(ConfigError::OddHead { dim: 60, heads: 4 })
    );
    assert_eq!(
        VariationalConfig { rope_theta: 0.0, ..tiny() }.check(),
        Err(ConfigError::Positive { name: "rope_theta", value: 0.0 })
    );
    assert_eq!(
        VariationalConfig { layers: 0, ..tiny() }.check(),
        Err(ConfigError::Least { name: "layers", value: 0, least: 1 })
    );
    assert!(VariationalConfig { heads: 0, ..tiny() }.check().is_err());
    let model = VariationalActionModel::new(&tiny(), Params::seeded(0, DType::F32, &DEVICE).frozen())?;
    let refusal = model.posterior(&clips(1, 1)?).expect_err("one frame").to_string();
    assert!(refusal.contains("[1, 1, 3, 32, 32]") && refusal.contains("2 frames or more"), "{refusal}");
    let actions = Tensor::zeros((1, 3, 32), DType::F32, &DEVICE)?;
    let refusal = model.predict(&clips(1, 3)?, &actions).expect_err("3 actions for 2").to_string();
    assert!(refusal.contains("[1, 3, 1, 32]") && refusal.contains("[1, 2, 16, 192]"), "{refusal}");
    Ok(())
}
