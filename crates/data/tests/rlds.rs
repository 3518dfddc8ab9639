//! RLDS sets, as TensorFlow Datasets wrote them: every picture and number, and the choices that a set leaves open.
#![cfg(feature = "pictures")]

#[path = "support/rlds.rs"]
mod made;
mod support;

use std::path::{Path, PathBuf};

use cola_data::{Dataset, Error, Format, OpenOptions, Region, Rlds, Stretch, View, detect};
use made::{FIXTURES, SIZE, copy, episode, example, message, open, record, shard};

const VIEW: View = View { region: Region::FULL, height: SIZE.0, width: SIZE.1 };

fn fixture(name: &str) -> PathBuf {
    Path::new(FIXTURES).join(name)
}

/// The `e` of each episode in the order in which TensorFlow Datasets itself gives them, train before val.
const ORDER: [usize; 5] = [0, 2, 1, 4, 3];

/// Steps of episode `e`.
fn steps(e: usize) -> usize {
    3 + e % 3
}

fn whole(dataset: &Rlds, episode: usize) -> Stretch {
    Stretch { episode, frames: (0..dataset.episodes()[episode].frames).collect() }
}

#[test]
fn episodes_come_in_the_order_of_the_shards_with_their_rows_and_texts() {
    let dataset = open(&fixture("toy_arm/1.0.0")).unwrap();
    let rows = dataset.rows(&[0, 1, 2, 3, 4]).unwrap();
    assert_eq!(dataset.episodes().len(), 5);
    for ((episode, rows), e) in dataset.episodes().iter().zip(rows).zip(ORDER) {
        assert_eq!((episode.frames, episode.rate), (steps(e), None));
        assert_eq!(episode.texts, [format!("move block {e}")]);
        assert_eq!((rows.action_dim, rows.state_dim), (2, 3));
        let steps = 0..steps(e);
        let actions: Vec<f32> = steps.clone().flat_map(|t| [t as f32, e as f32]).collect();
        let states: Vec<f32> = steps.clone().flat_map(|t| [e as f32, t as f32, 0.5]).collect();
        assert_eq!((rows.actions, rows.states), (actions, states));
        assert_eq!(rows.times, steps.map(|t| t as f64).collect::<Vec<_>>());
    }
    assert_eq!(dataset.episodes()[1].name, "train shard 0 record 1");
    assert_eq!(dataset.splits(), ["train", "val", "valid"]);
    assert_eq!(dataset.split("train").unwrap(), [0, 1, 2]);
    assert_eq!(dataset.split("valid").unwrap(), [3, 4]);
    assert!(matches!(dataset.split("test"), Err(Error::Split { .. })));
}

#[test]
fn png_pictures_are_exact_and_jpeg_pictures_close() {
    let dataset = open(&fixture("toy_arm/1.0.0")).unwrap();
    let keys: Vec<_> = dataset.cameras().iter().map(|camera| (camera.key.as_str(), camera.size)).collect();
    assert_eq!(keys, [("image", Some(SIZE)), ("image_wrist", Some(SIZE))]);
    for (episode, e) in ORDER.into_iter().enumerate() {
        let exact = dataset.read("image", &whole(&dataset, episode), &VIEW).unwrap();
        let close = dataset.read("image_wrist", &whole(&dataset, episode), &VIEW).unwrap();
        assert_eq!((exact.count, exact.height, exact.width), (steps(e), SIZE.0, SIZE.1));
        for t in 0..steps(e) {
            for (pixel, (exact, close)) in
                exact.frame(t).chunks_exact(3).zip(close.frame(t).chunks_exact(3)).enumerate()
            {
                let (y, x) = (pixel / SIZE.1, pixel % SIZE.1);
                assert_eq!(exact, [8 * x as u8, 10 * y as u8, (20 * e + 4 * t) as u8], "({y}, {x}) of {t}");
                let grey = (40 + 20 * e + 4 * t + x + 2 * y) as i32;
                assert!(
                    close.iter().all(|value| (i32::from(*value) - grey).abs() <= 3),
                    "{close:?}, not {grey}"
                );
            }
        }
    }
}

