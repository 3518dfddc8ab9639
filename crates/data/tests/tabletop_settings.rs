//! What a tabletop refuses, and what survives being written.

use cola_data::Error;
use cola_data::tabletop::{
    ActionSpace, Corner, Goal, Held, Look, PolicyConfig, Tabletop, TabletopConfig, TabletopState,
};

fn table(actions: ActionSpace) -> Tabletop {
    Tabletop::new(TabletopConfig { actions, ..TabletopConfig::small() }).unwrap()
}

fn lying(gripper: [f64; 2], blocks: [[f64; 2]; 3]) -> TabletopState {
    TabletopState { gripper, grip: 0.0, held: None, blocks: blocks.to_vec(), slider: 0.5 }
}

#[test]
fn actions_that_are_no_numbers_are_refused_and_move_nothing() {
    for space in [ActionSpace::Delta, ActionSpace::Target, ActionSpace::Buttons] {
        let mut table = table(space);
        let before = table.state().clone();
        let fine = vec![0.3; space.dim()];
        for place in 0..space.dim() {
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut action = fine.clone();
                action[place] = wrong;
                let error = table.step(&action).unwrap_err();
                assert!(matches!(error, Error::Setting { field: "action", .. }), "{error}");
            }
        }
        let error = table.step(&fine[1..]).unwrap_err().to_string();
        assert!(error.contains(&format!("{} numbers", space.dim())), "{error}");
        assert_eq!(table.state(), &before);
    }
}

#[test]
fn states_that_cannot_be_are_refused() {
    let mut table = table(ActionSpace::Delta);
    let good = || lying([0.5, 0.5], [[0.2, 0.9], [0.5, 0.9], [0.8, 0.9]]);
    table.set_state(good()).unwrap();
    let blocks = |first: [f64; 2]| vec![first, [0.5, 0.9], [0.8, 0.9]];
    let wrong = [
        TabletopState { gripper: [f64::NAN, 0.5], ..good() },
        TabletopState { gripper: [0.5, 1.0], ..good() },
        TabletopState { grip: 1.5, ..good() },
        TabletopState { slider: f64::INFINITY, ..good() },
        TabletopState { blocks: vec![[0.5; 2]; 2], ..good() },
        TabletopState { blocks: blocks([0.2, 0.1]), ..good() },
        TabletopState { blocks: blocks([0.45, 0.85]), ..good() },
        TabletopState { held: Some(Held::Block(3)), grip: 1.0, ..good() },
        TabletopState { held: Some(Held::Block(0)), grip: 1.0, ..good() },
        TabletopState { held: Some(Held::Slider), gripper: [0.5, 0.08], ..good() },
        TabletopState { gripper: [0.5, 0.8], grip: 1.0, ..good() },
    ];
    for state in wrong {
        assert!(matches!(table.set_state(state.clone()), Err(Error::Setting { .. })), "{state:?}");
    }
    assert_eq!(table.state(), &good());
}

#[test]
fn configurations_that_cannot_be_are_refused_by_name() {
    let tiny = TabletopConfig::tiny;
    let policy = |noise, wander| PolicyConfig { noise, wander, rest: true };
    let wrong = [
        ("size", TabletopConfig { size: 7, ..tiny() }),
        ("size", TabletopConfig { size: 1025, ..tiny() }),
        ("blocks", TabletopConfig { blocks: 0, ..tiny() }),
        ("blocks", TabletopConfig { blocks: 5, ..tiny() }),
        ("step", TabletopConfig { step: f64::NAN, ..tiny() }),
        ("step", TabletopConfig { step: 0.3, ..tiny() }),
        ("frames", TabletopConfig { frames: 1, ..tiny() }),
        ("fps", TabletopConfig { fps: 0.0, ..tiny() }),
        ("degrees", TabletopConfig { actions: ActionSpace::Rotated { degrees: f64::NAN }, ..tiny() }),
        ("noise", TabletopConfig { policy: policy(-0.1, 0.0), ..tiny() }),
        ("wander", TabletopConfig { policy: policy(0.0, 1.1), ..tiny() }),
    ];
    for (name, config) in wrong {
        match Tabletop::new(config).err() {
            Some(Error::Setting { field, .. }) => assert!(field.contains(name), "{field} for {name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn configurations_states_and_goals_survive_being_written() {
    for actions in [ActionSpace::Buttons, ActionSpace::Rotated { degrees: 30.0 }] {
        for look in Look::ALL {
            let config = TabletopConfig { actions, look, ..TabletopConfig::small() };
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TabletopConfig>(&text).unwrap(), config);
            let unknown = text.replacen('{', "{\"colour\": 1, ", 1);
            assert!(serde_json::from_str::<TabletopConfig>(&unknown).is_err());
        }
    }
    let mut table = table(ActionSpace::Delta);
    table.set_state(lying([0.21, 0.88], [[0.2, 0.9], [0.5, 0.9], [0.8, 0.3]])).unwrap();
    for grip in [-1.0, 1.0] {
        table.step(&[0.0, 0.0, grip]).unwrap();
        let written = serde_json::to_string(table.state()).unwrap();
        assert_eq!(&serde_json::from_str::<TabletopState>(&written).unwrap(), table.state());
    }
    let goals = [
        Goal::Gripper { at: [0.25, 0.5] },
        Goal::Block { block: 1, at: [0.3, 0.7] },
        Goal::Corner { block: 2, corner: Corner::FarRight },
        Goal::Slider { open: true },
    ];
    for goal in goals {
        let written = serde_json::to_string(&goal).unwrap();
        assert_eq!(serde_json::from_str::<Goal>(&written).unwrap(), goal);
    }
}
