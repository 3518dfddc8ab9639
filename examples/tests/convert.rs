//! `dataset convert` on sets that do not fit the target as they are.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use cola_data::{
    Camera, Dataset, EpisodeData, Frames, LeRobot, Region, Rows, ShardLayout, ShardWriter, Shards, Stretch,
    View,
};
use support::{fails, program, succeeds};

const SIDE: usize = 16;

/// An episode of 10 frames per second at these times.
fn episode(name: &str, times: Vec<f64>, actions: Vec<f32>) -> EpisodeData {
    let frames = times.len();
    let action_dim = actions.len() / frames;
    let rgb = (0..frames).flat_map(|frame| vec![10 * frame as u8; SIDE * SIDE * 3]).collect();
    let pictures = Frames { count: frames, height: SIDE, width: SIDE, rgb };
    EpisodeData {
        name: name.into(),
        rate: Some(10.0),
        texts: vec![],
        rows: Rows { times, actions, action_dim, ..Rows::default() },
        pictures: vec![("top".into(), pictures)],
    }
}

fn even(frames: usize) -> Vec<f64> {
    (0..frames).map(|frame| frame as f64 * 0.1).collect()
}

/// Converts a set of these episodes; it lies in `<root>/set`, the result in `<root>/out`.
fn convert(root: &Path, episodes: &[EpisodeData], splits: &[(&str, &[usize])], more: &[&str]) -> Output {
    let (set, out) = (root.join("set"), root.join("out"));
    let cameras = vec![Camera { key: "top".into(), size: Some((SIDE, SIDE)) }];
    let action_dim = episodes[0].rows.action_dim;
    let layout = ShardLayout { cameras, action_dim, state_dim: 0, shard_bytes: ShardLayout::SHARD_BYTES };
    let mut writer = ShardWriter::create(&set, &layout).expect("a writer");
    episodes.iter().for_each(|episode| writer.push(episode.clone()).expect("an episode"));
    let splits: BTreeMap<_, _> =
        splits.iter().map(|(name, episodes)| ((*name).to_owned(), episodes.to_vec())).collect();
    writer.finish(&splits).expect("a set");
    let mut program = program("dataset");
    program.arg("convert").arg(&set).arg("--out").arg(&out).args(more);
    program.output().expect("the program starts")
}

/// Brightness of the frames of an episode in tens: their numbers in the source.
fn numbers(set: &dyn Dataset, episode: usize) -> Vec<u8> {
    let view = View { region: Region::FULL, height: SIDE, width: SIDE };
    let stretch = Stretch { episode, frames: (0..set.episodes()[episode].frames).collect() };
    let frames = set.read(&set.cameras()[0].key, &stretch, &view).expect("pictures");
    (0..frames.count).map(|frame| frames.frame(frame)[0] / 10).collect()
}

fn lerobot(root: &Path) -> LeRobot {
    LeRobot::open(&root.join("out")).expect("a set")
}

#[test]
fn frames_at_irregular_times_are_sampled_where_there_are_no_actions() {
    let root = tempfile::tempdir().expect("a folder");
    let irregular = episode("film", vec![0.0, 0.1, 0.13, 0.2, 0.5], vec![]);
    let told = succeeds(&convert(root.path(), &[irregular], &[], &["--png"]));
    assert!(told.contains("1 episodes have irregular times"), "{told}");
    assert_eq!(numbers(&lerobot(root.path()), 0), [0, 1, 3, 3, 4, 4]);
    // A rate that is as good as the stored one does not hide it.
    let root = tempfile::tempdir().expect("a folder");
    let irregular = episode("film", vec![0.0, 0.1, 0.13, 0.2], vec![]);
    succeeds(&convert(root.path(), &[irregular], &[], &["--png", "--fps", "10.001"]));
    assert_eq!(numbers(&lerobot(root.path()), 0), [0, 1, 3]);
}

#[test]
fn episodes_with_actions_are_cut_at_gaps() {
    let root = tempfile::tempdir().expect("a folder");
    let times = vec![0.0, 0.1, 0.2, 0.9, 1.0, 1.1];
    let gap = episode("demo", times, (0..6).map(|action| action as f32).collect());
    let told = succeeds(&convert(root.path(), &[gap], &[("train", &[0])], &["--png"]));
    assert!(told.contains("1 gaps in time"), "{told}");
    let set = lerobot(root.path());
    assert_eq!((numbers(&set, 0), numbers(&set, 1)), (vec![0, 1, 2], vec![3, 4, 5]));
    let rows = set.rows(&[0, 1]).expect("rows");
    assert_eq!((&rows[0].actions[..], &rows[1].actions[..]), (&[0.0, 1.0, 2.0][..], &[3.0, 4.0, 5.0][..]));
    assert_eq!(set.split("train").expect("a split"), [0, 1]);
}

