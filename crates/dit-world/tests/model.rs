//! The transformer: causality, gradients, what a frozen one passes.

mod support;

use std::collections::BTreeSet;

use candle_core::{DType, Result, Tensor, Var};
use cola_dit_world::{ActionConditioner, Conditions, DitConfig, DitWorld};
use cola_flow::{Given, corrupt, velocity_loss};
use cola_nn::Params;
use support::{DEVICE, changed_from, config, empty, flat, largest_difference, named, normal, randomise};

const FRAMES: usize = 4;

/// Latents of two clips, odd in height so that patches are padded.
fn latents() -> Result<Tensor> {
    normal("latents", (2, 3, FRAMES, 5, 6))
}

fn times() -> Result<Tensor> {
    Tensor::new(&[300f32, 800.0], &DEVICE)
}

/// Frame 0 given in one clip, frames 0 and 2 in the other.
fn mixed() -> Result<Given> {
    Given::from_mask(&Tensor::new(&[[0f32, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]], &DEVICE)?)
}

fn conditions(action: Option<Tensor>) -> Conditions {
    Conditions::new(action, 5.0, 40, 48)
}

/// Transformer and conditioner with every parameter drawn at random.
struct World {
    backbone: Params,
    action: Params,
    config: DitConfig,
}

impl World {
    fn fresh() -> Result<Self> {
        let world = Self { backbone: empty(), action: empty(), config: config() };
        world.dit(true)?;
        world.conditioner(true)?;
        Ok(world)
    }

    fn random() -> Result<Self> {
        let world = Self::fresh()?;
        randomise(&world.backbone)?;
        randomise(&world.action)?;
        Ok(world)
    }

    fn dit(&self, trains: bool) -> Result<DitWorld> {
        DitWorld::new(&self.config, self.backbone.builder(trains))
    }

    fn conditioner(&self, trains: bool) -> Result<ActionConditioner> {
        ActionConditioner::new(&self.config, self.action.builder(trains))
    }

    fn velocity(&self, x: &Tensor, actions: &Tensor, given: Option<&Given>) -> Result<Tensor> {
        let rows = self.conditioner(false)?.forward(actions)?;
        self.dit(false)?.forward(x, &times()?, given, &conditions(Some(rows)))
    }
}

/// The velocity of frame `f`.
fn frame(velocity: &Tensor, f: usize) -> Result<Vec<f32>> {
    flat(&velocity.narrow(2, f, 1)?)
}

#[test]
fn later_frames_and_actions_do_not_change_earlier_velocities_bit_for_bit() -> Result<()> {
    let world = World::random()?;
    let (x, actions) = (latents()?, normal("actions", (2, FRAMES - 1, 5))?);
    for given in [None, Some(mixed()?)] {
        let velocity = world.velocity(&x, &actions, given.as_ref())?;
        assert_eq!(velocity.dims(), [2, 6, FRAMES, 5, 6]);
        for kept in 1..FRAMES {
            let frames = world.velocity(&changed_from(&x, 2, kept)?, &actions, given.as_ref())?;
            // Action `kept - 1` produced frame `kept`, the first that may change.
            let acted = world.velocity(&x, &changed_from(&actions, 1, kept - 1)?, given.as_ref())?;
            for f in 0..FRAMES {
                let what = format!("{kept} frames kept, frame {f}, {given:?}");
                assert_eq!(frame(&velocity, f)? == frame(&frames, f)?, f < kept, "latents: {what}");
                assert_eq!(frame(&velocity, f)? == frame(&acted, f)?, f < kept, "actions: {what}");
            }
        }
    }
    Ok(())
}

#[test]
fn clips_of_a_batch_do_not_see_each_other() -> Result<()> {
    let world = World::random()?;
    let (x, actions) = (latents()?, normal("actions", (2, FRAMES - 1, 5))?);
    let other = Tensor::cat(&[x.narrow(0, 0, 1)?.affine(-1.0, 1.0)?, x.narrow(0, 1, 1)?], 0)?;
    let second = |x: &Tensor| flat(&world.velocity(x, &actions, None)?.narrow(0, 1, 1)?);
    assert_eq!(second(&x)?, second(&other)?);
    Ok(())
}

#[test]
fn no_frame_given_is_the_same_as_no_mask() -> Result<()> {
    let world = World::random()?;
    let (x, actions) = (latents()?, normal("actions", (2, FRAMES - 1, 5))?);
    let all = Given::from_mask(&Tensor::ones((2, FRAMES), DType::F32, &DEVICE)?)?;
    assert_eq!(
        flat(&world.velocity(&x, &actions, None)?)?,
        flat(&world.velocity(&x, &actions, Some(&all))?)?
    );
    assert_ne!(
        flat(&world.velocity(&x, &actions, None)?)?,
        flat(&world.velocity(&x, &actions, Some(&mixed()?))?)?
    );
    Ok(())
}