#[test]
fn some_frames_are_those_of_the_whole_episode() {
    let dataset = open(&fixture("toy_arm/1.0.0")).unwrap();
    let all = dataset.read("image", &whole(&dataset, 1), &VIEW).unwrap();
    let some = dataset.read("image", &Stretch { episode: 1, frames: vec![1, 4] }, &VIEW).unwrap();
    assert_eq!((some.frame(0), some.frame(1)), (all.frame(1), all.frame(4)));
    let right = Region { left: 0.5, width: 0.5, ..Region::FULL };
    let view = View { region: right, height: 24, width: 16 };
    let half = dataset.read("image", &Stretch { episode: 1, frames: vec![1] }, &view).unwrap();
    assert_eq!(half.frame(0)[..3], all.frame(1)[3 * 16..3 * 17]);
    for frames in [vec![], vec![1, 1], vec![5]] {
        assert!(matches!(
            dataset.read("image", &Stretch { episode: 1, frames }, &VIEW),
            Err(Error::Setting { .. })
        ));
    }
    assert!(matches!(dataset.rows(&[5]), Err(Error::Setting { field: "episode", .. })));
    assert!(matches!(dataset.read("depth", &whole(&dataset, 1), &VIEW), Err(Error::Camera { .. })));
}

#[test]
fn parts_of_an_arm_action_are_joined_in_the_order_of_models() {
    let dataset = open(&fixture("nested_arm/0.1.0")).unwrap();
    let names = [
        "steps/action/world_vector",
        "steps/action/rotation_delta",
        "steps/action/gripper_closedness_action",
    ];
    assert_eq!(dataset.action_fields(), names);
    let rows = &dataset.rows(&[1]).unwrap()[0];
    let expected: Vec<f32> =
        (0..steps(2)).flat_map(|t| [2.0, t as f32, 0.25, -2.0, -(t as f32), -0.25, 1.0]).collect();
    assert_eq!((rows.action_dim, &rows.actions), (7, &expected));
    assert_eq!((rows.state_dim, rows.states.len()), (0, 0));
    assert_eq!(dataset.episodes()[0].texts, ["pick the can"]);
    // The depth picture beside it has no colours and is no camera.
    assert_eq!(dataset.cameras().iter().map(|camera| camera.key.as_str()).collect::<Vec<_>>(), ["rgb/front"]);
    let picture = dataset.read("rgb/front", &whole(&dataset, 4), &VIEW).unwrap();
    assert_eq!(picture.frame(2)[..3], [0, 0, 20 * 3 + 4 * 2]);
}

#[test]
fn the_action_can_be_chosen_and_an_unknown_one_lists_what_there_is() {
    let root = fixture("nested_arm/0.1.0");
    let with = |action: &str| {
        Rlds::open(&root, &OpenOptions { action: Some(action.into()), ..OpenOptions::default() })
    };
    let dataset = with("action/terminate_episode + steps/action/gripper_closedness_action").unwrap();
    let rows = &dataset.rows(&[0]).unwrap()[0];
    assert_eq!((rows.action_dim, &rows.actions[4..8]), (4, [0.0, 1.0, -1.0, 1.0].as_slice()));
    for unknown in ["action", "", "action/world_vector+jaw", "observation/rgb/front"] {
        let error = with(unknown).err().unwrap().to_string();
        assert!(error.starts_with("action: found") && error.contains("action/rotation_delta"), "{error}");
    }
}

#[test]
fn without_features_json_the_first_record_tells_the_fields() {
    let folder = tempfile::tempdir().unwrap();
    for (set, text) in [("toy_arm/1.0.0", None), ("nested_arm/0.1.0", Some("{\"featuresDict\": ["))] {
        let root = folder.path().join(set);
        copy(set, &root, |name| (name != "features.json").then(|| name.to_owned()));
        if let Some(text) = text {
            std::fs::write(root.join("features.json"), text).unwrap();
        }
        let (inferred, told) = (open(&root).unwrap(), open(&fixture(set)).unwrap());
        assert_eq!(inferred.cameras(), told.cameras());
        assert_eq!(inferred.episodes(), told.episodes());
        assert_eq!(inferred.action_fields(), told.action_fields());
        assert_eq!(inferred.rows(&[0, 1, 2]).unwrap(), told.rows(&[0, 1, 2]).unwrap());
    }
}

