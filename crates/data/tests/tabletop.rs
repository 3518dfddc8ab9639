//! The tabletop as a place to act: what moves, what does not, and what is refused.

use cola_data::Error;
use cola_data::tabletop::{ActionSpace, Corner, Goal, Held, Tabletop, TabletopConfig, TabletopState, Task};
use proptest::prelude::*;

const OPEN: f32 = -1.0;
const CLOSED: f32 = 1.0;
/// Between the centres of the gripper and a block that it touches at a flat side, or of two such blocks.
const TO_BLOCK: f64 = 0.125;
const BETWEEN_BLOCKS: f64 = 0.15;

fn table(actions: ActionSpace) -> Tabletop {
    Tabletop::new(TabletopConfig { actions, ..TabletopConfig::small() }).unwrap()
}

/// A table with three blocks, the raised gripper at `gripper` and the slider half open.
fn set(gripper: [f64; 2], blocks: [[f64; 2]; 3]) -> Tabletop {
    let mut table = table(ActionSpace::Delta);
    let blocks = blocks.to_vec();
    table.set_state(TabletopState { gripper, grip: 0.0, held: None, blocks, slider: 0.5 }).unwrap();
    table
}

fn apart(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).abs().max((a[1] - b[1]).abs())
}

#[test]
fn an_action_moves_the_gripper_by_what_it_says_and_walls_cut_it() {
    let mut table = set([0.5, 0.5], [[0.2, 0.9], [0.5, 0.9], [0.8, 0.9]]);
    let others = table.state().clone();
    table.step(&[0.37, -0.61, OPEN]).unwrap();
    let expected = [0.5 + 0.08 * f64::from(0.37f32), 0.5 - 0.08 * f64::from(0.61f32)];
    assert!(apart(table.state().gripper, expected) < 1e-12, "{:?}", table.state());
    assert_eq!(&TabletopState { gripper: others.gripper, ..table.state().clone() }, &others);

    // Beyond the range is cut to one step.
    let before = table.state().gripper;
    table.step(&[1e30, 7.0, OPEN]).unwrap();
    assert!(apart(table.state().gripper, [before[0] + 0.08, before[1] + 0.08]) < 1e-12);

    for (way, end) in [([1.0, 1.0], [0.95, 0.95]), ([-1.0, -1.0], [0.05, 0.05])] {
        (0..15).for_each(|_| table.step(&[way[0], way[1], OPEN]).unwrap());
        assert_eq!(table.state().gripper, end);
    }
}

#[test]
fn the_grip_follows_its_number() {
    let mut table = set([0.5, 0.5], [[0.2, 0.9], [0.5, 0.9], [0.8, 0.9]]);
    for (number, grip) in [(-1.0, 0.0), (0.5, 0.75), (1.0, 1.0), (-0.5, 0.25), (9.0, 1.0)] {
        table.step(&[0.0, 0.0, number]).unwrap();
        assert_eq!(table.state().grip, grip);
        assert_eq!(table.state().lowered(), grip >= 0.5);
    }
}

#[test]
fn a_closed_gripper_pushes_the_block_it_touches_and_no_other() {
    let mut table = set([0.3, 0.6], [[0.5, 0.6], [0.5, 0.4], [0.5, 0.8]]);
    let before = table.state().blocks.clone();
    (0..3).for_each(|_| table.step(&[1.0, 0.0, CLOSED]).unwrap());
    let state = table.state();
    assert!((state.gripper[0] - 0.54).abs() < 1e-12);
    assert!(apart(state.blocks[0], [0.54 + TO_BLOCK, 0.6]) < 1e-12, "{state:?}");
    assert_eq!(state.blocks[1..], before[1..]);
}

#[test]
fn an_open_gripper_passes_over_blocks() {
    let mut table = set([0.3, 0.6], [[0.5, 0.6], [0.5, 0.4], [0.5, 0.8]]);
    let before = table.state().blocks.clone();
    (0..6).for_each(|_| table.step(&[1.0, 0.0, OPEN]).unwrap());
    assert_eq!(table.state().blocks, before);
}

