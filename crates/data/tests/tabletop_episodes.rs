//! Recorded episodes of the tabletop: repeatable to the bit, true to their actions, and mostly successful.

use std::sync::Arc;

use candle_core::Device;
use cola_data::tabletop::{
    ActionSpace, Look, PolicyConfig, Tabletop, TabletopClips, TabletopConfig, TabletopEpisode, Task,
};
use cola_data::{Clip, ClipSource, CropConfig, Error, Loader, LoaderConfig};

fn table(config: TabletopConfig) -> Tabletop {
    Tabletop::new(config).unwrap()
}

/// FNV-1a over pictures, actions and states.
fn checksum(episode: &TabletopEpisode) -> u64 {
    let numbers = episode.actions.iter().chain(&episode.states).flat_map(|number| number.to_le_bytes());
    episode
        .frames
        .rgb
        .iter()
        .copied()
        .chain(numbers)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let expected = [
        (Look::Plain, ActionSpace::Delta, 0xe639_729e_48fd_2094),
        (Look::Dark, ActionSpace::Target, 0xaacd_7875_0b24_59c3),
        (Look::Wood, ActionSpace::Mirrored, 0x39b2_34c0_083b_8dc3),
        (Look::Tilted, ActionSpace::Rotated { degrees: 30.0 }, 0xd367_e89b_6fa7_76cc),
        (Look::Random, ActionSpace::Buttons, 0x3651_0c73_9af7_8e58),
    ];
    for (look, actions, sum) in expected {
        let table = table(TabletopConfig { look, actions, ..TabletopConfig::small() });
        let episodes = (0..4).map(|index| table.episode(11, index).unwrap());
        let found = episodes.fold(0, |sum, episode| sum ^ checksum(&episode));
        assert_eq!(found, sum, "{look:?}: found {found:#018x}");
    }
}

#[test]
fn an_episode_does_not_depend_on_what_was_done_before() {
    let config = TabletopConfig { look: Look::Random, ..TabletopConfig::tiny() };
    let mut used = table(config.clone());
    used.reset(99);
    used.step(&[1.0, 1.0, 1.0]).unwrap();
    let before = used.state().clone();
    assert_eq!(used.episode(3, 2).unwrap(), table(config).episode(3, 2).unwrap());
    assert_eq!(used.state(), &before);
    assert_ne!(used.episode(3, 2).unwrap(), used.episode(3, 1).unwrap());
    assert_ne!(used.episode(3, 2).unwrap(), used.episode(4, 2).unwrap());
}

#[test]
fn played_again_the_actions_give_the_states_and_pictures() {
    for actions in [ActionSpace::Delta, ActionSpace::Target, ActionSpace::Rotated { degrees: 70.0 }] {
        let config = TabletopConfig { actions, look: Look::Random, ..TabletopConfig::tiny() };
        let mut table = table(config.clone());
        for seed in 0..10 {
            let episode = table.episode(seed, 0).unwrap();
            assert_eq!(episode.frames.count, config.frames);
            assert_eq!(episode.actions.len(), config.frames * episode.action_dim);
            assert_eq!(episode.states.len(), config.frames * episode.state_dim);
            assert_eq!(episode.state_dim, table.state_names().len());
            table.reset(seed);
            let mut rgb = vec![0; table.picture_len()];
            let mut met = false;
            for (frame, action) in episode.actions.chunks(episode.action_dim).enumerate() {
                table.render(&mut rgb).unwrap();
                assert!(rgb == episode.frames.frame(frame), "{actions:?}, seed {seed}, frame {frame}");
                let states = &episode.states[frame * episode.state_dim..][..episode.state_dim];
                assert_eq!(table.state().numbers(), states);
                met |= episode.goal.is_some_and(|goal| table.success(&goal));
                table.step(action).unwrap();
            }
            assert_eq!(met, episode.success);
        }
    }
}

/// Share of 40 episodes in which the scripted hand does the task.
fn success(config: TabletopConfig, task: Task) -> f64 {
    // Small pictures only: nobody looks at them here.
    let table = table(TabletopConfig { size: 8, ..config });
    let done = (0..40).filter(|index| table.task_episode(task, 1, *index).unwrap().success).count();
    done as f64 / 40.0
}

