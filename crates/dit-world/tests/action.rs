//! The action conditioner: which action reaches which frame, what a dropped action is, what learns first.

mod support;

use candle_core::{DType, Result, Tensor, Var};
use cola_dit_world::{ActionConditioner, ActionConfig, DitConfig};
use cola_nn::Params;
use proptest::prelude::*;
use support::{DEVICE, config, empty, flat, named, normal, randomise};

fn with_action(change: impl FnOnce(&mut ActionConfig)) -> DitConfig {
    let mut config = config();
    change(&mut config.action);
    config
}

/// A conditioner with every parameter drawn at random, over frozen parameters.
fn conditioner(config: &DitConfig) -> Result<ActionConditioner> {
    let params = empty();
    ActionConditioner::new(config, params.trainable())?;
    randomise(&params)?;
    ActionConditioner::new(config, params.frozen())
}

/// The rows `(B, T', 6 D)` of frame `j`.
fn row(rows: &Tensor, j: usize) -> Result<Vec<f32>> {
    flat(&rows.narrow(1, j, 1)?)
}

/// Actions that differ in number `index` alone.
fn with_one_changed(actions: &Tensor, index: usize) -> Result<Tensor> {
    let (b, _, dim) = actions.dims3()?;
    actions.slice_assign(&[0..b, index..index + 1, 0..dim], &normal("another action", (b, 1, dim))?)
}

