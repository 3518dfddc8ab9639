//! Metadata of LeRobot v3.0 data sets: what is read, and how each way to be wrong is reported.

mod support;

use std::path::Path;

use cola_data::{ClipSource, Dataset, Error, LeRobot};
use serde_json::json;
use support::{Column, PUSHT, ROBODESK, Toy, load, options, set};

/// The error of opening `toy` as changed, with its text.
fn refused(toy: Toy) -> (Error, String) {
    let error = LeRobot::open(toy.write().root()).err().unwrap();
    let text = error.to_string();
    (error, text)
}

#[test]
fn the_shipped_set_has_640_episodes_in_three_splits() {
    let robodesk = LeRobot::open(Path::new(ROBODESK)).unwrap();
    assert_eq!(robodesk.episodes().len(), 640);
    assert!(robodesk.episodes().iter().all(|episode| episode.frames == 16));
    assert_eq!(robodesk.split("train").unwrap(), Vec::from_iter(0..560));
    assert_eq!(robodesk.split("valid").unwrap(), Vec::from_iter(560..600));
    assert_eq!(robodesk.split("test").unwrap(), Vec::from_iter(600..640));
    assert_eq!(robodesk.camera(None).unwrap().key, "observation.images.camera");
    assert_eq!(robodesk.info().fps, 1.0);
}

#[test]
fn the_shipped_push_t_set_has_60_episodes_in_three_splits() {
    let pusht = LeRobot::open(Path::new(PUSHT)).unwrap();
    assert_eq!((pusht.episodes().len(), pusht.info().fps), (60, 5.0));
    for (split, range) in [("train", 0..48), ("valid", 48..54), ("test", 54..60)] {
        assert_eq!(pusht.split(split).unwrap(), Vec::from_iter(range.clone()));
        let clips = load(&pusht, split, &options(16)).unwrap();
        assert_eq!((clips.len(), clips.runs()), (range.len(), range.len()), "{split}");
        let clip = clips.clip(0).unwrap();
        assert_eq!((clip.frames.height, clip.frames.width, clip.action_dim), (128, 128, 2));
        assert!(clip.actions.iter().all(|target| (0.0..=512.0).contains(target)), "{split}");
    }
}

#[test]
fn a_missing_folder_says_where_to_look() {
    let error = LeRobot::open(Path::new("no/such/folder")).err().unwrap();
    assert!(matches!(error, Error::MissingFolder { .. }));
    assert!(
        error.to_string().contains("no/such/folder") && error.to_string().contains("check --data"),
        "{error}"
    );
}

#[test]
fn missing_metadata_are_named() {
    let toy = Toy::new().write();
    std::fs::remove_dir_all(toy.root().join("meta/episodes")).unwrap();
    let error = LeRobot::open(toy.root()).err().unwrap();
    assert!(error.to_string().contains("meta/episodes"), "{error}");
    std::fs::remove_file(toy.info_file()).unwrap();
    let error = LeRobot::open(toy.root()).err().unwrap();
    assert!(matches!(&error, Error::MissingFile { file, .. } if *file == toy.info_file()), "{error}");
}

#[test]
fn malformed_info_is_reported_with_its_source() {
    let toy = Toy::new().write();
    std::fs::write(toy.info_file(), "{\"codebase_version\": ").unwrap();
    let error = LeRobot::open(toy.root()).err().unwrap();
    assert!(matches!(error, Error::Json { .. }), "{error}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("line 1"));

    let mut toy = Toy::new();
    toy.info["fps"] = json!(0);
    assert!(refused(toy).1.contains("fps"));
}

#[test]
fn other_versions_are_refused_by_name() {
    for version in ["v1.6", "v2.2", "v3.1", "v4.0", "2.1"] {
        let mut toy = Toy::new();
        toy.info = json!({ "codebase_version": version, "total_chunks": 1 });
        let (error, text) = refused(toy);
        assert!(matches!(error, Error::Version { ref found, .. } if found == version));
        assert!(text.contains("v2.0, v2.1 and v3.0") && text.contains("convert_dataset_v1_to_v2"), "{text}");
    }
}

#[test]
fn a_v1_set_is_recognised_by_the_place_of_its_metadata() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("meta_data")).unwrap();
    std::fs::write(folder.path().join("meta_data/info.json"), "{\"codebase_version\": \"v1.6\"}").unwrap();
    let error = cola_data::open(folder.path(), &cola_data::OpenOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Version { ref found, .. } if found == "v1.6"), "{error}");
}

#[test]
fn a_missing_split_lists_those_found() {
    let toy = Toy::new().write();
    let error = LeRobot::open(toy.root()).unwrap().split("test").unwrap_err();
    assert!(matches!(&error, Error::Split { found, .. } if *found == ["none", "train", "valid"]), "{error}");
    assert!(error.to_string().contains("add it"), "{error}");
}

#[test]
fn empty_and_malformed_splits_are_refused() {
    let mut toy = Toy::new();
    toy.info["splits"]["backwards"] = json!("3:1");
    toy.info["splits"]["long"] = json!("0:5");
    toy.info["splits"]["odd"] = json!("all");
    let toy = toy.write();
    let toy = LeRobot::open(toy.root()).unwrap();
    assert!(matches!(toy.split("none"), Err(Error::EmptySplit { .. })));
    for name in ["backwards", "long", "odd"] {
        assert!(matches!(toy.split(name), Err(Error::Field { .. })), "{name}");
    }
}

#[test]
fn an_unknown_camera_lists_those_found() {
    let toy = Toy::new().write();
    let toy = LeRobot::open(toy.root()).unwrap();
    assert_eq!(toy.camera(Some("camera")).unwrap().key, "camera");
    let error = toy.camera(Some("wrist")).unwrap_err();
    assert!(
        matches!(&error, Error::Camera { wanted, found, .. } if wanted == "`wrist`" && *found == ["camera"])
    );
    assert!(matches!(toy.camera(Some("action")), Err(Error::Camera { .. })), "a column is no camera");
}

#[test]
fn a_missing_episode_column_is_named() {
    let mut toy = Toy::new();
    set(&mut toy.episodes, "videos/camera/from_timestamp", None);
    let (error, _) = refused(toy);
    assert!(matches!(error, Error::MissingColumn { column, .. } if column == "videos/camera/from_timestamp"));
}

#[test]
fn a_mistyped_episode_column_is_named_with_both_types() {
    let mut toy = Toy::new();
    set(&mut toy.episodes, "length", Some(Column::Texts(vec!["6"; 4])));
    let (_, text) = refused(toy);
    assert!(text.contains("`length`") && text.contains("BYTE_ARRAY") && text.contains("INT64"), "{text}");
}

#[test]
fn metadata_that_contradict_each_other_are_refused() {
    let changes: [(&str, [i64; 4]); 5] = [
        ("length", [6, 6, 6, 7]),
        ("dataset_to_index", [6, 12, 18, 18]),
        ("dataset_from_index", [-1, 6, 12, 18]),
        ("episode_index", [0, 1, 2, 2]),
        ("episode_index", [1, 2, 3, 4]),
    ];
    for (name, values) in changes {
        let mut toy = Toy::new();
        set(&mut toy.episodes, name, Some(Column::Integers(values.to_vec())));
        assert!(matches!(refused(toy).0, Error::Field { .. }), "{name}");
    }
    for total in ["total_episodes", "total_frames"] {
        let mut toy = Toy::new();
        toy.info[total] = json!(3);
        assert!(matches!(refused(toy).0, Error::Field { .. }), "{total}");
    }
}
