//! Event files, read back by a parser that shares nothing with the writer.

use std::path::Path;

use cola_report::{EventWriter, Image};

/// CRC-32C bit by bit, from its definition.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The events of a file, their checksums checked.
fn events(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut events) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(u32_at(&bytes, at + 8), masked(&bytes[at..at + 8]), "checksum of a length");
        let data = &bytes[at + 12..at + 12 + length];
        assert_eq!(u32_at(&bytes, at + 12 + length), masked(data), "checksum of an event");
        events.push(data.to_vec());
        at += length + 16;
    }
    events
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The bytes of a field: eight for a varint or a double, four for a float.
fn field(message: &[u8], wanted: u64) -> Option<Vec<u8>> {
    let mut at = 0;
    while at < message.len() {
        let key = varint(message, &mut at);
        let value = match key & 7 {
            0 => varint(message, &mut at).to_le_bytes().to_vec(),
            wire => {
                let length = match wire {
                    1 => 8,
                    5 => 4,
                    2 => varint(message, &mut at) as usize,
                    other => panic!("wire type {other}"),
                };
                at += length;
                message[at - length..at].to_vec()
            }
        };
        if key >> 3 == wanted {
            return Some(value);
        }
    }
    None
}

fn path_of(message: &[u8], fields: &[u64]) -> Option<Vec<u8>> {
    fields.iter().try_fold(message.to_vec(), |message, wanted| field(&message, *wanted))
}

fn int(message: &[u8], fields: &[u64]) -> i64 {
    i64::from_le_bytes(path_of(message, fields).unwrap().try_into().unwrap())
}

#[test]
fn the_checksum_of_this_test_is_the_standard_one() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn a_file_opens_with_its_version_and_this_time() {
    let folder = tempfile::tempdir().unwrap();
    let writer = EventWriter::create(folder.path().join("made/on/the/way")).unwrap();
    let events = events(writer.path());
    assert_eq!(events.len(), 1);
    assert_eq!(field(&events[0], 3).unwrap(), b"brain.Event:2");
    let time = f64::from_le_bytes(field(&events[0], 1).unwrap().try_into().unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - time).abs() < 60.0, "{time} is not now");
    let name = writer.path().file_name().unwrap().to_str().unwrap();
    let seconds = name.strip_prefix("events.out.tfevents.").unwrap().split('.').next().unwrap();
    assert!(seconds.parse::<u64>().unwrap().abs_diff(now as u64) < 60, "{name}");
}

#[test]
fn scalars_come_back_with_tag_step_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    let written = [
        ("loss/world", 0, 0.25),
        ("loss/world", 300, f32::NAN),
        ("psnr", 5_000_000_000, -1.5),
        ("t", -1, 0.0),
    ];
    for (tag, step, value) in written {
        writer.scalar(tag, step, value).unwrap();
    }
    writer.flush().unwrap();
    let events = events(writer.path());
    assert_eq!(events.len(), 1 + written.len());
    for (event, (tag, step, value)) in events[1..].iter().zip(written) {
        assert_eq!(path_of(event, &[5, 1, 1]).unwrap(), tag.as_bytes());
        assert_eq!(int(event, &[2]), step);
        assert_eq!(path_of(event, &[5, 1, 2]).unwrap(), value.to_le_bytes());
    }
}

#[test]
fn a_histogram_comes_back_with_a_bucket_for_each_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    // Unused codes at both ends count as well.
    writer.histogram("codes", 40, &[0, 3, 7, 0]).unwrap();
    writer.histogram("none", 41, &[]).unwrap();
    writer.flush().unwrap();
    let events = events(writer.path());
    let event = &events[1];
    assert_eq!(int(event, &[2]), 40);
    assert_eq!(path_of(event, &[5, 1, 1]).unwrap(), b"codes");
    assert_eq!(int(event, &[5, 1, 8, 1]), 2, "the tensor holds doubles");
    assert_eq!(int(event, &[5, 1, 8, 2, 2, 1]), 4, "four buckets");
    let shape = path_of(event, &[5, 1, 8, 2]).unwrap();
    assert_eq!(shape, [0x12, 2, 0x08, 4, 0x12, 2, 0x08, 3], "four rows of three");
    let doubles: Vec<f64> = path_of(event, &[5, 1, 8, 4])
        .unwrap()
        .chunks_exact(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let expected = [-0.5, 0.5, 0.0, 0.5, 1.5, 3.0, 1.5, 2.5, 7.0, 2.5, 3.5, 0.0];
    assert_eq!(doubles, expected);
    assert_eq!(path_of(event, &[5, 1, 9, 1, 1]).unwrap(), b"histograms");
    assert_eq!(int(event, &[5, 1, 9, 4]), 2, "a tensor, for readers that ask for the class of the data");
    assert_eq!(int(&events[2], &[5, 1, 8, 2, 2, 1]), 0, "no bucket");
}

#[test]
fn a_picture_comes_back_as_its_png() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::from_rgb(20, 10, (0..600).map(|index| index as u8).collect()).unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.image("strip", 7, &image).unwrap();
    writer.flush().unwrap();
    let event = &events(writer.path())[1];
    assert_eq!(int(event, &[2]), 7);
    assert_eq!(
        (int(event, &[5, 1, 4, 1]), int(event, &[5, 1, 4, 2]), int(event, &[5, 1, 4, 3])),
        (10, 20, 3)
    );
    assert_eq!(path_of(event, &[5, 1, 4, 4]).unwrap(), image.to_png().unwrap());
}

#[test]
fn a_text_comes_back_for_the_text_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.text("config", 0, "| codes | 32 |").unwrap();
    writer.flush().unwrap();
    let event = &events(writer.path())[1];
    assert_eq!(path_of(event, &[5, 1, 8, 8]).unwrap(), b"| codes | 32 |");
    assert_eq!(int(event, &[5, 1, 8, 1]), 7, "the tensor holds strings");
    assert_eq!(int(event, &[5, 1, 8, 2, 2, 1]), 1, "one of them");
    assert_eq!(path_of(event, &[5, 1, 9, 1, 1]).unwrap(), b"text");
}

#[test]
fn a_resumed_run_starts_a_later_file_that_overrules_the_steps_to_come() {
    let folder = tempfile::tempdir().unwrap();
    let first = EventWriter::create(folder.path()).unwrap();
    let before = std::fs::read(first.path()).unwrap();
    let second = EventWriter::resume(folder.path(), 500).unwrap();
    assert!(second.path() > first.path(), "readers go by name");
    assert_eq!(std::fs::read(first.path()).unwrap(), before);
    let events = events(second.path());
    assert_eq!(field(&events[0], 3).unwrap(), b"brain.Event:2");
    assert_eq!((int(&events[1], &[2]), int(&events[1], &[7, 1])), (500, 1));
}
