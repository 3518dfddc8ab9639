//! RLDS sets for tests: copies of the fixtures, and records put together byte by byte.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};

use cola_data::{Error, OpenOptions, Rlds};
use tempfile::TempDir;

/// Written by TensorFlow Datasets, see `tests/fixtures/rlds.py`.
pub(crate) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rlds");

/// Height and width of the pictures in the fixtures.
pub(crate) const SIZE: (usize, usize) = (24, 32);

pub(crate) fn open(root: &Path) -> Result<Rlds, Error> {
    Rlds::open(root, &OpenOptions::default())
}

/// Copies a version of a fixture into `to`, each file under the name that `rename` gives it.
pub(crate) fn copy(fixture: &str, to: &Path, rename: impl Fn(&str) -> Option<String>) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(Path::new(FIXTURES).join(fixture)).unwrap() {
        let file = entry.unwrap().path();
        if let Some(name) = rename(file.file_name().unwrap().to_str().unwrap()) {
            std::fs::copy(&file, to.join(name)).unwrap();
        }
    }
}

/// A set of one shard with these bytes, without `features.json`.
pub(crate) fn shard(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made-train.tfrecord-00000-of-00001");
    std::fs::write(&file, bytes).unwrap();
    (folder, file)
}

/// A TFRecord with right checksums.
pub(crate) fn record(data: &[u8]) -> Vec<u8> {
    framed(data, data.len() as u64)
}

/// A TFRecord that claims another length; its checksums are right.
pub(crate) fn framed(data: &[u8], length: u64) -> Vec<u8> {
    let masked =
        |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = length.to_le_bytes();
    [&length, &masked(&length)[..], data, &masked(data)].concat()
}

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field that has a length: a message, bytes, or packed numbers.
pub(crate) fn message(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

pub(crate) fn blobs<T: AsRef<[u8]>>(values: &[T]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|value| message(1, value.as_ref())).collect();
    message(1, &items)
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    message(2, &message(1, &packed))
}

pub(crate) fn integers(values: &[i64]) -> Vec<u8> {
    let packed: Vec<u8> = values.iter().flat_map(|value| varint(*value as u64)).collect();
    message(3, &message(1, &packed))
}

/// Name and `Feature`.
pub(crate) type Fields = Vec<(&'static str, Vec<u8>)>;

pub(crate) fn example(fields: &Fields) -> Vec<u8> {
    let entry = |(name, feature): &(&str, Vec<u8>)| {
        message(1, &[message(1, name.as_bytes()), message(2, feature)].concat())
    };
    message(1, &fields.iter().flat_map(entry).collect::<Vec<u8>>())
}

/// An episode of 3 steps: pictures of 2 x 3, actions of 2 numbers, an instruction.
pub(crate) fn episode() -> Fields {
    let picture = |step: u8| png(2, 3, &[10 * step; 18]);
    let (a, b, c) = (picture(0), picture(1), picture(2));
    vec![
        ("steps/is_first", integers(&[1, 0, 0])),
        ("steps/observation/image", blobs(&[a, b, c])),
        ("steps/action", floats(&[0.0, 0.5, 1.0, 1.5, 2.0, 2.5])),
        ("steps/language_instruction", blobs(&[b"push"; 3])),
    ]
}

/// The episode with one field replaced.
pub(crate) fn episode_with(name: &'static str, feature: Vec<u8>) -> Fields {
    let mut fields = episode();
    fields.retain(|(found, _)| *found != name);
    fields.push((name, feature));
    fields
}

/// A PNG whose head claims `height` x `width`, whatever `rgb` holds; the rows are stored uncompressed.
pub(crate) fn png(height: u32, width: u32, rgb: &[u8]) -> Vec<u8> {
    let row = 3 * (width as usize).min(rgb.len() / 3);
    let rows: Vec<u8> = rgb.chunks(row).flat_map(|row| [&[0], row].concat()).collect();
    let length = (rows.len() as u16).to_le_bytes();
    let (mut low, mut high) = (1u32, 0u32);
    for byte in &rows {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    let stored =
        [&[0x78, 1, 1], &length[..], &length.map(|byte| !byte), &rows, &(high << 16 | low).to_be_bytes()];
    let head = [&height_width(height, width)[..], &[8, 2, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", head), (b"IDAT", stored.concat()), (b"IEND", Vec::new())] {
        let chunk = [&name[..], &content].concat();
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(&chunk);
        bytes.extend(crc32(&chunk).to_be_bytes());
    }
    bytes
}

fn height_width(height: u32, width: u32) -> [u8; 8] {
    let [a, b, c, d] = width.to_be_bytes();
    let [e, f, g, h] = height.to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}
