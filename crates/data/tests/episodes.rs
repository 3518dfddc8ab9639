//! Decoded episodes: the right frames, the right actions, all windows; and damaged or foreign videos.

mod support;

use std::path::Path;

use cola_data::{Clip, ClipOptions, ClipSource, EpisodeClips, Error, LeRobot, Region, Run};
use serde_json::json;
use support::{Column, FRAMES, ROBODESK, Toy, load, options, set};

/// Numbers of the pictures in a clip of the toy set, from their brightness.
fn pictures(clip: &Clip) -> Vec<usize> {
    let brightness = |frame: usize| {
        let pixels = clip.frames.frame(frame);
        pixels.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels.len() as f64
    };
    (0..clip.frames.count).map(|frame| ((brightness(frame) - 20.0) / 8.0).round() as usize).collect()
}

#[test]
fn frames_are_exact_with_b_frames_and_several_files() {
    let clips = Toy::new().write().load("train", FRAMES).unwrap();
    assert_eq!((clips.len(), clips.runs()), (3, 3));
    for episode in 0..3 {
        let clip = clips.clip(episode).unwrap();
        assert_eq!(pictures(&clip), Vec::from_iter(episode * FRAMES..(episode + 1) * FRAMES));
        assert_eq!(
            (clip.frames.height, clip.frames.width),
            (32, 48),
            "shape is (channels, height, width) here"
        );
    }
    let clip = Toy::new().write().load("valid", FRAMES).unwrap().clip(0).unwrap();
    assert_eq!((clip.episode, pictures(&clip)), (3, (18..24).collect()));
}

#[test]
fn actions_belong_to_their_frames_whatever_the_order_of_rows() {
    let clips = Toy::new().write().load("train", 3).unwrap();
    let clip = clips.run_clip(2, 1, 3).unwrap();
    assert_eq!((clip.action_dim, clip.episode, clip.start), (2, 2, 1));
    assert_eq!(clip.actions, [2.0, 1.0, 2.0, 2.0], "actions of frames 1 and 2 lead to frames 2 and 3");
    assert_eq!(pictures(&clip), [13, 14, 15]);
}

#[test]
fn every_start_makes_a_clip() {
    let clips = Toy::new().write().load("train", 2).unwrap();
    assert_eq!(clips.len(), 3 * 5);
    let starts: Vec<_> =
        (0..15).map(|i| clips.clip(i).unwrap()).map(|clip| (clip.episode, clip.start)).collect();
    let expected: Vec<_> = (0..3).flat_map(|episode| (0..5).map(move |start| (episode, start))).collect();
    assert_eq!(starts, expected);
    assert!(matches!(clips.clip(15), Err(Error::Setting { .. })));
    assert_eq!(clips.with_frames(4).unwrap().len(), 3 * 3);
    assert_eq!(clips.run(0).unwrap().0.frames, 0..FRAMES);
    assert!(clips.run(3).is_err());
}

#[test]
fn a_stride_skips_frames_and_keeps_their_actions() {
    let toy = Toy::new().write();
    let strided = ClipOptions { frame_stride: 2, ..options(3) };
    let dataset = LeRobot::open(toy.root()).unwrap();
    let clips = load(&dataset, "train", &strided).unwrap();
    assert_eq!(clips.len(), 3 * 2);
    let clip = clips.clip(1).unwrap();
    assert_eq!(pictures(&clip), [1, 3, 5]);
    assert_eq!(clip.action_dim, 4);
    assert_eq!(clip.actions, [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0]);
    assert!(matches!(clips.with_frames(4), Err(Error::ShortEpisode { found: 6, expected: 7, .. })));
}

#[test]
fn clips_longer_than_episodes_name_both_lengths() {
    let error = Toy::new().write().load("train", 7).err().unwrap();
    assert!(error.to_string().starts_with("an episode has 6 frames, clips need 7"), "{error}");
    let clips = Toy::new().write().load("train", FRAMES).unwrap();
    let error = clips.run_clip(0, 4, 3).unwrap_err();
    assert!(matches!(error, Error::ShortEpisode { found: 2, expected: 3, .. }), "{error}");
    assert!(clips.run_clip(0, usize::MAX, 2).is_err());
    assert!(clips.with_frames(0).is_err());
}

#[test]
fn data_without_actions_have_action_dim_0_and_scalar_actions_1() {
    let mut toy = Toy::new();
    toy.info["features"].as_object_mut().unwrap().remove("action");
    let clip = toy.write().load("train", 2).unwrap().clip(0).unwrap();
    assert_eq!((clip.action_dim, clip.actions.len()), (0, 0));

    let mut toy = Toy::new();
    toy.info["features"]["action"]["shape"] = json!([1]);
    for data in &mut toy.data {
        set(data, "action", Some(Column::Doubles(vec![0.5; 12])));
    }
    let clip = toy.write().load("train", 3).unwrap().clip(0).unwrap();
    assert_eq!((clip.action_dim, clip.actions), (1, vec![0.5, 0.5]));
}

#[test]
fn region_and_store_set_the_size_that_is_kept() {
    let toy = Toy::new().write();
    let dataset = LeRobot::open(toy.root()).unwrap();
    let region = Region { top: 0.25, left: 0.5, height: 0.5, width: 0.5 };
    for (store, kept) in [(128, (16, 24)), (20, (16, 20)), (8, (8, 8))] {
        let options = ClipOptions { region, store, ..options(2) };
        let clips = load(&dataset, "valid", &options).unwrap();
        let clip = clips.clip(0).unwrap();
        assert_eq!((clip.frames.height, clip.frames.width), kept);
        assert_eq!(pictures(&clip), [18, 19]);
    }
    for (region, store) in
        [(Region { width: 0.0, ..region }, 128), (Region { top: 0.6, ..region }, 128), (region, 0)]
    {
        let options = ClipOptions { region, store, ..options(2) };
        assert!(load(&dataset, "valid", &options).is_err());
    }
}