#[test]
fn blocks_push_blocks_up_to_the_wall_and_there_all_stop() {
    let mut table = set([0.2, 0.6], [[0.4, 0.6], [0.6, 0.6], [0.2, 0.9]]);
    (0..4).for_each(|_| table.step(&[1.0, 0.0, CLOSED]).unwrap());
    let [first, second] = [table.state().blocks[0], table.state().blocks[1]];
    assert!((first[0] - 0.645).abs() < 1e-9 && (second[0] - first[0] - BETWEEN_BLOCKS).abs() < 1e-9);

    (0..10).for_each(|_| table.step(&[1.0, 0.0, CLOSED]).unwrap());
    let state = table.state();
    let stop = 0.925 - BETWEEN_BLOCKS - TO_BLOCK;
    // Movements are made in eighths of a step.
    assert!(state.gripper[0] <= stop + 1e-6 && state.gripper[0] > stop - 0.08 / 8.0, "{state:?}");
    assert_eq!(state.blocks[2], [0.2, 0.9]);
    // A movement that is stopped along one axis goes on along the other.
    let x = state.gripper[0];
    table.step(&[1.0, 1.0, CLOSED]).unwrap();
    assert!((table.state().gripper[1] - 0.68).abs() < 1e-9 && table.state().gripper[0] >= x);
}

#[test]
fn a_block_is_carried_until_it_is_let_go() {
    let mut table = set([0.52, 0.58], [[0.5, 0.6], [0.7, 0.3], [0.2, 0.9]]);
    table.step(&[0.0, 0.0, CLOSED]).unwrap();
    assert_eq!(table.state().held, Some(Held::Block(0)));
    (0..4).for_each(|_| table.step(&[-0.5, -1.0, CLOSED]).unwrap());
    assert!(apart(table.state().blocks[0], [0.34, 0.28]) < 1e-9, "{:?}", table.state());
    // Its block stops at the slider's cabinet, and so does the gripper.
    (0..4).for_each(|_| table.step(&[0.0, -1.0, CLOSED]).unwrap());
    assert!(apart(table.state().blocks[0], [0.34, 0.235]) < 1e-9);
    assert!(apart(table.state().gripper, [0.36, 0.215]) < 1e-9);

    table.step(&[0.0, 0.0, OPEN]).unwrap();
    assert_eq!(table.state().held, None);
    let left = table.state().blocks.clone();
    (0..4).for_each(|_| table.step(&[1.0, 0.0, OPEN]).unwrap());
    assert_eq!(table.state().blocks, left);
}

#[test]
fn a_carried_block_pushes_others() {
    let mut table = set([0.3, 0.6], [[0.3, 0.6], [0.5, 0.6], [0.2, 0.9]]);
    (0..3).for_each(|_| table.step(&[1.0, 0.0, CLOSED]).unwrap());
    let blocks = &table.state().blocks;
    assert!(apart(blocks[0], [0.54, 0.6]) < 1e-9 && apart(blocks[1], [0.69, 0.6]) < 1e-9, "{blocks:?}");
}

#[test]
fn a_gripper_without_room_stays_up() {
    let mut table = set([0.16, 0.84], [[0.075, 0.925], [0.7, 0.3], [0.5, 0.9]]);
    let before = table.state().clone();
    table.step(&[0.0, 0.0, CLOSED]).unwrap();
    assert_eq!(table.state(), &before);
}

#[test]
fn the_slider_follows_the_gripper_along_its_rail_and_ends_there() {
    let mut table = set([0.5, 0.08], [[0.2, 0.9], [0.5, 0.9], [0.8, 0.9]]);
    table.step(&[1.0, 1.0, CLOSED]).unwrap();
    assert_eq!(table.state().held, Some(Held::Slider));
    assert!((table.state().slider - (0.5 + 0.08 / 0.74)).abs() < 1e-12);
    assert!((table.state().gripper[1] - 0.08).abs() < 1e-12, "the rail holds the gripper");
    (0..10).for_each(|_| table.step(&[1.0, 0.0, CLOSED]).unwrap());
    assert!((table.state().slider - 1.0).abs() < 1e-12);
    (0..20).for_each(|_| table.step(&[-1.0, 0.0, CLOSED]).unwrap());
    assert!(table.state().slider.abs() < 1e-12);

    // Shoved from the left.
    let mut table = set([0.3, 0.08], [[0.2, 0.9], [0.5, 0.9], [0.8, 0.9]]);
    (0..4).for_each(|_| table.step(&[1.0, 0.0, CLOSED]).unwrap());
    let (state, shoved) = (table.state(), (0.62 + 0.05 + 0.045 - 0.13) / 0.74);
    assert!(state.held.is_none() && (state.slider - shoved).abs() < 1e-9, "{state:?}");
    // The open gripper passes over it.
    let slider = state.slider;
    (0..3).for_each(|_| table.step(&[1.0, 0.0, OPEN]).unwrap());
    assert_eq!(table.state().slider, slider);
}