#[test]
fn the_rate_is_that_of_the_options_or_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &'static str, rate| {
        let root = folder.path().join(name);
        copy("toy_arm/1.0.0", &root, |file| Some(file.replace("toy_arm", name)));
        let options = OpenOptions { rate, ..OpenOptions::default() };
        let dataset = Rlds::open(&root, &options).unwrap();
        (dataset.episodes()[0].rate, dataset.rows(&[0]).unwrap()[0].times[1])
    };
    assert_eq!(named("fractal20220817_data", None), (Some(3.0), 1.0 / 3.0));
    assert_eq!(named("bridge_dataset", None), (Some(5.0), 0.2));
    assert_eq!(named("bridgehead", None), (None, 1.0));
    assert_eq!(named("kuka", Some(4.0)), (Some(4.0), 0.25));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = OpenOptions { rate: Some(rate), ..OpenOptions::default() };
        let error = Rlds::open(&fixture("toy_arm"), &options).err().unwrap();
        assert!(matches!(error, Error::Setting { field: "rate", .. }), "{error}");
    }
}

#[test]
fn the_folder_above_gives_the_newest_version() {
    let folder = tempfile::tempdir().unwrap();
    let same = |name: &str| Some(name.to_owned());
    copy("toy_arm/1.0.0", &folder.path().join("1.9.0"), same);
    copy("nested_arm/0.1.0", &folder.path().join("1.10.0"), same);
    std::fs::create_dir(folder.path().join("2.0.0.incomplete")).unwrap();
    assert_eq!(detect(folder.path()).unwrap(), Format::Rlds);
    let dataset = cola_data::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!((dataset.format(), dataset.root()), (Format::Rlds, folder.path()));
    assert_eq!(dataset.camera(None).unwrap().key, "rgb/front");
}

#[test]
fn a_missing_shard_is_named() {
    for (lost, found) in [("00000-of", "00000-of-00002"), ("00001-of", "00001-of-00002")] {
        let folder = tempfile::tempdir().unwrap();
        copy("toy_arm/1.0.0", folder.path(), |name| (!name.contains(lost)).then(|| name.to_owned()));
        let error = open(folder.path()).err().unwrap();
        assert!(
            matches!(&error, Error::MissingFile { file, .. } if file.ends_with(format!("toy_arm-train.tfrecord-{found}"))),
            "{error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path()), Err(Error::MissingFile { .. })));
    assert!(matches!(open(&folder.path().join("none")), Err(Error::MissingFolder { .. })));
    copy("toy_arm/1.0.0", folder.path(), |name| Some(name.to_owned()));
    copy("nested_arm/0.1.0", folder.path(), |name| name.contains("-train").then(|| name.to_owned()));
    assert!(matches!(open(folder.path()), Err(Error::Field { .. })));
}

#[test]
fn numbers_that_are_not_packed_and_unknown_fields_are_read_too() {
    let floats: Vec<u8> = [0.5f32, 1.5, 2.5]
        .iter()
        .flat_map(|value| [&[1 << 3 | 5][..], &value.to_le_bytes()].concat())
        .collect();
    // `is_first` as three varints, an unknown varint and an unknown fixed number between them.
    let flags = [8, 1, 9 << 3, 7, 8, 0, 9 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0];
    let mut fields = episode();
    fields[0].1 = message(3, &flags);
    fields[2].1 = message(2, &floats);
    fields[3].1 = made::blobs(&[&b"push \xff"[..], b"", b""]);
    let unknown = [message(7, b"later"), example(&fields)].concat();
    let (folder, _) = shard(&[record(&unknown), record(&example(&episode()))].concat());
    let dataset = open(folder.path()).unwrap();
    assert_eq!(dataset.rows(&[0]).unwrap()[0].actions, [0.5, 1.5, 2.5]);
    assert_eq!(dataset.episodes()[0].texts, ["push \u{fffd}"]);
    let frames = dataset.read("image", &whole(&dataset, 0), &View { height: 2, width: 3, ..VIEW }).unwrap();
    assert_eq!(frames.frame(2), [20; 18]);
}

#[test]
fn clips_are_cut_from_a_split() {
    let dataset = open(&fixture("toy_arm")).unwrap();
    let clips = support::load(&dataset, "train", &support::options(4)).unwrap();
    use cola_data::ClipSource;
    // Episodes of 3, 5 and 4 steps hold 0, 2 and 1 clips.
    assert_eq!(clips.len(), 3);
    let clip = clips.clip(1).unwrap();
    assert_eq!((clip.episode, clip.start, clip.action_dim), (1, 1, 2));
    assert_eq!(clip.actions, [1.0, 2.0, 2.0, 2.0, 3.0, 2.0]);
    assert_eq!(clip.frames.frame(0)[..3], [0, 0, 44]);
}
