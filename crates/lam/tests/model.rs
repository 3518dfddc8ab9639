//! The whole model: causality, gradients, sizes, refusals.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_lam::{Fdm, LamConfig, LatentActionModel, Readout};
use cola_nn::{Compute, Params, Precision};
use support::{flat, video};

const DEVICE: Device = Device::Cpu;

/// Adding one vector to every key changes no softmax: exactly zero in theory, rounding noise or zero in practice.
fn has_no_gradient_in_theory(name: &str) -> bool {
    name.ends_with("k_norm.bias") || name.ends_with("k_layernorm.bias")
}

#[test]
fn later_frames_do_not_change_earlier_actions_bit_for_bit() -> Result<()> {
    for readout in support::READOUTS {
        let config = LamConfig { readout, ..LamConfig::tiny() };
        let params = Params::seeded(3, DType::F32, &DEVICE);
        let model = LatentActionModel::new(&config, params.frozen())?;
        let whole = video(&config, 2, 6)?;
        let tokens = model.tokens(&whole)?;
        for kept in 2..6 {
            let later = whole.narrow(1, kept, 6 - kept)?.affine(-1.0, 1.0)?;
            let other = model.tokens(&Tensor::cat(&[whole.narrow(1, 0, kept)?, later], 1)?)?;
            let earlier = |x: &Tensor| flat(&x.narrow(1, 0, kept - 1)?);
            assert_eq!(earlier(&other)?, earlier(&tokens)?, "{kept} frames kept, {readout:?}");
            assert_ne!(flat(&other)?, flat(&tokens)?);
        }
    }
    Ok(())
}

#[test]
fn clips_of_a_batch_do_not_see_each_other() -> Result<()> {
    let config = LamConfig::tiny();
    let params = Params::seeded(3, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.frozen())?;
    let both = video(&config, 2, 3)?;
    let other = Tensor::cat(&[both.narrow(0, 0, 1)?.affine(-1.0, 1.0)?, both.narrow(0, 1, 1)?], 0)?;
    let second = |clips: &Tensor| flat(&model.tokens(clips)?.narrow(0, 1, 1)?);
    assert_eq!(second(&both)?, second(&other)?);
    Ok(())
}

#[test]
fn every_parameter_learns_from_the_two_stage_loss() -> Result<()> {
    for config in [
        LamConfig::tiny(),
        LamConfig { readout: Readout::Mean, fdm_residual: false, ..LamConfig::tiny() },
        LamConfig { readout: Readout::Prompt, ..LamConfig::tiny() },
    ] {
        let params = Params::seeded(0, DType::F32, &DEVICE);
        let model = LatentActionModel::new(&config, params.trainable())?;
        let fdm = Fdm::new(&config, params.trainable())?;
        let clips = video(&config, 2, 3)?;
        let actions = model.infer(&clips)?;
        let loss = (fdm.loss(&clips, &actions.embedding, 2.0)? + actions.losses.total(&config)?)?;
        let vars: Vec<(String, Var)> =
            params.vars().into_iter().filter(|(name, _)| !has_no_gradient_in_theory(name)).collect();
        let trainable = vars.iter().map(|(name, var)| (name.as_str(), var));
        let complaints = cola_golden::gradients_cover(&loss.backward()?, trainable, [])?;
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
    Ok(())
}

#[test]
fn a_frozen_model_passes_gradient_and_receives_none() -> Result<()> {
    for readout in support::READOUTS {
        let config = LamConfig { readout, ..LamConfig::tiny() };
        let params = Params::seeded(0, DType::F32, &DEVICE);
        let model = LatentActionModel::new(&config, params.frozen())?;
        let fdm = Fdm::new(&config, params.frozen())?;
        let clips = Var::from_tensor(&video(&config, 2, 3)?)?;
        let actions = model.infer(&clips)?;
        let loss = (fdm.loss(&clips, &actions.embedding, 0.0)? + actions.losses.total(&config)?)?;
        let vars = params.vars();
        let complaints = cola_golden::gradients_cover(
            &loss.backward()?,
            [("video", &clips)],
            vars.iter().map(|(name, var)| (name.as_str(), var)),
        )?;
        assert!(complaints.is_empty(), "{readout:?}: {complaints:#?}");
    }
    Ok(())
}

/// Loss and gradients of both models, with the given switches.
fn learned(config: &LamConfig, compute: Compute) -> Result<(f32, Vec<Tensor>)> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let model = LatentActionModel::new(config, params.trainable())?.computing(compute);
    let fdm = Fdm::new(config, params.trainable())?.computing(compute);
    let clips = video(config, 2, 3)?;
    let actions = model.infer(&clips)?;
    let loss = (fdm.loss(&clips, &actions.embedding, 2.0)? + actions.losses.total(config)?)?;
    let grads = loss.backward()?;
    let grads = params.vars().iter().filter_map(|(_, var)| grads.get(var.as_tensor()).cloned()).collect();
    Ok((loss.to_scalar()?, grads))
}