#[test]
fn actions_of_zero_modulation_are_no_actions() -> Result<()> {
    let dit = World::random()?.dit(false)?;
    let zero = Tensor::zeros((2, FRAMES, 6 * 16), DType::F32, &DEVICE)?;
    for given in [None, Some(mixed()?)] {
        let velocity =
            |action| flat(&dit.forward(&latents()?, &times()?, given.as_ref(), &conditions(action))?);
        assert_eq!(velocity(None)?, velocity(Some(zero.clone()))?);
    }
    Ok(())
}

#[test]
fn one_frame_rate_for_all_clips_is_the_same_as_one_each() -> Result<()> {
    let dit = World::random()?.dit(false)?;
    let velocity = |fps: &[f64]| {
        let conditions = Conditions { fps: fps.to_vec(), ..conditions(None) };
        flat(&dit.forward(&latents()?, &times()?, Some(&mixed()?), &conditions)?)
    };
    assert_eq!(velocity(&[5.0])?, velocity(&[5.0, 5.0])?);
    assert_ne!(velocity(&[5.0])?, velocity(&[5.0, 24.0])?);
    for (fps, says) in [(vec![], "0 frame rates for 2 clips"), (vec![5.0; 3], "3 frame rates for 2 clips")] {
        let conditions = Conditions { fps, ..conditions(None) };
        let refusal = dit.forward(&latents()?, &times()?, None, &conditions).expect_err("no rate a clip");
        assert!(refusal.to_string().contains(says), "{refusal}");
    }
    Ok(())
}

#[test]
fn fewer_frame_rates_than_clips_are_repeated_as_a_whole() -> Result<()> {
    let dit = World::random()?.dit(false)?;
    let (x, t) = (Tensor::cat(&[latents()?, latents()?], 0)?, Tensor::cat(&[times()?, times()?], 0)?);
    let velocity = |fps: &[f64]| {
        flat(&dit.forward(&x, &t, None, &Conditions { fps: fps.to_vec(), ..conditions(None) })?)
    };
    assert_eq!(velocity(&[5.0, 24.0])?, velocity(&[5.0, 24.0, 5.0, 24.0])?);
    assert_ne!(velocity(&[5.0, 24.0])?, velocity(&[5.0, 5.0, 24.0, 24.0])?);
    Ok(())
}

#[test]
fn a_video_without_pixels_is_refused() -> Result<()> {
    let dit = World::random()?.dit(false)?;
    let conditions = Conditions { height: 0, ..conditions(None) };
    let refusal = dit.forward(&latents()?, &times()?, None, &conditions).expect_err("no height").to_string();
    assert!(refusal.contains("0 x 48 pixels"), "{refusal}");
    Ok(())
}

#[test]
fn stored_rotary_frequencies_are_used() -> Result<()> {
    let world = World::random()?;
    let velocity = || flat(&world.dit(false)?.forward(&latents()?, &times()?, None, &conditions(None))?);
    let computed = velocity()?;
    let head = world.config.hidden_size / world.config.num_heads;
    let freqs: Vec<f32> = (0..head / 2).map(|j| 10_000f32.powf(-2.0 * j as f32 / head as f32)).collect();
    world.backbone.set("rope.freqs", &Tensor::new(freqs.as_slice(), &DEVICE)?)?;
    let stored = velocity()?;
    assert!(computed.iter().zip(&stored).all(|(a, b)| (a - b).abs() < 1e-4));
    world.backbone.set("rope.freqs", &Tensor::zeros(head / 2, DType::F32, &DEVICE)?)?;
    assert_ne!(velocity()?, computed);
    Ok(())
}

#[test]
fn a_configuration_that_fails_its_check_builds_nothing() {
    let params = empty();
    let refusal = DitWorld::new(&DitConfig { num_heads: 3, ..config() }, params.trainable());
    let refusal = refusal.expect_err("3 heads").to_string();
    assert!(refusal.contains("dit.hidden_size is 16") && refusal.contains("multiple of 6"), "{refusal}");
    assert_eq!(params.count(), 0);
}

/// A loss over every output channel of every frame, each weighed at random.
fn weighed(velocity: &Tensor) -> Result<Tensor> {
    velocity.mul(&normal("upstream", velocity.shape())?)?.sum_all()
}