#[test]
fn a_clock_that_trembles_is_made_even() {
    let root = tempfile::tempdir().expect("a folder");
    let uneven = episode("demo", vec![0.0, 0.12, 0.2, 0.31, 0.4], vec![0.5; 5]);
    let told = succeeds(&convert(root.path(), &[uneven], &[], &["--png"]));
    assert!(told.contains("1 episodes have uneven times") && told.contains("more than 0.020 s"), "{told}");
    let times = &lerobot(root.path()).rows(&[0]).expect("rows")[0].times;
    assert!(times.iter().zip(even(5)).all(|(found, even)| (found - even).abs() < 1e-6), "{times:?}");
}

#[test]
fn actions_at_times_that_are_not_those_of_the_rate_are_refused() {
    for times in [vec![0.0, 0.1, 0.13, 0.2, 0.3], (0..8).map(|frame| frame as f64 * 0.2).collect()] {
        let root = tempfile::tempdir().expect("a folder");
        let actions = vec![0.5; times.len()];
        let output = convert(root.path(), &[episode("demo", times, actions)], &[], &[]);
        fails(&output, &["demo: frame", "10 frames per second put it at", "meta/info.json"]);
        assert!(!root.path().join("out").exists());
    }
}

#[test]
fn an_unknown_rate_is_asked_for() {
    let unknown = EpisodeData { rate: None, ..episode("demo", even(4), vec![]) };
    for more in [&["--fps", "5"][..], &[]] {
        let root = tempfile::tempdir().expect("a folder");
        let output = convert(root.path(), std::slice::from_ref(&unknown), &[], more);
        fails(&output, &["--rate"]);
        assert!(!more.is_empty() || !String::from_utf8_lossy(&output.stderr).contains("--fps"));
    }
}

#[test]
fn only_the_last_action_may_be_no_number() {
    let root = tempfile::tempdir().expect("a folder");
    let last = episode("demo", even(3), vec![1.0, 2.0, f32::NAN]);
    let only = episode("short", even(1), vec![f32::INFINITY]);
    succeeds(&convert(root.path(), &[last, only], &[], &["--png"]));
    let rows = lerobot(root.path()).rows(&[0, 1]).expect("rows");
    assert_eq!((&rows[0].actions[..], &rows[1].actions[..]), (&[1.0, 2.0, 2.0][..], &[0.0][..]));
    let root = tempfile::tempdir().expect("a folder");
    let inner = episode("demo", even(3), vec![1.0, f32::NAN, 3.0]);
    let output = convert(root.path(), &[inner], &[], &[]);
    fails(&output, &["demo: NaN in the actions of frame 1", "dataset validate --repair"]);
}

#[test]
fn what_the_target_does_not_hold_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    let texts = vec!["open".into(), "open the drawer".into()];
    let two = EpisodeData { texts, ..episode("demo", even(3), vec![]) };
    let splits: [(&str, &[usize]); 2] = [("train", &[0]), ("val", &[0])];
    let told = succeeds(&convert(root.path(), &[two], &splits, &["--rate", "7"]));
    assert!(told.contains("1 episodes have more than one text"), "{told}");
    assert!(told.contains("--rate 7 is ignored"), "{told}");
    assert!(!told.contains("no episodes left"), "{told}");
    assert_eq!(lerobot(root.path()).episodes()[0].texts, ["open"]);
}

#[test]
fn an_episode_too_large_for_memory_is_refused_and_others_are_read_in_parts() {
    let root = tempfile::tempdir().expect("a folder");
    let whole = episode("film", even(20), vec![]);
    let output =
        convert(root.path(), std::slice::from_ref(&whole), &[], &["--to", "shards", "--side", "12000"]);
    fails(&output, &["film", "at most 4 GiB", "--side", "--fps"]);
    // Fewer than twenty of these pictures are read at once.
    let root = tempfile::tempdir().expect("a folder");
    succeeds(&convert(root.path(), &[whole], &[], &["--to", "shards", "--side", "1200"]));
    let set = Shards::open(&root.path().join("out")).expect("a set");
    assert_eq!(numbers(&set, 0), (0..20).collect::<Vec<u8>>());
}