#[test]
fn recomputed_blocks_have_the_same_loss_and_gradients_bit_for_bit() -> Result<()> {
    for readout in support::READOUTS {
        let config = LamConfig { readout, ..LamConfig::tiny() };
        let (loss, grads) = learned(&config, Compute::default())?;
        let (again, anew) = learned(&config, Compute { recompute: true, ..Compute::default() })?;
        assert_eq!((loss, grads.len()), (again, anew.len()), "{readout:?}");
        for (grad, anew) in grads.iter().zip(&anew) {
            assert_eq!(flat(grad)?, flat(anew)?, "{readout:?}");
        }
    }
    Ok(())
}

#[test]
fn half_precision_gives_f32_tokens_near_those_of_full_precision() -> Result<()> {
    for readout in support::READOUTS {
        let config = LamConfig { readout, ..LamConfig::tiny() };
        let params = Params::seeded(0, DType::F32, &DEVICE);
        let model = LatentActionModel::new(&config, params.frozen())?;
        let clips = video(&config, 2, 3)?;
        let full = model.tokens(&clips)?;
        let half = Compute { dtype: Precision::Bf16, ..Compute::default() };
        let found = model.computing(half).tokens(&clips)?;
        assert_eq!(found.dtype(), DType::F32);
        let error = (found - &full)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
        let size = full.sqr()?.mean_all()?.to_scalar::<f32>()?;
        assert!(0.0 < error && error < 1e-3 * size, "{readout:?}: {error} of {size}");
    }
    Ok(())
}

#[test]
fn a_frozen_model_keeps_no_history() -> Result<()> {
    let config = LamConfig::tiny();
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.frozen())?;
    let actions = model.infer(&video(&config, 1, 2)?)?;
    assert!(!actions.embedding.track_op() && !actions.losses.codebook.track_op());
    Ok(())
}

#[test]
fn without_weighting_the_loss_is_the_mean_squared_error() -> Result<()> {
    let config = LamConfig::tiny();
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let (model, fdm) =
        (LatentActionModel::new(&config, params.frozen())?, Fdm::new(&config, params.frozen())?);
    let clips = video(&config, 2, 3)?;
    let actions = model.infer(&clips)?.embedding;
    let mse =
        (fdm.predict(&clips, &actions)? - fdm.target(&clips)?)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    let loss = fdm.loss(&clips, &actions, 0.0)?.to_scalar::<f32>()?;
    assert!((mse - loss).abs() < 1e-5 * mse, "{mse} {loss}");
    Ok(())
}