#[test]
fn the_shipped_videos_decode_completely() {
    let robodesk = LeRobot::open(Path::new(ROBODESK)).unwrap();
    let mut heard = Vec::new();
    let clips = EpisodeClips::load(
        &robodesk,
        &Run::whole(&robodesk, &Vec::from_iter(560..600)).unwrap(),
        &options(16),
        &mut |done, all| heard.push((done, all)),
    )
    .unwrap();
    assert_eq!(clips.len(), 40);
    assert_eq!((heard.first(), heard.last()), (Some(&(0, 640)), Some(&(640, 640))));
    assert!(heard.is_sorted());
    let clip = clips.clip(3).unwrap();
    assert_eq!((clip.frames.count, clip.frames.height, clip.frames.width), (16, 128, 128));
    assert_eq!((clip.action_dim, clip.actions.len()), (5, 15 * 5));
    assert!(clip.actions.iter().all(|action| action.abs() <= 1.0));
}

#[test]
fn missing_and_mistyped_columns_are_named() {
    let mut toy = Toy::new();
    set(&mut toy.data[1], "timestamp", None);
    let toy = toy.write();
    let error = toy.load("train", 2).err().unwrap();
    let Error::MissingColumn { file, column, found } = error else { panic!("{error}") };
    assert_eq!((file, column.as_str()), (toy.data_file(1), "timestamp"));
    assert!(found.contains(&"action".to_owned()));

    let mut toy = Toy::new();
    set(&mut toy.data[0], "action", Some(Column::Texts(vec!["left"; 12])));
    let error = toy.write().load("train", 2).err().unwrap();
    assert!(matches!(&error, Error::ColumnType { column, .. } if column == "action"), "{error}");

    let mut toy = Toy::new();
    set(&mut toy.data[0], "action", Some(Column::Lists(3, vec![0.0; 36])));
    let error = toy.write().load("train", 2).err().unwrap();
    assert!(error.to_string().contains("2 in each row"), "{error}");
}

#[test]
fn rows_of_other_episodes_are_refused() {
    let rows: Vec<i64> = (0..12).rev().collect();
    for (name, values) in [("index", vec![3; 12]), ("frame_index", rows.clone()), ("episode_index", rows)] {
        let mut toy = Toy::new();
        set(&mut toy.data[0], name, Some(Column::Integers(values)));
        assert!(matches!(toy.write().load("train", 2), Err(Error::Field { .. })), "{name}");
    }
}

#[test]
fn times_that_meet_no_picture_or_one_twice_are_refused() {
    let starts = [[0.0, 1.2, 2.4, 3.7], [0.0, 1.2, 2.4, 9.0], [0.0, 1.2, 2.4, f64::NAN]];
    for starts in starts {
        let mut toy = Toy::new();
        set(&mut toy.episodes, "videos/camera/from_timestamp", Some(Column::Doubles(starts.to_vec())));
        let error = toy.write().load("valid", 2).err().unwrap();
        assert!(matches!(error, Error::FrameTime { episode: 3, frame: 0, .. }), "{error}");
    }
    let mut toy = Toy::new();
    set(&mut toy.episodes, "videos/camera/from_timestamp", Some(Column::Doubles(vec![0.0; 4])));
    let error = toy.write().load("train", 2).err().unwrap();
    assert!(matches!(error, Error::FrameTime { episode: 1, frame: 0, .. }), "{error}");
}

#[test]
fn a_video_cut_short_is_an_error() {
    let toy = Toy::new().write();
    let length = toy.video.len();
    for kept in [0, 7, 40, length / 2, length - 200, length - 1] {
        std::fs::write(toy.video_file(0), &toy.video[..kept]).unwrap();
        let error = toy.load("train", 2).err().unwrap();
        assert!(
            matches!(&error, Error::Field { file, .. } if *file == toy.video_file(0)),
            "{kept} bytes: {error}"
        );
        assert!(error.to_string().contains("copy it again"), "{error}");
    }
    std::fs::remove_file(toy.video_file(0)).unwrap();
    assert!(matches!(toy.load("train", 2), Err(Error::MissingFile { .. })));
}

#[test]
#[cfg(not(feature = "ffmpeg"))]
fn other_codecs_are_named_with_the_mend() {
    for (code, name) in [(b"vp09", "VP9"), (b"hvc1", "HEVC"), (b"mp4v", "`mp4v`")] {
        let mut toy = Toy::new();
        // The list of brands at the file's start names the codec first; the description of the samples comes last.
        let place = toy.video.windows(4).rposition(|bytes| bytes == b"avc1").unwrap();
        toy.video[place..place + 4].copy_from_slice(code);
        let error = toy.write().load("train", 2).err().unwrap();
        assert!(matches!(error, Error::Codec { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("H.264"), "{error}");
    }
}

#[test]
fn pictures_of_another_size_are_refused() {
    let mut toy = Toy::new();
    toy.info["features"]["camera"]["shape"] = json!([3, 48, 32]);
    let error = toy.write().load("train", 2).err().unwrap();
    assert!(matches!(error, Error::FrameSize { found: (32, 48), expected: (48, 32), .. }), "{error}");
}
