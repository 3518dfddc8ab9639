//! Hostile HDF5: whatever is cut off or flipped, reading ends in a result, never in a panic.
#![cfg(feature = "hdf5")]

#[path = "support/hdf5.rs"]
mod hdf5;

use std::path::Path;

use cola_data::{AgiBot, Dataset, Error, OpenOptions, Region, Robomimic, Stretch, View};
use hdf5::fixture;
use proptest::prelude::*;

/// Where the superblock says how long the file is.
const END: std::ops::Range<usize> = 40..48;

/// One bit somewhere, or several; often near the start, where the tables are.
fn flips() -> impl Strategy<Value = Vec<(f64, u8)>> {
    let place = prop_oneof![0.0..1.0f64, 0.0..0.1f64];
    prop::collection::vec((place, any::<u8>()), 1..6)
}

/// All of the file, or its first part.
fn kept() -> impl Strategy<Value = f64> {
    prop_oneof![3 => Just(1.0), 1 => 0.0..1.0f64]
}

/// A damaged copy of a fixture.
fn damaged(fixture: &Path, copy: &Path, kept: f64, flips: &[(f64, u8)]) {
    let mut bytes = std::fs::read(fixture).unwrap();
    bytes.truncate((kept * bytes.len() as f64) as usize);
    let length = bytes.len() as f64;
    for &(place, mask) in flips {
        if let Some(byte) = bytes.get_mut((place * length) as usize) {
            *byte ^= mask;
        }
    }
    std::fs::write(copy, bytes).unwrap();
}

/// Reads all that a data set says it has. A flip in a picture may go unnoticed; that reading ends is the claim.
fn read_all(dataset: &dyn Dataset) {
    let view = View { region: Region::FULL, height: 4, width: 4 };
    for (episode, described) in dataset.episodes().iter().enumerate() {
        drop(dataset.rows(&[episode]));
        for camera in dataset.cameras() {
            let frames = (0..described.frames.min(20)).collect();
            drop(dataset.read(&camera.key, &Stretch { episode, frames }, &view));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_demos_never_panic(kept in kept(), flips in flips(), which in 0..4usize) {
        let name = ["robodesk.hdf5", "variants.hdf5", "tables.hdf5", "libero/open_the_drawer_demo.hdf5"][which];
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("damaged.hdf5");
        damaged(&fixture(name), &copy, kept, &flips);
        if let Ok(dataset) = Robomimic::open(&copy, &OpenOptions::default()) {
            read_all(&dataset);
        }
    }

    #[test]
    fn damaged_recordings_never_panic(kept in kept(), flips in flips(), which in 0..2usize) {
        let episode = ["648642", "648649"][which];
        let folder = tempfile::tempdir().unwrap();
        let file = |root: &Path| root.join("proprio_stats/327").join(episode).join("proprio_stats.h5");
        let videos = Path::new("observations/327").join(episode).join("videos");
        std::fs::create_dir_all(folder.path().join(&videos)).unwrap();
        std::fs::create_dir_all(file(folder.path()).parent().unwrap()).unwrap();
        let video = videos.join("head_color.mp4");
        std::fs::copy(fixture("agibot").join(&video), folder.path().join(&video)).unwrap();
        damaged(&file(&fixture("agibot")), &file(folder.path()), kept, &flips);
        if let Ok(dataset) = AgiBot::open(folder.path(), &OpenOptions::default()) {
            read_all(&dataset);
        }
    }
}

#[test]
fn numbers_are_counted_by_what_they_take_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let videos = Path::new("observations/327/648649/videos");
    std::fs::create_dir_all(folder.path().join(videos)).unwrap();
    let video = videos.join("head_color.mp4");
    std::fs::copy(fixture("agibot").join(&video), folder.path().join(&video)).unwrap();
    let file = folder.path().join("proprio_stats/327/648649/proprio_stats.h5");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // 32 MiB of bytes and a little more, as numbers of 8 bytes more than 256 MiB; packed, some kilobytes.
    let (rows, width) = (16_384, 2_049);
    let mut builder = hdf5_pure::FileBuilder::new();
    let (mut state, mut joint) = (builder.create_group("state"), builder.create_group("joint"));
    let zeros = vec![0; rows * width];
    let position = joint.create_dataset("position").with_u8_data(&zeros);
    position.with_shape(&[rows as u64, width as u64]).with_chunks(&[1024, width as u64]).with_deflate(6);
    state.add_group(joint.finish());
    builder.add_group(state.finish());
    builder.write(&file).unwrap();
    assert!(std::fs::metadata(&file).unwrap().len() < 1 << 18);
    let dataset = AgiBot::open(folder.path(), &OpenOptions::default()).unwrap();
    let error = dataset.rows(&[0]).unwrap_err().to_string();
    assert!(error.contains("state/joint/position") && error.contains("33554432 numbers"), "{error}");
}

#[test]
fn every_truncation_of_a_file_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("cut.hdf5");
    let bytes = std::fs::read(fixture("libero/open_the_drawer_demo.hdf5")).unwrap();
    for length in (0..bytes.len() - 1).step_by(997) {
        std::fs::write(&copy, &bytes[..length]).unwrap();
        let opened = Robomimic::open(&copy, &OpenOptions::default());
        let read = opened.and_then(|dataset| {
            let view = View { region: Region::FULL, height: 4, width: 4 };
            dataset.rows(&[0, 1])?;
            dataset.read("agentview_rgb", &Stretch { episode: 1, frames: vec![0, 1, 2] }, &view)
        });
        let error = read.err().unwrap().to_string();
        assert!(error.contains("cut.hdf5"), "cut at {length}: {error}");
    }
}