#[test]
fn each_action_reaches_its_own_frame_first_and_all_later_ones() -> Result<()> {
    // (actions a latent frame, the frame that action 0, 1, 2 ... reaches first)
    for (group, first) in [(1, [1, 2, 3, 4, 5, 6, 7, 8].as_slice()), (4, &[1, 1, 1, 1, 2, 2, 2, 2])] {
        let conditioner = conditioner(&with_action(|action| action.frames_per_latent = group))?;
        let actions = normal("actions", (2, 8, 5))?;
        let rows = conditioner.forward(&actions)?;
        assert_eq!(rows.dims(), [2, 1 + 8 / group, 6 * 16]);
        for (index, &first) in first.iter().enumerate() {
            let changed = conditioner.forward(&with_one_changed(&actions, index)?)?;
            for j in 0..rows.dim(1)? {
                let same = row(&rows, j)? == row(&changed, j)?;
                assert_eq!(same, j < first, "{group} a frame: action {index}, frame {j}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn later_actions_do_not_change_earlier_rows_bit_for_bit(
        group in prop_oneof![Just(1usize), Just(4)], frames in 1..6usize, kept in 0..6usize, output_norm: bool,
    ) {
        let kept = kept.min(frames);
        let config = with_action(|action| (action.frames_per_latent, action.output_norm) = (group, output_norm));
        let conditioner = conditioner(&config).unwrap();
        let actions = normal("actions", (2, frames * group, 5)).unwrap();
        let changed = if kept < frames { support::changed_from(&actions, 1, kept * group).unwrap() } else { actions.clone() };
        let (rows, other) = (conditioner.forward(&actions).unwrap(), conditioner.forward(&changed).unwrap());
        for j in 0..=kept {
            prop_assert_eq!(row(&rows, j).unwrap(), row(&other, j).unwrap(), "frame {}", j);
        }
        for j in kept + 1..=frames {
            prop_assert_ne!(row(&rows, j).unwrap(), row(&other, j).unwrap(), "frame {}", j);
        }
    }
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() -> Result<()> {
    let conditioner = conditioner(&config())?;
    let actions = normal("actions", (2, 3, 5))?;
    let other = Tensor::cat(&[actions.narrow(0, 0, 1)?.affine(-1.0, 1.0)?, actions.narrow(0, 1, 1)?], 0)?;
    let second = |actions: &Tensor| flat(&conditioner.forward(actions)?.narrow(0, 1, 1)?);
    assert_eq!(second(&actions)?, second(&other)?);
    Ok(())
}

#[test]
fn a_dropped_action_is_not_the_slot_of_the_first_frame() -> Result<()> {
    // Fresh blocks are silent, so a row shows its own token alone: all dropped actions alike, the first frame otherwise.
    let fresh = ActionConditioner::new(&config(), empty().frozen())?;
    let rows = fresh.unconditional(&normal("actions", (1, 3, 5))?)?;
    assert_ne!(row(&rows, 0)?, row(&rows, 1)?);
    assert_eq!(row(&rows, 1)?, row(&rows, 2)?);
    assert_eq!(row(&rows, 2)?, row(&rows, 3)?);
    let rows = conditioner(&config())?.unconditional(&normal("actions", (1, 3, 5))?)?;
    assert_ne!(row(&rows, 0)?, row(&rows, 1)?);
    Ok(())
}

#[test]
fn the_unconditional_rows_are_those_of_zero_actions() -> Result<()> {
    let conditioner = conditioner(&config())?;
    let actions = normal("actions", (2, 3, 5))?;
    let unconditional = flat(&conditioner.unconditional(&actions)?)?;
    assert_eq!(unconditional, flat(&conditioner.forward(&actions.zeros_like()?)?)?);
    assert_ne!(unconditional, flat(&conditioner.forward(&actions)?)?);
    Ok(())
}

#[test]
fn one_dropped_action_leaves_the_others_in_place() -> Result<()> {
    let conditioner = conditioner(&config())?;
    let actions = normal("actions", (1, 3, 5))?;
    let keep = Tensor::new(&[[[1f32], [0.0], [1.0]]], &DEVICE)?;
    let rows = conditioner.forward(&actions.broadcast_mul(&keep)?)?;
    let whole = conditioner.forward(&actions)?;
    let dropped = conditioner.unconditional(&actions)?;
    assert_eq!(row(&rows, 1)?, row(&whole, 1)?);
    assert_ne!(row(&rows, 2)?, row(&whole, 2)?);
    assert_ne!(row(&rows, 3)?, row(&dropped, 3)?);
    Ok(())
}

#[test]
fn a_number_of_actions_that_fills_no_frame_is_refused_with_both_numbers() -> Result<()> {
    let conditioner = conditioner(&with_action(|action| action.frames_per_latent = 4))?;
    for actions in [0, 3, 6] {
        let actions_of = Tensor::zeros((1, actions, 5), DType::F32, &DEVICE)?;
        let refusal = conditioner.forward(&actions_of).expect_err("no whole frames").to_string();
        assert!(
            refusal.contains(&format!("{actions} actions")) && refusal.contains("of 4 actions"),
            "{refusal}"
        );
    }
    Ok(())
}

#[test]
fn a_configuration_that_fails_its_check_builds_nothing() {
    let params = empty();
    let config = with_action(|action| action.heads = 5);
    let refusal = ActionConditioner::new(&config, params.trainable()).expect_err("5 heads").to_string();
    assert!(refusal.contains("dit.action.width is 12"), "{refusal}");
    assert_eq!(params.count(), 0);
}

/// Names of the variables whose gradient is absent or zero, and whether a gradient reaches the actions, for a loss that
/// weighs every row at random.
fn silent(params: &Params, config: &DitConfig) -> Result<(Vec<String>, bool)> {
    let conditioner = ActionConditioner::new(config, params.trainable())?;
    let actions = Var::from_tensor(&normal("actions", (2, 4, 5))?)?;
    let rows = conditioner.forward(actions.as_tensor())?;
    let grads = rows.mul(&normal("upstream", rows.shape())?)?.sum_all()?.backward()?;
    let moves = |var: &Var| -> Result<bool> {
        grads.get(var.as_tensor()).map_or(Ok(false), |grad| Ok(flat(grad)?.iter().any(|value| *value != 0.0)))
    };
    let mut silent = Vec::new();
    for (name, var) in params.vars() {
        if !moves(&var)? {
            silent.push(name);
        }
    }
    Ok((silent, moves(&actions)?))
}

/// The layers in front of the zero last layer of each residual branch of the blocks: at step 0 nothing passes that layer.
fn before_the_silent_layers(layers: usize) -> Vec<String> {
    (0..layers)
        .flat_map(|i| {
            ["attn.qkv.bias", "attn.qkv.weight", "mlp.fc1.bias", "mlp.fc1.weight"]
                .map(|name| format!("blocks.{i}.{name}"))
        })
        .collect()
}

#[test]
fn every_parameter_learns_once_none_is_zero() -> Result<()> {
    for output_norm in [false, true] {
        let config = with_action(|action| action.output_norm = output_norm);
        let params = empty();
        let conditioner = ActionConditioner::new(&config, params.trainable())?;
        randomise(&params)?;
        let actions = Var::from_tensor(&normal("actions", (2, 4, 5))?)?;
        let rows = conditioner.forward(actions.as_tensor())?;
        let grads = rows.mul(&normal("upstream", rows.shape())?)?.sum_all()?.backward()?;
        let vars = params.vars();
        let learning = named(&vars).chain([("actions", &actions)]);
        let complaints = cola_golden::gradients_cover(&grads, learning, [])?;
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
    Ok(())
}

/// Paper's literal reading: only the residual branches start silent, so the first step already moves the actions.
#[test]
fn with_silent_blocks_the_gradient_reaches_the_actions_at_step_0() -> Result<()> {
    let config = with_action(|action| action.zero_output = false);
    assert_eq!(silent(&empty(), &config)?, (before_the_silent_layers(2), true));
    Ok(())
}

#[test]
fn with_a_zero_output_only_the_last_layer_moves_at_step_0() -> Result<()> {
    let config = with_action(|action| action.zero_output = true);
    let params = empty();
    let (silent_names, actions) = silent(&params, &config)?;
    let moving: Vec<String> =
        params.vars().into_iter().map(|(name, _)| name).filter(|name| !silent_names.contains(name)).collect();
    assert_eq!(moving, ["output.2.bias", "output.2.weight"]);
    assert!(!actions);
    Ok(())
}

#[test]
fn with_a_zero_output_everything_but_the_branches_moves_at_step_1() -> Result<()> {
    let config = with_action(|action| action.zero_output = true);
    let params = empty();
    ActionConditioner::new(&config, params.trainable())?;
    params.set("output.2.weight", &normal("after one step", (6 * 16, 12))?)?;
    assert_eq!(silent(&params, &config)?, (before_the_silent_layers(2), true));
    Ok(())
}

#[test]
fn a_zero_output_says_nothing_at_first() -> Result<()> {
    let config = with_action(|action| action.zero_output = true);
    let rows = ActionConditioner::new(&config, empty().frozen())?.forward(&normal("actions", (1, 4, 5))?)?;
    assert!(flat(&rows)?.iter().all(|value| *value == 0.0));
    Ok(())
}
