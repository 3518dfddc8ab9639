//! Damaged and hostile RLDS files: what is wrong is told with file and offset, and nothing panics.
#![cfg(feature = "pictures")]

#[path = "support/rlds.rs"]
mod made;

use std::path::Path;

use cola_data::{Dataset, Error, Frames, Region, Stretch, View};
use made::{
    Fields, blobs, episode, episode_with, example, floats, framed, integers, message, png, record, shard,
    varint,
};
use proptest::prelude::*;

const VIEW: View = View { region: Region::FULL, height: 2, width: 3 };

/// Opens a set and reads all rows and all pictures of its first camera.
fn read_all(root: &Path) -> Result<Vec<Frames>, Error> {
    let dataset = made::open(root)?;
    let camera = dataset.camera(None)?.key.clone();
    dataset.rows(&(0..dataset.episodes().len()).collect::<Vec<_>>())?;
    let episodes = dataset.episodes().iter().enumerate().filter(|(_, episode)| episode.frames > 0);
    let whole = |(episode, found): (usize, &cola_data::Episode)| {
        dataset.read(&camera, &Stretch { episode, frames: (0..found.frames).collect() }, &VIEW)
    };
    episodes.map(whole).collect()
}

/// What reading a shard with these bytes complains about; the message must name the file.
fn complaint(bytes: &[u8]) -> String {
    let (folder, file) = shard(bytes);
    let error = read_all(folder.path()).expect_err("damage goes unnoticed").to_string();
    assert!(error.contains(file.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

/// As [`complaint`], for a second episode after a sound one.
fn second(fields: &Fields) -> String {
    let first = record(&example(&episode()));
    let error = complaint(&[first.clone(), record(&example(fields))].concat());
    assert!(error.contains(&format!("record at byte {}", first.len())), "{error}");
    error
}

#[test]
fn a_sound_shard_is_read() {
    let (folder, _) = shard(&record(&example(&episode())));
    assert_eq!(read_all(folder.path()).unwrap()[0].frame(1), [10; 18]);
}

#[test]
fn wrong_checksums_name_file_and_offset() {
    let good = record(&example(&episode()));
    for (place, field) in [(0, "checksum of its length"), (9, "checksum of its length")] {
        let mut bytes = [good.clone(), good.clone()].concat();
        bytes[good.len() + place] ^= 4;
        let error = complaint(&bytes);
        assert!(error.contains(&format!("record at byte {}, {field}", good.len())), "{error}");
    }
    // In the data, and in their checksum: opening does not read them, reading does.
    for place in [good.len() - 6, good.len() - 1] {
        let mut bytes = [good.clone(), good.clone()].concat();
        bytes[good.len() + place] ^= 4;
        let error = complaint(&bytes);
        assert!(error.contains(&format!("record at byte {}, checksum of its data", good.len())), "{error}");
    }
}

#[test]
fn truncated_records_and_impossible_lengths_name_file_and_offset() {
    let good = record(&example(&episode()));
    for kept in [1, 11, 15, good.len() - 1] {
        let error = complaint(&[&good, &good[..kept]].concat());
        assert!(error.contains(&format!("record at byte {}", good.len())), "{kept}: {error}");
    }
    for length in [u64::MAX, u64::MAX - 15, 1 << 62, 1 << 31] {
        let error = complaint(&[good.clone(), framed(b"short", length)].concat());
        assert!(error.contains(&format!("length: found {length} bytes")), "{error}");
    }
}

#[test]
fn a_file_that_shrinks_after_opening_is_an_error() {
    let good = record(&example(&episode()));
    let (folder, file) = shard(&[good.clone(), good.clone()].concat());
    let dataset = made::open(folder.path()).unwrap();
    std::fs::write(&file, &good).unwrap();
    assert!(dataset.rows(&[0]).is_ok());
    let error = dataset.rows(&[1]).unwrap_err().to_string();
    assert!(error.contains(&format!("record at byte {}, end", good.len())), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(dataset.rows(&[1]), Err(Error::Read { .. })));
}

#[test]
#[cfg(unix)]
fn a_shard_that_is_a_pipe_is_refused_and_not_waited_for() {
    let (folder, file) = shard(&record(&example(&episode())));
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(read_all(folder.path()).map(drop)));
    let found = receive.recv_timeout(std::time::Duration::from_secs(20)).expect("it hangs");
    assert!(matches!(found, Err(Error::Read { file: named, .. }) if named == file));
}

#[test]
fn lists_that_do_not_match_the_steps_are_named() {
    let short = floats(&[0.0; 5]);
    let error = second(&episode_with("steps/action", short));
    assert!(error.contains("`steps/action`: found 5 floats, expected 3 x 2 numbers"), "{error}");
    let error = second(&episode_with("steps/action", floats(&[0.0; 7])));
    assert!(error.contains("more than 6 values"), "{error}");
    let error = second(&episode_with("steps/action", blobs(&[b"a"; 6])));
    assert!(error.contains("6 byte strings"), "{error}");
    let error = second(&episode_with("steps/action", message(2, &message(1, b"12345"))));
    assert!(error.contains("5 bytes, expected 4 for each number"), "{error}");
    let error = second(&episode_with("steps/observation/image", blobs(&vec![png(2, 3, &[0; 18]); 2])));
    assert!(
        error.contains("`steps/observation/image`: found 2 byte strings, expected 3 pictures"),
        "{error}"
    );
    let error = second(&episode_with("steps/observation/image", Vec::new()));
    assert!(error.contains("found 0 no list"), "{error}");
    let mut fields = episode();
    fields.remove(0);
    let error = second(&fields);
    assert!(error.contains("expected one of [\"steps/is_first\""), "{error}");
}

#[test]
fn wire_format_that_runs_on_or_leaves_its_message_is_refused() {
    let runs_on = vec![0xff; 40];
    let too_long = [&varint(1 << 3 | 2)[..], &varint(1 << 40), b"x"].concat();
    let group = vec![1 << 3 | 3, 1 << 3 | 3, 1 << 3 | 3, 1 << 3 | 4];
    let zero = vec![2, 1, 0];
    let cut = vec![1 << 3 | 2, 0x80];
    for (data, told) in [
        (runs_on, "runs on"),
        (too_long, "1099511627776 bytes"),
        (group, "wire type 3"),
        (zero, "field 0"),
        (cut, "cuts off"),
    ] {
        let error = complaint(&record(&data));
        assert!(error.contains(told), "{error}");
        // The same inside a list.
        let inner = second(&episode_with("steps/action", message(2, &data)));
        assert!(inner.contains(told), "{inner}");
    }
    let error = second(&episode_with("steps/is_first", message(3, &message(1, &[0xff; 11]))));
    assert!(error.contains("runs on"), "{error}");
    let name: &'static str = "x".repeat(5000).leak();
    assert!(second(&episode_with(name, integers(&[1]))).contains("a text of 5000 bytes"));
    let text = "x".repeat(70_000);
    let error = second(&episode_with("steps/language_instruction", blobs(&[text.as_bytes(), b"", b""])));
    assert!(error.contains("a text of 70000 bytes"), "{error}");
    let many: Vec<u8> =
        (0..5000).flat_map(|name: u32| message(1, &message(1, name.to_string().as_bytes()))).collect();
    assert!(complaint(&record(&message(1, &many))).contains("more than 4096 names"));
}

#[test]
fn pictures_of_another_size_or_kind_are_refused_before_they_are_decoded() {
    let wrong = |picture: &[u8]| {
        let good = png(2, 3, &[0; 18]);
        second(&episode_with("steps/observation/image", blobs(&[good.as_slice(), picture, &good])))
    };
    let error = wrong(&png(3, 2, &[0; 18]));
    assert!(
        error.contains("`steps/observation/image`, step 1: found 3 x 2 (height x width), expected 2 x 3"),
        "{error}"
    );
    let error = wrong(&png(30_000, 30_000, &[0; 18]));
    assert!(error.contains("found 30000 x 30000"), "{error}");
    let error = wrong(b"GIF89a, no picture that is read");
    assert!(error.contains("expected PNG or JPEG"), "{error}");
    assert!(wrong(b"").contains("found 0 bytes"));
    let good = png(2, 3, &[0; 18]);
    assert!(wrong(&good[..40]).contains("expected a readable picture"));
    assert!(wrong(b"\xff\xd8\xff\xe0 no picture").contains("expected a readable picture"));
    // Nobody promises a size here: the first picture's own claim is too large.
    let error = complaint(&record(&example(&episode_with(
        "steps/observation/image",
        blobs(&vec![png(30_000, 30_000, &[0; 18]); 3]),
    ))));
    assert!(error.contains("expected"), "{error}");
}

#[test]
fn a_features_file_that_lies_or_nests_too_deep_ends_in_an_error_or_is_not_used() {
    let (folder, _) = shard(&record(&example(&episode())));
    let file = folder.path().join("features.json");
    let with = |steps: &str| {
        let text = format!(
            r#"{{"featuresDict": {{"features": {{"steps": {{"sequence": {{"feature": {steps}}}}}}}}}}}"#
        );
        std::fs::write(&file, text).unwrap();
        read_all(folder.path())
    };
    let features = |inner: &str| format!(r#"{{"featuresDict": {{"features": {{{inner}}}}}}}"#);
    let image = |sides: &str| {
        let image = format!(r#""image": {{"image": {{"shape": {{"dimensions": {sides}}}}}}}"#);
        let flag = r#""is_first": {"tensor": {"shape": {}, "dtype": "bool", "encoding": "none"}}"#;
        with(&features(&format!(r#"{flag}, "observation": {}"#, features(&image))))
    };
    assert!(image(r#"["2", "3", "3"]"#).is_ok());
    assert!(image(r#"["-1", "-1", "3"]"#).is_ok());
    assert!(image("[2, 3, 3]").is_ok());
    assert!(image(r#"["4", "3", "3"]"#).unwrap_err().to_string().contains("expected 4 x 3"));
    assert!(image(r#"["30000", "30000", "3"]"#).unwrap_err().to_string().contains("features.json"));
    // Told to be grey: no camera is left.
    assert!(image(r#"["2", "3", "1"]"#).unwrap_err().to_string().contains("at least one picture"));
    for nested in [1000, 100_000] {
        // Not understood, so the record tells.
        assert!(with(&"{\"featuresDict\": {\"features\": {\"a\": ".repeat(nested)).is_ok());
    }
}

fn flips() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0f64, 0..8u8), 1..6)
}

fn damaged(bytes: &[u8], kept: f64, flips: &[(f64, u8)]) -> Vec<u8> {
    let mut bytes = bytes[..(kept * bytes.len() as f64) as usize].to_vec();
    let length = bytes.len() as f64;
    for &(place, bit) in flips {
        if let Some(byte) = bytes.get_mut((place * length) as usize) {
            *byte ^= 1 << bit;
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_shard_is_never_read_as_sound(kept in prop_oneof![Just(1.0), 0.0..1.0f64], flips in flips()) {
        let sound = [record(&example(&episode())), record(&example(&episode()))].concat();
        let bytes = damaged(&sound, kept, &flips);
        let (folder, _) = shard(&bytes);
        // Cut between two records it is a sound file of fewer; flips that undo each other leave it as it was.
        let whole = bytes == sound[..bytes.len()] && bytes.len().is_multiple_of(sound.len() / 2);
        prop_assert_eq!(read_all(folder.path()).is_ok(), whole && !bytes.is_empty());
    }

    /// With right checksums, so that the damage reaches what comes after them.
    #[test]
    fn damaged_examples_never_panic(kept in prop_oneof![Just(1.0), 0.0..1.0f64], flips in flips()) {
        let bytes = damaged(&example(&episode()), kept, &flips);
        let (folder, _) = shard(&[record(&example(&episode())), record(&bytes)].concat());
        drop(read_all(folder.path()));
        let (folder, _) = shard(&record(&bytes));
        drop(read_all(folder.path()));
    }

    /// JPEG and PNG of real encoders behind right checksums.
    #[test]
    fn damaged_pictures_never_panic(flips in flips()) {
        let name = "toy_arm-train.tfrecord-00001-of-00002";
        let sound = std::fs::read(Path::new(made::FIXTURES).join("toy_arm/1.0.0").join(name)).unwrap();
        let (folder, _) = shard(&record(&damaged(&sound[12..sound.len() - 4], 1.0, &flips)));
        if let Ok(dataset) = made::open(folder.path()) {
            for camera in dataset.cameras() {
                drop(dataset.read(&camera.key, &Stretch { episode: 0, frames: vec![0, 1] }, &VIEW));
            }
        }
    }

    #[test]
    fn damaged_features_never_panic(kept in prop_oneof![Just(1.0), 0.0..1.0f64], flips in flips()) {
        let folder = tempfile::tempdir().unwrap();
        made::copy("toy_arm/1.0.0", folder.path(), |name| (!name.contains("-val")).then(|| name.to_owned()));
        let file = folder.path().join("features.json");
        let bytes = damaged(&std::fs::read(&file).unwrap(), kept, &flips);
        std::fs::write(&file, bytes).unwrap();
        drop(read_all(folder.path()));
    }
}