/// `robodesk.hdf5` whose first tree of a kind (0 group, 1 chunks) becomes 40 levels of nodes that hold the next one
/// twice: 2^40 ways to the leaf. `key` is the length of a key.
fn doubled(kind: u8, key: usize, copy: &Path) {
    let mut bytes = std::fs::read(fixture("robodesk.hdf5")).unwrap();
    let tree =
        (0..bytes.len()).find(|&at| bytes[at..].starts_with(b"TREE") && bytes[at + 4] == kind).unwrap();
    let leaf = bytes[tree..tree + 24 + 2 * (key + 8) + key].to_vec();
    let first = bytes.len();
    bytes.extend(&leaf);
    let mut next = first as u64;
    for level in 1..=40 {
        let mut node = leaf.clone();
        node[5] = level;
        node[6..8].copy_from_slice(&2u16.to_le_bytes());
        for child in 0..2 {
            let at = 24 + key + child * (key + 8);
            node[at..at + 8].copy_from_slice(&next.to_le_bytes());
        }
        next = bytes.len() as u64;
        bytes.extend(&node);
        bytes[tree..tree + node.len()].copy_from_slice(&node);
    }
    let end = bytes.len() as u64;
    bytes[END].copy_from_slice(&end.to_le_bytes());
    std::fs::write(copy, bytes).unwrap();
}

#[test]
fn trees_of_endless_ways_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("doubled.hdf5");
    let says = |error: Error| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains("circles"), "{error}: {source}");
    };
    doubled(0, 8, &copy);
    says(Robomimic::open(&copy, &OpenOptions::default()).err().unwrap());
    // Four axes and the element, and two numbers before them.
    doubled(1, 48, &copy);
    let robodesk = Robomimic::open(&copy, &OpenOptions::default()).unwrap();
    let view = View { region: Region::FULL, height: 4, width: 4 };
    says(robodesk.read("camera_image", &Stretch { episode: 0, frames: vec![0] }, &view).err().unwrap());
}

#[test]
fn a_name_repeated_by_every_entry_is_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("names.hdf5");
    let mut bytes = std::fs::read(fixture("libero/open_the_drawer_demo.hdf5")).unwrap();
    // The root group's names become one of 300,000 bytes at the end of the file, which 5,000 entries share.
    let heap = bytes.windows(4).position(|at| at == b"HEAP").unwrap();
    let node = bytes.windows(4).position(|at| at == b"SNOD").unwrap();
    let tree = bytes.windows(4).position(|at| at == b"TREE").unwrap();
    let entry = bytes[node + 8..node + 48].to_vec();
    let names = bytes.len() as u64;
    bytes.resize(bytes.len() + 300_000, b'a');
    bytes.extend([0; 8]);
    bytes[heap + 8..heap + 16].copy_from_slice(&300_008u64.to_le_bytes());
    bytes[heap + 24..heap + 32].copy_from_slice(&names.to_le_bytes());
    let moved = bytes.len() as u64;
    bytes.extend(b"SNOD\x01\x00");
    bytes.extend(5000u16.to_le_bytes());
    for _ in 0..5000 {
        bytes.extend(&0u64.to_le_bytes());
        bytes.extend(&entry[8..]);
    }
    bytes[tree + 32..tree + 40].copy_from_slice(&moved.to_le_bytes());
    let end = bytes.len() as u64;
    bytes[END].copy_from_slice(&end.to_le_bytes());
    std::fs::write(&copy, bytes).unwrap();
    let error = Robomimic::open(&copy, &OpenOptions::default()).err().unwrap();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.contains("circles"), "{error}: {source}");
}
