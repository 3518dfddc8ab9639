//! The tabletop's pictures: what they show, and how fast.

use std::time::Instant;

use cola_data::Error;
use cola_data::tabletop::{Goal, Look, Tabletop, TabletopConfig, TabletopState};

fn table(look: Look) -> Tabletop {
    Tabletop::new(TabletopConfig { look, ..TabletopConfig::small() }).unwrap()
}

fn picture(table: &Tabletop) -> Vec<u8> {
    let mut rgb = vec![0; table.picture_len()];
    table.render(&mut rgb).unwrap();
    rgb
}

/// Centre of what differs between two pictures in a window of columns and rows, pixels.
fn centre(of: &[u8], without: &[u8], size: usize, window: [[usize; 2]; 2]) -> [f64; 2] {
    let (mut mass, mut sum) = (0.0, [0.0; 2]);
    let [columns, rows] = window;
    for row in rows[0]..rows[1] {
        for column in columns[0]..columns[1] {
            let at = (row * size + column) * 3;
            let weight: f64 = (at..at + 3).map(|i| f64::from(of[i]) - f64::from(without[i])).sum();
            mass += weight;
            sum[0] += weight * (column as f64 + 0.5);
            sum[1] += weight * (row as f64 + 0.5);
        }
    }
    sum.map(|sum| sum / mass)
}

#[test]
fn movements_below_a_pixel_show_as_what_they_are() {
    let mut table = table(Look::Plain);
    let blocks = vec![[0.1, 0.3], [0.1, 0.6], [0.1, 0.9]];
    let start = TabletopState { gripper: [0.9, 0.9], grip: 0.0, held: None, blocks, slider: 0.5 };
    table.set_state(start.clone()).unwrap();
    let without = picture(&table);
    table.set_state(TabletopState { gripper: [0.5, 0.5], ..start }).unwrap();
    let window = [[16, 52], [12, 50]];
    let pixels = 64.0 * 0.96;
    let from = table.state().gripper;
    let first = centre(&picture(&table), &without, 64, window);
    for step in 0..40 {
        let action = if step % 2 == 0 { [0.1, 0.07, -1.0] } else { [-0.06, 0.03, -1.0] };
        table.step(&action).unwrap();
        let shown = centre(&picture(&table), &without, 64, window);
        for axis in 0..2 {
            let moved = (table.state().gripper[axis] - from[axis]) * pixels;
            let seen = shown[axis] - first[axis];
            assert!((seen - moved).abs() < 0.06, "step {step}: {seen} px for {moved} px");
        }
    }
}

#[test]
fn looks_change_pictures_and_nothing_else() {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut states = Vec::new();
    for look in Look::ALL {
        let mut table = table(look);
        table.reset(5);
        for step in 0..20 {
            let turn = f64::from(step);
            let action = table.action([turn.sin(), (turn * 0.4).cos(), if step > 9 { 1.0 } else { -1.0 }]);
            table.step(&action).unwrap();
        }
        states.push(table.state().clone());
        let new = picture(&table);
        for old in &seen {
            let differ = old.iter().zip(&new).filter(|(a, b)| a != b).count();
            assert!(differ > new.len() / 2, "{look:?}: {differ} of {} values", new.len());
        }
        seen.push(new);
    }
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_random_look_is_drawn_from_the_seed() {
    let mut table = table(Look::Random);
    let mut of = |seed| {
        table.reset(seed);
        picture(&table)
    };
    let first = of(1);
    assert_ne!(first, of(2));
    assert_eq!(first, of(1));
}

#[test]
fn whatever_moves_a_third_of_a_pixel_changes_the_picture() {
    for look in [Look::Plain, Look::Dark, Look::Wood, Look::Tilted] {
        let mut table = Tabletop::new(TabletopConfig { look, ..TabletopConfig::tiny() }).unwrap();
        for seed in 0..20 {
            let state = table.reset(seed).clone();
            let before = picture(&table);
            let toward = |at: f64| if at < 0.5 { at + 0.011 } else { at - 0.011 };
            let mut others = vec![
                TabletopState { gripper: state.gripper.map(toward), ..state.clone() },
                TabletopState { slider: toward(state.slider), ..state.clone() },
                TabletopState { grip: 0.3, ..state.clone() },
            ];
            for block in 0..2 {
                let mut other = state.clone();
                other.blocks[block] = other.blocks[block].map(toward);
                others.push(other);
            }
            for other in others {
                // A block that was moved into its neighbour is no state.
                if table.set_state(other.clone()).is_ok() {
                    assert_ne!(picture(&table), before, "{look:?}, seed {seed}: {other:?}");
                }
            }
        }
    }
}

#[test]
fn nothing_of_the_picture_before_remains() {
    let mut table = table(Look::Tilted);
    table.reset(3);
    let mut rgb = vec![171; table.picture_len()];
    table.render(&mut rgb).unwrap();
    assert_eq!(rgb, picture(&table));
}

#[test]
fn a_goal_picture_shows_the_goal_state() {
    let mut table = table(Look::Wood);
    table.reset(4);
    let goal = Goal::Slider { open: true };
    let mut rgb = vec![0; table.picture_len()];
    table.render_goal(&goal, &mut rgb).unwrap();
    assert_ne!(rgb, picture(&table));
    table.set_state(table.goal_state(&goal).unwrap()).unwrap();
    assert_eq!(rgb, picture(&table));
}

#[test]
fn a_buffer_of_another_length_is_refused() {
    let table = table(Look::Plain);
    for length in [0, table.picture_len() - 1, table.picture_len() + 1] {
        let error = table.render(&mut vec![0; length]).unwrap_err();
        assert!(matches!(error, Error::Setting { field: "rgb", .. }), "{error}");
    }
}

#[test]
fn every_size_can_be_drawn() {
    for size in [8, 9, 31, 100, 257] {
        for look in Look::ALL {
            let mut table = Tabletop::new(TabletopConfig { size, look, ..TabletopConfig::small() }).unwrap();
            table.reset(size as u64);
            let before = picture(&table);
            let [x, y] = table.state().gripper;
            let away = [if x < 0.5 { x + 0.3 } else { x - 0.3 }, y];
            table.set_state(TabletopState { gripper: away, ..table.state().clone() }).unwrap();
            assert_ne!(picture(&table), before, "{size} pixels, {look:?}");
        }
    }
}

/// Run with `cargo test --release -p cola-data --test tabletop_pictures -- --ignored --nocapture`.
#[test]
#[ignore = "prints how fast pictures are drawn; says nothing in a build without optimisation"]
fn frames_drawn_per_second() {
    for (name, config) in [("32 x 32", TabletopConfig::tiny()), ("64 x 64", TabletopConfig::small())] {
        for look in [Look::Plain, Look::Tilted] {
            let mut table = Tabletop::new(TabletopConfig { look, ..config.clone() }).unwrap();
            let mut rgb = vec![0; table.picture_len()];
            let actions: Vec<Vec<f32>> = (0..997)
                .map(|i| {
                    let turn = f64::from(i) * 0.1;
                    table.action([turn.sin(), (turn * 0.7).cos(), (turn * 0.3).sin()])
                })
                .collect();
            let (frames, start) = (20_000, Instant::now());
            let mut sum = 0u64;
            for action in actions.iter().cycle().take(frames) {
                table.step(action).unwrap();
                table.render(&mut rgb).unwrap();
                sum += u64::from(rgb[1000]);
            }
            let rate = frames as f64 / start.elapsed().as_secs_f64();
            println!("{name}, {look:?}: {rate:.0} steps with picture a second ({sum})");
        }
    }
}
