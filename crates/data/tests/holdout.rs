//! Dividing a data set into what is trained on and what is held out.

mod support {
    pub(crate) mod memory;
}

use cola_data::{Division, Error, Exclusion, Exclusions, Holdout, Run};
use support::memory::Memory;

fn holdout(every: usize) -> Holdout {
    Holdout { split: "valid".into(), every }
}

fn with_splits(lengths: &[usize], splits: &[(&str, &[usize])]) -> Memory {
    let mut dataset = Memory::new(lengths, 10.0);
    dataset.splits = splits.iter().map(|(name, episodes)| ((*name).into(), episodes.to_vec())).collect();
    dataset
}

/// Episodes of the two parts.
fn episodes(division: &Division) -> (Vec<usize>, Vec<usize>) {
    let of = |runs: &[Run]| runs.iter().map(|run| run.episode).collect();
    (of(&division.train), of(&division.held_out))
}

#[test]
fn a_data_set_that_defines_both_is_taken_at_its_word() {
    let dataset = with_splits(&[5; 6], &[("train", &[0, 1, 4]), ("valid", &[2]), ("test", &[3, 5])]);
    for every in [0, 2, 10] {
        let division = holdout(every).divide(&dataset).unwrap();
        assert_eq!((episodes(&division), division.own), ((vec![0, 1, 4], vec![2]), true));
    }
}

#[test]
fn every_so_many_episodes_are_held_out_where_no_split_says_so() {
    let division = holdout(3).divide(&with_splits(&[5; 7], &[])).unwrap();
    assert_eq!((episodes(&division), division.own), ((vec![0, 1, 3, 4, 6], vec![2, 5]), false));
    // Only the training split is divided.
    let division =
        holdout(2).divide(&with_splits(&[5; 7], &[("train", &[0, 2, 3, 6]), ("test", &[1])])).unwrap();
    assert_eq!(episodes(&division), (vec![0, 3], vec![2, 6]));
    // Fewer episodes than that: the last one.
    let division = holdout(10).divide(&with_splits(&[5; 3], &[])).unwrap();
    assert_eq!(episodes(&division), (vec![0, 1], vec![2]));
}

#[test]
fn what_is_held_out_by_name_is_never_trained_on() {
    let division = holdout(10).divide(&with_splits(&[5; 4], &[("valid", &[1, 2])])).unwrap();
    assert_eq!(episodes(&division), (vec![0, 3], vec![1, 2]));
}

#[test]
fn what_is_kept_for_testing_is_never_trained_on() {
    let dataset = with_splits(&[5; 6], &[("test", &[0, 1]), ("20_percent", &[2])]);
    let division = holdout(2).divide(&dataset).unwrap();
    assert_eq!(episodes(&division), (vec![2, 4], vec![3, 5]));
}

#[test]
fn one_episode_is_cut_in_time() {
    let division = holdout(10).divide(&with_splits(&[95], &[])).unwrap();
    assert_eq!(division.train, [Run { episode: 0, frames: 0..85 }]);
    assert_eq!(division.held_out, [Run { episode: 0, frames: 85..95 }]);
}

#[test]
fn divisions_that_leave_nothing_are_refused() {
    for (lengths, every) in [(&[5; 3][..], 1), (&[], 10)] {
        let error = holdout(every).divide(&with_splits(lengths, &[])).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
    }
}

#[test]
fn what_a_list_excludes_is_cut_out_of_runs() {
    let dataset = with_splits(&[10, 10, 10], &[]);
    let exclude = |episode: usize, name: &str, frames| Exclusion {
        episode,
        name: name.into(),
        frames,
        reason: "a test".into(),
    };
    let list =
        Exclusions { episodes: vec![exclude(0, "episode 0", Some(4..6)), exclude(2, "episode 2", None)] };
    let runs = vec![
        Run { episode: 0, frames: 0..5 },
        Run { episode: 0, frames: 5..10 },
        Run { episode: 1, frames: 0..10 },
        Run { episode: 2, frames: 0..10 },
    ];
    let kept = Run::without(runs.clone(), &dataset, &list).unwrap();
    let expected = [(0, 0..4), (0, 6..10), (1, 0..10)];
    assert_eq!(kept, expected.map(|(episode, frames)| Run { episode, frames }));

    let other = Exclusions { episodes: vec![exclude(1, "demo_1", None)] };
    let error = Run::without(runs.clone(), &dataset, &other).unwrap_err();
    assert!(error.to_string().contains("demo_1") && error.to_string().contains("episode 1"), "{error}");
    let longer = Exclusions { episodes: vec![exclude(1, "episode 1", Some(8..11))] };
    let error = Run::without(runs, &dataset, &longer).unwrap_err();
    assert!(error.to_string().contains("8..11") && error.to_string().contains("below 10"), "{error}");
}
