//! The drawn world: its actions are what the pictures show.

use cola_data::{Clip, ClipSource, DrawnConfig, DrawnWorld};

/// Centre of the square (right, down), in pixels: centre of mass above the background.
fn centre(clip: &Clip, frame: usize) -> [f64; 2] {
    let (size, pixels) = (clip.frames.width, clip.frames.frame(frame));
    let background = *pixels.iter().step_by(3).min().unwrap();
    let (mut mass, mut sum) = (0.0, [0.0; 2]);
    for (i, pixel) in pixels.chunks_exact(3).enumerate() {
        let weight = f64::from(pixel[0] - background);
        mass += weight;
        sum[0] += weight * ((i % size) as f64 + 0.5);
        sum[1] += weight * ((i / size) as f64 + 0.5);
    }
    sum.map(|sum| sum / mass)
}

#[test]
fn actions_move_the_square() {
    let config = DrawnConfig::tiny();
    let world = DrawnWorld::new(config.clone(), 3).unwrap();
    for index in 0..50 {
        let clip = world.clip(index).unwrap();
        assert_eq!(clip.actions.len(), (config.frames - 1) * clip.action_dim);
        for (step, action) in clip.actions.chunks(2).enumerate() {
            let (from, to) = (centre(&clip, step), centre(&clip, step + 1));
            for axis in 0..2 {
                let moved = (to[axis] - from[axis]) / config.speed;
                assert!(
                    (moved - f64::from(action[axis])).abs() < 0.02,
                    "clip {index}: {moved} for {}",
                    action[axis]
                );
                assert!(action[axis].abs() <= 1.0);
            }
        }
    }
}

#[test]
fn a_clip_is_a_pure_function_of_seed_and_index() {
    let world = |seed| DrawnWorld::new(DrawnConfig::tiny(), seed).unwrap();
    assert_eq!(world(1).clip(5).unwrap(), world(1).clip(5).unwrap());
    assert_ne!(world(1).clip(5).unwrap(), world(1).clip(6).unwrap());
    assert_ne!(world(1).clip(5).unwrap().frames, world(2).clip(5).unwrap().frames);
}

#[test]
fn sizes_that_cannot_be_drawn_are_refused() {
    let tiny = DrawnConfig::tiny;
    let wrong = [
        DrawnConfig { frames: 0, ..tiny() },
        DrawnConfig { square: 0, ..tiny() },
        DrawnConfig { square: 16, ..tiny() },
        DrawnConfig { speed: f64::NAN, ..tiny() },
    ];
    for config in wrong {
        assert!(DrawnWorld::new(config.clone(), 0).is_err(), "{config:?}");
    }
    let world = DrawnWorld::new(tiny(), 0).unwrap();
    assert!(world.clip(world.len()).is_err());
}
