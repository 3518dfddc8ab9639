//! robomimic, VP2 and LIBERO: what h5py wrote is what is read.
#![cfg(feature = "hdf5")]

#[path = "support/hdf5.rs"]
mod hdf5;

use cola_data::{ClipOptions, ClipSource, Dataset, EpisodeClips, Error, Format, OpenOptions, Run};
use cola_data::{Region, Robomimic, Stretch, View, detect, open};
use hdf5::{fixture, numbers, pictures, read, robomimic};
use serde_json::Value;

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> String {
    let step = |value: u64, &byte: &u8| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The message of an error whose kind does not matter.
fn text<T>(result: Result<T, Error>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn robodesk_is_read_as_h5py_reads_it() {
    let golden = std::fs::read_to_string(fixture("robodesk.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let robodesk = open(&fixture("robodesk.hdf5"), &OpenOptions::default()).unwrap();
    assert_eq!(robodesk.format(), Format::Robomimic);
    assert_eq!(robodesk.camera(None).unwrap().size, Some((64, 64)));
    assert_eq!(robodesk.episodes().len(), 3);
    let rows = robodesk.rows(&[0, 1, 2]).unwrap();
    for (number, name) in ["demo_1", "demo_21", "demo_41"].into_iter().enumerate() {
        let episode = &robodesk.episodes()[number];
        assert_eq!((episode.name.as_str(), episode.frames), (format!("robodesk.hdf5/{name}").as_str(), 2));
        assert_eq!((episode.rate, episode.texts.len()), (None, 0), "neither is stored");
        let frames = read(&*robodesk, "camera_image", number, &[0, 1]).unwrap();
        for frame in 0..2 {
            assert_eq!(fnv(frames.frame(frame)), golden[name]["pictures"][frame], "{name}, picture {frame}");
        }
        let rows = &rows[number];
        let expected = golden[name]["actions"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32);
        assert_eq!((rows.action_dim, rows.actions.clone()), (5, expected.collect()));
        assert_eq!((rows.state_dim, rows.states.len()), (76, 2 * 76));
        for frame in 0..2 {
            let expected = golden[name]["first_states"][frame].as_f64().unwrap() as f32;
            assert_eq!(rows.states[frame * 76], expected);
        }
        assert_eq!(rows.times, [0.0, 1.0], "frame numbers where no rate is known");
    }
    for (number, split) in ["train", "valid", "test"].into_iter().enumerate() {
        assert_eq!(robodesk.split(split).unwrap(), [number]);
    }
    assert_eq!(robodesk.splits(), ["test", "train", "valid"]);
    assert!(matches!(robodesk.split("none"), Err(Error::Split { .. })));
}

#[test]
fn every_way_of_storage_gives_the_same_pictures() {
    let variants = robomimic("variants.hdf5").unwrap();
    let names: Vec<&str> = variants.episodes().iter().map(|episode| episode.name.as_str()).collect();
    let expected = [0, 1, 2, 3, 4, 5, 6, 7, 10].map(|number| format!("variants.hdf5/demo_{number}"));
    assert_eq!(names, expected, "by number, not as text");
    for (episode, seed) in [0, 1, 2, 3, 4, 5, 6, 7, 10].into_iter().enumerate() {
        let all = read(&variants, "camera_image", episode, &[0, 1, 2, 3, 4]).unwrap();
        assert_eq!(all.rgb, pictures(5, seed), "demo {seed}");
        let some = read(&variants, "camera_image", episode, &[1, 2, 4]).unwrap();
        for (place, frame) in [1, 2, 4].into_iter().enumerate() {
            assert_eq!(some.frame(place), all.frame(frame), "demo {seed}");
        }
    }
    let tables = robomimic("tables.hdf5").unwrap();
    for (episode, count) in [12, 12, 5, 5].into_iter().enumerate() {
        assert_eq!(tables.episodes()[episode].frames, count);
        let frames = read(&tables, "camera_image", episode, &Vec::from_iter(0..count)).unwrap();
        assert_eq!(frames.rgb, pictures(count, episode), "demo {episode}");
    }
}

#[test]
fn numbers_of_any_width_and_order_are_read() {
    let variants = robomimic("variants.hdf5").unwrap();
    let rows = variants.rows(&[0, 3, 8]).unwrap();
    for rows in &rows {
        assert_eq!((rows.action_dim, rows.actions.clone()), (2, numbers(5, 2)));
        assert_eq!(rows.times, [0.0, 0.1, 0.2, 3.0 / 10.0, 0.4], "control_freq is 10");
    }
    assert_eq!((rows[1].state_dim, rows[1].states.clone()), (3, numbers(5, 3)));
    assert_eq!((rows[0].state_dim, rows[0].states.len()), (0, 0));
    let half = text(variants.rows(&[7]));
    assert!(half.contains("data/demo_7/actions") && half.contains("float32"), "{half}");
}

#[test]
fn only_the_last_action_may_be_missing() {
    let variants = robomimic("variants.hdf5").unwrap();
    let mut expected = numbers(4, 2);
    expected.extend([0.0, 0.0]);
    assert_eq!(variants.rows(&[4]).unwrap()[0].actions, expected);
    for (episode, shape) in [(5, "[3, 2]"), (6, "[6, 2]")] {
        let error = text(variants.rows(&[episode]));
        assert!(error.contains(&format!("data/demo_{episode}/actions")) && error.contains(shape), "{error}");
    }
}

#[test]
fn masks_may_hold_texts_of_any_kind() {
    let variants = robomimic("variants.hdf5").unwrap();
    assert_eq!(variants.split("train").unwrap(), [2, 8]);
    assert_eq!(variants.split("valid").unwrap(), [0]);
}

#[test]
fn libero_is_found_by_its_attributes_and_turned_round() {
    let file = fixture("libero/open_the_drawer_demo.hdf5");
    assert_eq!(detect(&file).unwrap(), Format::Libero);
    let libero = open(&fixture("libero"), &OpenOptions::default()).unwrap();
    assert_eq!(libero.format(), Format::Libero);
    let keys: Vec<_> = libero.cameras().iter().map(|camera| camera.key.as_str()).collect();
    assert_eq!(keys, ["agentview_rgb", "eye_in_hand_rgb"]);
    let episode = &libero.episodes()[1];
    assert_eq!((episode.name.as_str(), episode.frames), ("open_the_drawer_demo.hdf5/demo_1", 3));
    assert_eq!((episode.rate, episode.texts.as_slice()), (Some(20.0), &["open the drawer".to_owned()][..]));
    for episode in 0..2 {
        let frames = read(&*libero, "agentview_rgb", episode, &[0, 1, 2]).unwrap();
        assert_eq!(frames.rgb, pictures(3, episode));
        let frames = read(&*libero, "eye_in_hand_rgb", episode, &[0, 1, 2]).unwrap();
        assert_eq!(frames.rgb, pictures(3, 100 + episode));
    }
    let rows = &libero.rows(&[0]).unwrap()[0];
    assert_eq!((rows.action_dim, rows.state_dim, rows.times[3]), (7, 12, 0.15));

    let as_stored =
        OpenOptions { format: Some(Format::Robomimic), rate: Some(5.0), ..OpenOptions::default() };
    let stored = open(&file, &as_stored).unwrap();
    assert_eq!(stored.episodes()[0].rate, Some(5.0));
    let frame = read(&*stored, "agentview_rgb", 0, &[0]).unwrap();
    let turned: Vec<u8> = frame.rgb.chunks(8 * 3).rev().flatten().copied().collect();
    assert_eq!(turned, pictures(1, 0));
}

#[test]
fn a_region_is_cut_after_turning() {
    let libero = robomimic("libero").unwrap();
    let region = Region { top: 0.5, height: 0.5, ..Region::FULL };
    let view = View { region, height: 3, width: 8 };
    let frames = libero.read("agentview_rgb", &Stretch { episode: 0, frames: vec![1] }, &view).unwrap();
    assert_eq!(frames.rgb, pictures(2, 0)[6 * 8 * 3 + 3 * 8 * 3..]);
}

#[test]
fn clips_come_out_of_any_split() {
    let tables = robomimic("tables.hdf5").unwrap();
    let options =
        ClipOptions { camera: None, frames: 3, frame_stride: 2, rate: None, region: Region::FULL, store: 64 };
    let clips = EpisodeClips::load(&tables, &Run::whole(&tables, &[2, 3]).unwrap(), &options, &mut |_, _| {})
        .unwrap();
    assert_eq!(clips.len(), 2);
    let clip = clips.clip(1).unwrap();
    assert_eq!(clip.frames.frame(1), &pictures(5, 3)[2 * 6 * 8 * 3..3 * 6 * 8 * 3]);
    assert_eq!(clip.actions, numbers(4, 2));
}

#[test]
fn folders_keep_the_order_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in [("b/x.h5", "tables.hdf5"), ("a.hdf5", "variants.hdf5"), ("b/y.txt", "zstd.hdf5")] {
        let to = folder.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(fixture(from), to).unwrap();
    }
    assert_eq!(detect(folder.path()).unwrap(), Format::Robomimic);
    let both = Robomimic::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(both.episodes().len(), 9 + 4);
    assert_eq!(both.episodes()[8].name, "a.hdf5/demo_10");
    assert_eq!(both.episodes()[9].name, "b/x.h5/demo_0");
    assert_eq!(both.split("train").unwrap(), [2, 8]);
    assert_eq!(read(&both, "camera_image", 10, &[4]).unwrap().rgb, pictures(5, 1)[4 * 144..]);

    std::fs::copy(fixture("libero/open_the_drawer_demo.hdf5"), folder.path().join("c.hdf5")).unwrap();
    let mixed = text(Robomimic::open(folder.path(), &OpenOptions::default()));
    assert!(mixed.contains("problem_info"), "{mixed}");
}

#[test]
fn goals_are_no_episodes() {
    let error = text(robomimic("goals.hdf5"));
    assert!(error.contains("2 pictures for 9 actions") && error.contains("goal pairs"), "{error}");
}

#[test]
fn other_filters_are_refused_by_name() {
    let error = text(robomimic("zstd.hdf5"));
    assert!(error.contains("zstd (32015)") && error.contains("h5repack"), "{error}");
}

#[test]
fn a_layout_newer_than_the_reader_is_named() {
    let error = text(robomimic("newest.hdf5"));
    assert!(error.contains("layout version 5") && error.contains("libver"), "{error}");
}

#[test]
fn pictures_that_were_never_written_are_not_black() {
    let error = text(read(&robomimic("unwritten.hdf5").unwrap(), "camera_image", 0, &[0]));
    assert!(error.contains("3 chunks") && error.contains('4'), "{error}");
}

#[test]
fn a_nested_datatype_does_not_overflow_the_stack() {
    let nested = robomimic("nested.hdf5").unwrap();
    assert_eq!(nested.cameras().len(), 1);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let options = OpenOptions { rate: Some(0.0), ..OpenOptions::default() };
    let error = text(Robomimic::open(&fixture("robodesk.hdf5"), &options));
    assert!(error.contains("rate"), "{error}");
    let options = OpenOptions { format: Some(Format::Videos), ..OpenOptions::default() };
    let error = text(Robomimic::open(&fixture("robodesk.hdf5"), &options));
    assert!(error.contains("videos"), "{error}");
    let tables = robomimic("tables.hdf5").unwrap();
    assert!(matches!(read(&tables, "camera_image", 2, &[5]), Err(Error::Setting { .. })));
    assert!(matches!(read(&tables, "camera_image", 2, &[1, 1]), Err(Error::Setting { .. })));
    assert!(matches!(read(&tables, "other", 2, &[1]), Err(Error::Camera { .. })));
    assert!(matches!(tables.rows(&[4]), Err(Error::Setting { .. })));
    let missing = Robomimic::open(&fixture("none"), &OpenOptions::default());
    assert!(matches!(missing, Err(Error::MissingFolder { .. })));
    let folder = tempfile::tempdir().unwrap();
    let empty = Robomimic::open(folder.path(), &OpenOptions::default());
    assert!(matches!(empty, Err(Error::MissingFile { .. })));
    std::fs::write(folder.path().join("text.hdf5"), "no HDF5 at all").unwrap();
    let error = Robomimic::open(folder.path(), &OpenOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Hdf5 { .. }) && std::error::Error::source(&error).is_some(), "{error}");
}

#[test]
fn of_several_damaged_files_the_first_is_named_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..16 {
        // The first takes longest to be refused.
        let bytes = vec![7; if number == 0 { 1 << 20 } else { 0 }];
        std::fs::write(folder.path().join(format!("{number:02}.hdf5")), bytes).unwrap();
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    for _ in 0..50 {
        let error = pool.install(|| Robomimic::open(folder.path(), &OpenOptions::default())).err().unwrap();
        assert!(error.to_string().contains("00.hdf5"), "{error}");
    }
}