#[test]
fn a_steady_hand_does_its_tasks() {
    for config in [TabletopConfig::tiny(), TabletopConfig::small()] {
        for task in Task::ALL {
            let least = if task == Task::Push { 0.7 } else { 0.9 };
            let share = success(TabletopConfig { policy: PolicyConfig::exact(), ..config.clone() }, task);
            assert!(share >= least, "{task:?} on {} blocks: {share}", config.blocks);
        }
    }
}

#[test]
fn an_unsteady_hand_still_does_most() {
    let shares = Task::ALL.map(|task| success(TabletopConfig::small(), task));
    assert!(shares.iter().all(|share| *share >= 0.6), "{:?}: {shares:?}", Task::ALL);
}

#[test]
fn episodes_show_everything_that_can_happen() {
    let table = table(TabletopConfig { size: 8, ..TabletopConfig::small() });
    let episodes: Vec<TabletopEpisode> = (0..80).map(|index| table.episode(5, index).unwrap()).collect();
    let wandering = episodes.iter().filter(|episode| episode.goal.is_none()).count();
    assert!((10..=30).contains(&wandering), "{wandering} of 80 wander, a quarter was asked for");
    let tasks: std::collections::BTreeSet<&str> =
        episodes.iter().map(|episode| episode.task.as_str()).collect();
    assert!(tasks.len() > 20, "{tasks:?}");
    // Number 4 of a state tells what is held, number 3 how far the slider is open.
    let rows = || episodes.iter().flat_map(|episode| episode.states.chunks(episode.state_dim));
    for held in 0..5 {
        let share = rows().filter(|state| state[4] == held as f32).count() as f64 / rows().count() as f64;
        assert!(share > 0.01, "held {held}: {share}");
    }
    assert!(rows().any(|state| state[3] > 0.95) && rows().any(|state| state[3] < 0.05));
    assert!(episodes.iter().flat_map(|episode| &episode.actions).all(|number| number.abs() <= 1.0));
}

#[test]
fn clips_are_windows_of_the_episodes() {
    let config = TabletopConfig { look: Look::Random, frames: 12, ..TabletopConfig::tiny() };
    let table = table(config);
    for (frames, stride) in [(4, 1), (3, 4), (1, 1), (12, 1)] {
        let clips = TabletopClips::new(table.clone(), 6, 5, frames, stride).unwrap();
        let windows = 12 - (frames - 1) * stride;
        assert_eq!((clips.len(), clips.frames_per_clip()), (5 * windows, frames));
        for index in [0, clips.len() / 2, clips.len() - 1] {
            let Clip { frames: pictures, actions, action_dim, episode, start } = clips.clip(index).unwrap();
            assert_eq!((episode as usize, start), (index / windows, index % windows));
            let whole = table.episode(6, episode).unwrap();
            assert_eq!((pictures.count, action_dim), (frames, 3 * stride));
            for frame in 0..frames {
                assert!(pictures.frame(frame) == whole.frames.frame(start + frame * stride), "frame {frame}");
            }
            assert_eq!(actions, whole.actions[start * 3..(start + (frames - 1) * stride) * 3]);
        }
        assert!(clips.clip(clips.len()).is_err());
    }
    let wrong =
        |episodes, frames, stride| TabletopClips::new(table.clone(), 6, episodes, frames, stride).err();
    assert!(matches!(wrong(0, 2, 1), Some(Error::Setting { field: "episodes", .. })));
    assert!(matches!(wrong(1, 0, 1), Some(Error::Setting { field: "frames", .. })));
    assert!(matches!(wrong(1, 2, 0), Some(Error::Setting { field: "frame_stride", .. })));
    assert!(matches!(wrong(1, 4, 4), Some(Error::ShortEpisode { found: 12, expected: 13, .. })));
    assert!(matches!(wrong(1, usize::MAX, 2), Some(Error::ShortEpisode { .. })));
}

#[test]
fn the_loader_makes_batches_of_clips() {
    let clips = TabletopClips::new(table(TabletopConfig::tiny()), 1, 4, 2, 2).unwrap();
    let config = LoaderConfig {
        batch: 6,
        lam_size: 28,
        world_size: 32,
        crop: CropConfig::paper(),
        crops: 0,
        budget: 0,
    };
    let loader = Loader::new(Arc::new(clips), config, 7).unwrap();
    let batch = loader.batch(0, true, &Device::Cpu).unwrap();
    assert_eq!(batch.world_view.dims(), [6, 2, 3, 32, 32]);
    assert_eq!(batch.lam_view.dims(), [6, 2, 3, 28, 28]);
}
