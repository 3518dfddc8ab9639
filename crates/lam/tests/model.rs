//! The whole model: causality, gradients, sizes, refusals.

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::init::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use cola_lam::{Fdm, LamConfig, LatentActionModel, Readout};
use cola_nn::Params;
use cola_random::{stream, uniforms};

const DEVICE: Device = Device::Cpu;

/// A random video `(clips, frames, 3, side, side)` for the configuration.
fn video(config: &LamConfig, clips: usize, frames: usize) -> Result<Tensor> {
    let shape = (clips, frames, 3, config.image, config.image);
    let count = Shape::from(shape).elem_count();
    Tensor::from_vec(uniforms(count, 0.0, 1.0, &mut stream(0, "video", 0, 0)), shape, &DEVICE)
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

/// Adding one vector to every key changes no softmax: exactly zero in theory, rounding noise or zero in practice.
fn has_no_gradient_in_theory(name: &str) -> bool {
    name.ends_with("k_norm.bias") || name.ends_with("k_layernorm.bias")
}

#[test]
fn later_frames_do_not_change_earlier_actions_bit_for_bit() -> Result<()> {
    for readout in [Readout::Mean, Readout::Difference] {
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

/// Bit for bit is out of reach here: a matrix product rounds a row differently when it has more rows beside it.
#[test]
fn a_clip_cut_shorter_has_the_same_earlier_actions() -> Result<()> {
    let config = LamConfig::tiny();
    let params = Params::seeded(3, DType::F64, &DEVICE);
    let model = LatentActionModel::new(&config, params.frozen())?;
    let whole = video(&config, 2, config.max_frames)?;
    let all = model.infer(&whole)?;
    for frames in 2..config.max_frames {
        let cut = model.infer(&whole.narrow(1, 0, frames)?)?;
        let difference = (&cut.tokens - all.tokens.narrow(1, 0, frames - 1)?)?.abs()?.max_all()?;
        assert!(difference.to_scalar::<f64>()? < 1e-12, "{frames} frames: {difference}");
        let codes = |x: &Tensor| x.flatten_all()?.to_vec1::<u32>();
        assert_eq!(codes(&cut.codes)?, codes(&all.codes.narrow(1, 0, frames - 1)?)?);
    }
    Ok(())
}

#[test]
fn without_causality_later_frames_do_change_earlier_actions() -> Result<()> {
    let config = LamConfig { causal: false, ..LamConfig::tiny() };
    let params = Params::seeded(3, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.frozen())?;
    let whole = video(&config, 1, 3)?;
    let (cut, all) = (model.tokens(&whole.narrow(1, 0, 2)?)?, model.tokens(&whole)?.narrow(1, 0, 1)?);
    assert_ne!(flat(&cut)?, flat(&all)?);
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
    for config in
        [LamConfig::tiny(), LamConfig { readout: Readout::Mean, fdm_residual: false, ..LamConfig::tiny() }]
    {
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
    let config = LamConfig::tiny();
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.frozen())?;
    let fdm = Fdm::new(&config, params.frozen())?;
    let clips = Var::from_tensor(&video(&config, 2, 3)?)?;
    let actions = model.infer(clips.as_tensor())?;
    let loss = (fdm.loss(clips.as_tensor(), &actions.embedding, 0.0)? + actions.losses.total(&config)?)?;
    let vars = params.vars();
    let complaints = cola_golden::gradients_cover(
        &loss.backward()?,
        [("video", &clips)],
        vars.iter().map(|(name, var)| (name.as_str(), var)),
    )?;
    assert!(complaints.is_empty(), "{complaints:#?}");
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

/// Counts what a model asks for and hands out zeros without storage of their own.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<usize>>);

impl SimpleBackend for Counter {
    fn get(&self, shape: Shape, _: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        *self.0.lock().expect("no test panics while counting") += shape.elem_count();
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("`{name}` has no shape to count")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn the_paper_has_an_idm_of_124_and_an_fdm_of_114_million_parameters() -> Result<()> {
    let config = LamConfig::paper();
    let count = |build: &dyn Fn(VarBuilder) -> Result<()>| -> Result<usize> {
        let counter = Counter::default();
        build(VarBuilder::from_backend(Box::new(counter.clone()), DType::F32, DEVICE))?;
        let count = *counter.0.lock().expect("no test panics while counting");
        Ok(count)
    };
    let codebook = 32 * 32;
    assert_eq!(count(&|vb| LatentActionModel::new(&config, vb).map(|_| ()))?, 123_946_016 + codebook);
    assert_eq!(count(&|vb| Fdm::new(&config, vb).map(|_| ()))?, 114_361_164);
    Ok(())
}
