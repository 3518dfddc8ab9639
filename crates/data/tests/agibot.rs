//! AgiBot World: folders, texts, videos and numbers as they were drawn.
#![cfg(feature = "hdf5")]

#[path = "support/hdf5.rs"]
mod hdf5;

use std::path::Path;

use cola_data::{AgiBot, Dataset, Error, Format, OpenOptions, detect, open};
use hdf5::{fixture, read};
use tempfile::TempDir;

/// A copy that may be changed.
fn copy() -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(std::fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("agibot"), folder.path());
    folder
}

fn opened(root: &Path) -> Result<AgiBot, Error> {
    AgiBot::open(root, &OpenOptions::default())
}

#[test]
fn episodes_are_those_on_disk() {
    assert_eq!(detect(&fixture("agibot")).unwrap(), Format::AgiBot);
    let agibot = open(&fixture("agibot"), &OpenOptions::default()).unwrap();
    let found: Vec<_> = agibot.episodes().iter().map(|e| (e.name.as_str(), e.frames, e.rate)).collect();
    assert_eq!(found, [("327/648642", 6, Some(30.0)), ("327/648649", 7, Some(30.0))]);
    let texts = ["Bag the apple", "Pick up the apple", "Put it into the bag"];
    assert_eq!(agibot.episodes()[0].texts, texts);
    let cameras: Vec<_> = agibot.cameras().iter().map(|camera| (camera.key.as_str(), camera.size)).collect();
    assert_eq!(cameras, [("hand_left_color", Some((32, 48))), ("head_color", Some((32, 48)))], "common ones");
    assert!(agibot.splits().is_empty());
    assert!(matches!(agibot.split("train"), Err(Error::Split { .. })));
}

#[test]
fn frame_numbers_are_those_of_the_video() {
    let agibot = opened(&fixture("agibot")).unwrap();
    let frames = read(&agibot, "head_color", 1, &[0, 3, 6]).unwrap();
    for (place, number) in [0, 3, 6].into_iter().enumerate() {
        let expected = 40 + 10 * number;
        let worst = frames.frame(place).iter().map(|&byte| (i32::from(byte) - expected).abs()).max();
        // Rounding of limited range to full and back, and of the codec.
        assert!(worst.unwrap() <= 3, "frame {number} is {worst:?} off");
    }
    assert!(matches!(read(&agibot, "back_left_fisheye_color", 0, &[0]), Err(Error::Camera { .. })));
}

#[test]
fn parts_stand_in_the_order_of_the_public_converter() {
    let agibot = opened(&fixture("agibot")).unwrap();
    let rows = &agibot.rows(&[0]).unwrap()[0];
    assert_eq!((rows.state_dim, rows.action_dim), (20, 22));
    let state = |frame: usize, part: usize, j: usize| (100 * part + frame) as f32 + j as f32 / 8.0;
    for frame in 0..6 {
        let joints = (0..14).map(|j| state(frame, 0, j));
        let others = (1..4).flat_map(|part| (0..2).map(move |j| state(frame, part, j)));
        let states: Vec<f32> = joints.chain(others).collect();
        assert_eq!(rows.states[frame * 20..(frame + 1) * 20], states);
        let mut actions: Vec<f32> = states.iter().map(|state| state + 0.5).collect();
        actions.extend([0.25 * frame as f32, 0.25 * (frame as f32 + 0.125)]);
        assert_eq!(rows.actions[frame * 22..(frame + 1) * 22], actions);
    }
    assert_eq!(rows.times[0], 0.0);
    assert!((rows.times[3] - 0.1).abs() < 1e-6, "nanoseconds: {:?}", rows.times);
}

#[test]
fn frames_without_a_command_keep_the_state() {
    let agibot = opened(&fixture("agibot")).unwrap();
    let rows = &agibot.rows(&[1]).unwrap()[0];
    assert_eq!(rows.action_dim, 22);
    for frame in 0..7 {
        let sent = [0, 2, 3, 6].contains(&frame);
        let (action, state) = (rows.actions[frame * 22], rows.states[frame * 20]);
        assert_eq!(action - state, if sent { 0.5 } else { 0.0 }, "frame {frame}");
        let waist = &rows.actions[frame * 22 + 18..frame * 22 + 20];
        assert_eq!(waist, [0.0, 0.0], "an empty part");
    }
}

#[test]
fn videos_and_rows_of_other_lengths_are_refused() {
    let folder = copy();
    let videos = folder.path().join("observations/327");
    std::fs::copy(videos.join("648642/videos/head_color.mp4"), videos.join("648649/videos/head_color.mp4"))
        .unwrap();
    let agibot = opened(folder.path()).unwrap();
    let error = read(&agibot, "head_color", 1, &[0]).err().unwrap().to_string();
    assert!(error.contains("6 pictures") && error.contains('7'), "{error}");
    assert!(read(&agibot, "hand_left_color", 1, &[6]).is_ok());
}

#[test]
fn without_proprio_stats_pictures_and_texts_remain() {
    let folder = copy();
    std::fs::remove_dir_all(folder.path().join("proprio_stats/327/648642")).unwrap();
    let missing = opened(folder.path()).err().unwrap();
    assert!(matches!(missing, Error::MissingFile { .. }), "{missing}");
    std::fs::remove_dir_all(folder.path().join("proprio_stats")).unwrap();
    let agibot = opened(folder.path()).unwrap();
    assert_eq!(agibot.episodes()[1].frames, 7);
    let rows = &agibot.rows(&[1]).unwrap()[0];
    assert_eq!((rows.action_dim, rows.state_dim, rows.times[3]), (0, 0, 0.1));
}

#[test]
fn damaged_task_info_and_missing_folders_are_named() {
    let folder = copy();
    let info = folder.path().join("task_info/task_327.json");
    std::fs::write(&info, "[{\"episode_id\": ").unwrap();
    assert!(matches!(opened(folder.path()).err().unwrap(), Error::Json { file, .. } if file == info));
    std::fs::remove_file(&info).unwrap();
    assert!(opened(folder.path()).unwrap().episodes()[0].texts.is_empty());
    std::fs::remove_dir_all(folder.path().join("observations/327")).unwrap();
    assert!(matches!(opened(folder.path()), Err(Error::MissingFile { .. })));
    assert!(matches!(opened(Path::new("no/such/folder")), Err(Error::MissingFolder { .. })));
}