#[test]
fn all_action_spaces_move_the_same_table() {
    let spaces = [
        ActionSpace::Target,
        ActionSpace::Rotated { degrees: 37.0 },
        ActionSpace::Rotated { degrees: -210.0 },
        ActionSpace::Mirrored,
        ActionSpace::Buttons,
    ];
    let wishes: Vec<[f64; 3]> = (0..80)
        .map(|i| {
            let turn = f64::from(i);
            [(turn * 0.7).sin(), (turn * 0.31).cos(), if i % 13 < 6 { 1.0 } else { -0.8 }]
        })
        .collect();
    for space in spaces {
        let (mut plain, mut other) = (table(ActionSpace::Delta), table(space));
        for (number, wish) in wishes.iter().enumerate() {
            // Without the rounding of earlier steps.
            other.set_state(plain.state().clone()).unwrap();
            let action = other.action(*wish);
            assert_eq!(action.len(), space.dim());
            assert_eq!(action.len(), space.names().len());
            plain.step(&plain.action(*wish)).unwrap();
            other.step(&action).unwrap();
            let (a, b) = (plain.state().numbers(), other.state().numbers());
            let same = a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(same, "{space:?}, action {number}: {a:?} and {b:?}");
        }
    }
}

#[test]
fn a_target_is_reached_and_kept() {
    let mut table = table(ActionSpace::Target);
    (0..15).for_each(|_| table.step(&[0.5, -0.25, OPEN]).unwrap());
    assert!(apart(table.state().gripper, [0.725, 0.3875]) < 1e-7, "{:?}", table.state());
}

#[test]
fn a_goal_is_not_met_at_first_and_is_met_in_its_own_state() {
    let mut table = table(ActionSpace::Delta);
    for seed in 0..50 {
        table.reset(seed);
        for task in Task::ALL {
            let goal = table.goal(task, seed);
            assert!(!table.success(&goal), "{seed}: {goal:?} in {:?}", table.state());
            assert!(goal.met(&table.goal_state(&goal).unwrap()), "{seed}: {goal:?}");
        }
    }
    let mut table = set([0.5, 0.5], [[0.12, 0.88], [0.5, 0.9], [0.8, 0.9]]);
    let corner = |block| Goal::Corner { block, corner: Corner::NearLeft };
    assert!(table.success(&corner(0)) && !table.success(&corner(1)));
    assert_eq!(corner(0).text(), "put the red block into the near left corner");
    // Taken, off the table, not there.
    let at = |block, at| Goal::Block { block, at };
    for wrong in [corner(2), at(0, [0.5, 0.1]), at(0, [f64::NAN; 2]), at(7, [0.5; 2])] {
        assert!(matches!(table.goal_state(&wrong), Err(Error::Setting { .. })), "{wrong:?}");
    }
    // A block that is still held has not arrived.
    table.set_state(TabletopState { gripper: [0.12, 0.88], ..table.state().clone() }).unwrap();
    table.step(&[0.0, 0.0, CLOSED]).unwrap();
    assert!(!table.success(&corner(0)));
}

/// Whether two blocks are in one another by more than rounding.
fn overlap(a: [f64; 2], b: [f64; 2]) -> bool {
    let beyond = [0, 1].map(|axis| ((a[axis] - b[axis]).abs() - 0.1).max(0.0));
    beyond[0].hypot(beyond[1]) < 0.05 - 2e-6
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_done_everything_stays_on_the_table(
        seed in any::<u64>(),
        blocks in 1..5usize,
        step in 0.01..0.25f64,
        buttons in any::<bool>(),
        actions in proptest::collection::vec(proptest::collection::vec(-2f32..2.0, 5), 1..120),
        huge in any::<f32>(),
    ) {
        let space = if buttons { ActionSpace::Buttons } else { ActionSpace::Rotated { degrees: 45.0 } };
        let config = TabletopConfig { blocks, step, actions: space, ..TabletopConfig::tiny() };
        let mut table = Tabletop::new(config).unwrap();
        table.reset(seed);
        for (number, mut action) in actions.into_iter().enumerate() {
            action.truncate(space.dim());
            if number % 7 == 0 && huge.is_finite() {
                action[0] = huge;
            }
            table.step(&action).unwrap();
            let state = table.state().clone();
            let within = |at: f64, low: f64, high: f64| at >= low - 1e-6 && at <= high + 1e-6;
            prop_assert!(state.gripper.iter().all(|at| within(*at, 0.05, 0.95)), "{:?}", state);
            prop_assert!(within(state.slider, 0.0, 1.0) && within(state.grip, 0.0, 1.0));
            for (place, block) in state.blocks.iter().enumerate() {
                prop_assert!(within(block[0], 0.075, 0.925) && within(block[1], 0.235, 0.925), "{:?}", state);
                prop_assert!(state.blocks[..place].iter().all(|other| !overlap(*block, *other)), "{:?}", state);
            }
            // A state that came about is also one that can be set.
            table.set_state(state).unwrap();
        }
    }
}