#[test]
fn weighting_counts_the_patch_that_moves_more() -> Result<()> {
    // One patch of 16 differs between the two frames and holds all the motion: its relative motion is 16, so with
    // weight 2 it counts (1 + 32) / 3 = 11 and the others 1/3.
    let config = LamConfig { fdm_residual: false, ..LamConfig::tiny() };
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let fdm = Fdm::new(&config, params.frozen())?;
    let still = video(&config, 1, 1)?;
    let corner = Tensor::zeros((1, 1, 3, 8, 8), DType::F32, &DEVICE)?;
    let moved = still.slice_assign(&[0..1, 0..1, 0..3, 0..8, 0..8], &corner)?;
    let clip = Tensor::cat(&[still, moved], 1)?;
    let action = Tensor::zeros((1, 1, config.action_dim()), DType::F32, &DEVICE)?;
    let error = (fdm.predict(&clip, &action)? - fdm.target(&clip)?)?
        .sqr()?
        .mean(3)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    let expected = (11.0 * error[0] + error[1..].iter().sum::<f32>() / 3.0) / 16.0;
    let found = fdm.loss(&clip, &action, 2.0)?.to_scalar::<f32>()?;
    assert!((found - expected).abs() < 1e-4 * expected, "{found} {expected}");
    Ok(())
}

#[test]
fn a_batch_without_motion_has_a_finite_weighted_loss() -> Result<()> {
    let config = LamConfig::tiny();
    let fdm = Fdm::new(&config, Params::seeded(0, DType::F32, &DEVICE).frozen())?;
    let frame = video(&config, 1, 1)?;
    let clip = Tensor::cat(&[&frame, &frame], 1)?;
    let action = Tensor::zeros((1, 1, config.action_dim()), DType::F32, &DEVICE)?;
    let (plain, weighted) = (fdm.loss(&clip, &action, 0.0)?, fdm.loss(&clip, &action, 2.0)?);
    let (plain, weighted) = (plain.to_scalar::<f32>()?, weighted.to_scalar::<f32>()?);
    assert!((weighted - plain / 3.0).abs() < 1e-5 * plain, "{plain} {weighted}");
    Ok(())
}

#[test]
fn a_residual_prediction_starts_from_the_given_frame() -> Result<()> {
    let plain = LamConfig { fdm_residual: false, ..LamConfig::tiny() };
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let clip = video(&plain, 1, 2)?;
    let action = Tensor::zeros((1, 1, plain.action_dim()), DType::F32, &DEVICE)?;
    let out = Fdm::new(&plain, params.frozen())?.predict(&clip, &action)?;
    let fdm = Fdm::new(&LamConfig::tiny(), params.frozen())?;
    let reversed = Tensor::cat(&[clip.narrow(1, 1, 1)?, clip.narrow(1, 0, 1)?], 1)?;
    let expected = (out + fdm.target(&reversed)?)?; // the target of the reversed clip is the first frame
    assert_eq!(flat(&fdm.predict(&clip, &action)?)?, flat(&expected)?);
    Ok(())
}

#[test]
fn a_clip_too_short_or_too_long_is_refused_with_its_length() -> Result<()> {
    let config = LamConfig::tiny();
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.frozen())?;
    for frames in [1, 17] {
        let refusal = model.tokens(&video(&config, 1, frames)?).expect_err("no actions").to_string();
        assert!(refusal.contains(&format!("{frames} frames")) && refusal.contains("2 to 16"), "{refusal}");
    }
    let fdm = Fdm::new(&config, params.frozen())?;
    let refusal = fdm.target(&video(&config, 1, 1)?).expect_err("no transition").to_string();
    assert!(refusal.contains("two frames or more"), "{refusal}");
    let actions = Tensor::zeros((1, 3, 64), DType::F32, &DEVICE)?;
    let refusal = fdm.predict(&video(&config, 1, 3)?, &actions).expect_err("3 actions for 2").to_string();
    assert!(refusal.contains("[1, 3, 64]") && refusal.contains("[1, 2, 64]"), "{refusal}");
    Ok(())
}

#[test]
fn a_configuration_that_fails_its_check_builds_nothing() {
    let config = LamConfig { heads: 5, ..LamConfig::tiny() };
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let refusal = LatentActionModel::new(&config, params.trainable()).expect_err("5 heads").to_string();
    assert!(refusal.contains("`heads` = 5"), "{refusal}");
    assert_eq!(params.count(), 0);
}