#[test]
fn every_parameter_of_both_networks_learns() -> Result<()> {
    for given in [None, Some(mixed()?)] {
        let world = World::random()?;
        let (x, actions) =
            (Var::from_tensor(&latents()?)?, Var::from_tensor(&normal("actions", (2, 3, 5))?)?);
        let rows = world.conditioner(true)?.forward(actions.as_tensor())?;
        let velocity =
            world.dit(true)?.forward(x.as_tensor(), &times()?, given.as_ref(), &conditions(Some(rows)))?;
        let (backbone, action) = (world.backbone.vars(), world.action.vars());
        let learning = named(&backbone).chain(named(&action)).chain([("x", &x), ("actions", &actions)]);
        let complaints = cola_golden::gradients_cover(&weighed(&velocity)?.backward()?, learning, [])?;
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
    Ok(())
}

#[test]
fn a_frozen_backbone_passes_gradient_to_conditioner_and_actions_and_receives_none() -> Result<()> {
    let world = World::random()?;
    let actions = Var::from_tensor(&normal("actions", (2, FRAMES - 1, 5))?)?;
    let rows = world.conditioner(true)?.forward(actions.as_tensor())?;
    let noised = corrupt(&latents()?, &normal("noise", (2, 3, FRAMES, 5, 6))?, &times()?, &mixed()?)?;
    let velocity =
        world.dit(false)?.forward(&noised.x, &noised.t, Some(&noised.given), &conditions(Some(rows)))?;
    let grads = velocity_loss(&velocity, &noised)?.mean_all()?.backward()?;
    let (backbone, action) = (world.backbone.vars(), world.action.vars());
    let learning = named(&action).chain([("actions", &actions)]);
    let complaints = cola_golden::gradients_cover(&grads, learning, named(&backbone))?;
    assert!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn a_frozen_conditioner_passes_gradient_to_the_actions_and_receives_none() -> Result<()> {
    let world = World::random()?;
    let actions = Var::from_tensor(&normal("actions", (2, FRAMES - 1, 5))?)?;
    let rows = world.conditioner(false)?.forward(actions.as_tensor())?;
    let velocity = world.dit(true)?.forward(&latents()?, &times()?, None, &conditions(Some(rows)))?;
    let (backbone, action) = (world.backbone.vars(), world.action.vars());
    let learning = named(&backbone).chain([("actions", &actions)]);
    let complaints =
        cola_golden::gradients_cover(&weighed(&velocity)?.backward()?, learning, named(&action))?;
    assert!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

#[test]
fn a_frozen_model_keeps_no_history() -> Result<()> {
    let world = World::random()?;
    assert!(!world.velocity(&latents()?, &normal("actions", (2, 3, 5))?, Some(&mixed()?))?.track_op());
    Ok(())
}

/// A fresh temporal block is the identity: the last layers of both branches are zero. Nothing passes them backward, and
/// the block's table only scales branches that are zero. The frame-rate embedder ends in a zero layer too.
#[test]
fn a_fresh_model_moves_all_but_what_stands_before_a_zero_layer() -> Result<()> {
    let world = World::fresh()?;
    let velocity = world.dit(true)?.forward(&latents()?, &times()?, Some(&mixed()?), &conditions(None))?;
    let grads = weighed(&velocity)?.backward()?;
    let mut still = BTreeSet::new();
    for (name, var) in world.backbone.vars() {
        let moves = match grads.get(var.as_tensor()) {
            Some(gradient) => flat(gradient)?.iter().any(|value| *value != 0.0),
            None => false,
        };
        if !moves {
            still.insert(name);
        }
    }
    let mut expected: BTreeSet<String> =
        ["fps_embedder.mlp.0.bias", "fps_embedder.mlp.0.weight"].map(String::from).into();
    for i in 0..world.config.depth {
        for name in [
            "scale_shift_table",
            "attn.qkv.weight",
            "attn.qkv.bias",
            "attn.q_norm.weight",
            "attn.k_norm.weight",
            "mlp.fc1.weight",
            "mlp.fc1.bias",
        ] {
            expected.insert(format!("temporal_blocks.{i}.{name}"));
        }
    }
    assert_eq!(still, expected);
    Ok(())
}

#[test]
fn the_unused_half_of_the_output_channels_learns_nothing_from_the_loss() -> Result<()> {
    let world = World::random()?;
    let noised = corrupt(&latents()?, &normal("noise", (2, 3, FRAMES, 5, 6))?, &times()?, &mixed()?)?;
    let velocity = world.dit(true)?.forward(&noised.x, &noised.t, Some(&noised.given), &conditions(None))?;
    let grads = velocity_loss(&velocity, &noised)?.mean_all()?.backward()?;
    let weight = world.backbone.get("final_layer.linear.weight").expect("a last layer");
    let gradient = grads.get(weight.as_tensor()).expect("a gradient");
    // Rows are (row, column of the patch, channel), six channels, of which three are the velocity.
    for (index, row) in gradient.to_vec2::<f32>()?.iter().enumerate() {
        assert_eq!(row.iter().any(|value| *value != 0.0), index % 6 < 3, "output {index}");
    }
    Ok(())
}

#[test]
fn the_velocity_of_a_half_precision_model_is_f32() -> Result<()> {
    let params = Params::seeded(0, DType::BF16, &DEVICE);
    let dit = DitWorld::new(&config(), params.frozen())?;
    let velocity =
        dit.forward(&latents()?.to_dtype(DType::BF16)?, &times()?, Some(&mixed()?), &conditions(None))?;
    assert_eq!(velocity.dtype(), DType::F32);
    let full = DitWorld::new(&config(), empty().frozen())?;
    let exact = full.forward(&latents()?, &times()?, Some(&mixed()?), &conditions(None))?;
    let scale = exact.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(largest_difference(&velocity, &exact)? < 0.05 * scale);
    Ok(())
}
