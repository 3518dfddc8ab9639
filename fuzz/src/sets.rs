//! The data sets on disk, and what is put right in a file before it is read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

use cola_data::{Camera, EpisodeData, Frames, Rows, ShardLayout, ShardWriter};
use serde_json::Value;

use crate::places::Place;

/// The crate's own test data.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/data/tests/data");

/// The data set around the fuzzer's file.
pub(crate) enum Base {
    /// That file alone.
    Empty,
    /// A folder of the test data.
    Copy(&'static str),
    /// A folder of the test data without one of its files.
    Without(&'static str, &'static str),
    /// One video.
    Film,
    /// Two episodes in shards.
    Shards,
    /// What a run or one of its parts writes.
    Written(fn(root: &Path) -> Result<()>),
}

impl Base {
    /// Makes the data set in `root`.
    pub(crate) fn make(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root)?;
        match self {
            Self::Empty => Ok(()),
            Self::Copy(set) => copy(&Path::new(DATA).join(set), root),
            Self::Without(set, file) => {
                copy(&Path::new(DATA).join(set), root)?;
                fs::remove_file(root.join(file))
            }
            Self::Film => fs::copy(Path::new(DATA).join("b_frames.mp4"), root.join("film.mp4")).map(drop),
            Self::Written(write) => write(root),
            Self::Shards => shards(root).map_err(std::io::Error::other),
        }
    }
}

/// A new folder, in memory where that is possible.
pub(crate) fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("cola-fuzz-").tempdir_in(home);
    folder.expect("a folder for temporary files").keep()
}

pub(crate) fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// Writes the first inputs of a place into the corpus.
pub(crate) fn write_seeds(corpus: &Path, number: usize, place: &Place, root: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    let files = place.seeds.iter().map(|name| Path::new(DATA).join(name));
    let own = Some(root.join(place.file)).filter(|file| file.is_file());
    let files = own.into_iter().chain(files).map(fs::read).collect::<Result<Vec<_>>>()?;
    let texts = place.texts.iter().map(|text| text.as_bytes().to_vec());
    for (seed, bytes) in files.into_iter().chain(texts).enumerate() {
        let input = [&[number as u8], bytes.as_slice()].concat();
        fs::write(corpus.join(format!("seed-{number}-{seed}")), input)?;
    }
    Ok(())
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn shards(root: &Path) -> std::result::Result<(), cola_data::Error> {
    let cameras = vec![Camera { key: "top".into(), size: Some((4, 6)) }];
    let layout = ShardLayout { cameras, action_dim: 2, state_dim: 1, shard_bytes: ShardLayout::SHARD_BYTES };
    let mut writer = ShardWriter::create(root, &layout)?;
    for frames in [2usize, 3] {
        let times = (0..frames).map(|frame| frame as f64 / 5.0).collect();
        let (actions, states) = (vec![0.5; 2 * frames], vec![0.25; frames]);
        let rows = Rows { times, actions, action_dim: 2, states, state_dim: 1 };
        let pictures = Frames { count: frames, height: 4, width: 6, rgb: vec![128; frames * 4 * 6 * 3] };
        let (texts, pictures) = (vec!["push".into()], vec![("top".into(), pictures)]);
        writer.push(EpisodeData { name: format!("of {frames}"), rate: Some(5.0), texts, rows, pictures })?;
    }
    writer.finish(&BTreeMap::from([("train".into(), vec![0]), ("valid".into(), vec![1])]))
}

/// Gives every record of a TFRecord file the checksums of what it holds.
pub(crate) fn mend_records(_: &Path, bytes: &mut [u8]) {
    let sum = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut rest = bytes;
    while let Some((head, data)) = rest.split_at_mut_checked(12) {
        let (length, checksum) = head.split_at_mut(8);
        checksum.copy_from_slice(&sum(length));
        let length = length.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((data, after)) = data.split_at_mut_checked(length) else { return };
        let Some((checksum, after)) = after.split_at_mut_checked(4) else { return };
        checksum.copy_from_slice(&sum(data));
        rest = after;
    }
}

/// Tells the index of a set of shards how long its shard has become.
pub(crate) fn mend_index(root: &Path, bytes: &mut [u8]) {
    let file = root.join("shards.json");
    let index = fs::read(&file).expect("the index of the shards");
    let mut index: Value = serde_json::from_slice(&index).expect("what the writer wrote");
    index["shards"][0]["bytes"] = bytes.len().into();
    fs::write(&file, index.to_string()).expect("the folder of the shards");
}
