//! Every picture against FFmpeg's, before any conversion of colours.

use std::path::Path;
use std::process::Command;

use super::start;
use crate::mp4::Track;
use crate::planes::Planes;

/// CRC-32 of the planes without padding, as FFmpeg's `framehash` has it.
fn checksum(planes: &Planes<'_>) -> String {
    let (half_height, half_width) = (planes.height.div_ceil(2), planes.width.div_ceil(2));
    let parts = [
        (planes.y, planes.strides.0, planes.height, planes.width),
        (planes.u, planes.strides.1, half_height, half_width),
        (planes.v, planes.strides.1, half_height, half_width),
    ];
    let mut sum = !0u32;
    for (plane, stride, height, width) in parts {
        for byte in (0..height).flat_map(|row| &plane[row * stride..row * stride + width]) {
            sum ^= u32::from(*byte);
            (0..8).for_each(|_| sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 });
        }
    }
    format!("{:08x}", !sum)
}

/// Checksums of all pictures of `file`, decoded from start to end.
fn checksums(file: &Path) -> Vec<String> {
    let track = Track::open(file).unwrap();
    let mut found = Vec::new();
    let mut show = |planes: Planes<'_>| {
        found.push(checksum(&planes));
        Ok(())
    };
    let mut decoder = start(&track, 0).unwrap();
    let bytes = std::fs::read(file).unwrap();
    for (number, sample) in track.samples.iter().enumerate() {
        let at = sample.offset as usize;
        assert!(decoder.push(number, bytes[at..at + sample.size].to_vec(), &mut show).is_ok());
    }
    assert!(decoder.finish(track.samples.len() - 1, &mut show).is_ok());
    drop(decoder);
    found
}

/// Numbers of the pictures that differ from FFmpeg's.
fn differing(name: &str, pictures: usize) -> Vec<usize> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let table = std::fs::read_to_string(data.join("pictures.crc")).unwrap();
    let rows = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let expected: Vec<String> = rows.filter(|row| row[0] == name).map(|row| row[2].to_owned()).collect();
    let found = checksums(&data.join(name));
    assert_eq!((found.len(), expected.len()), (pictures, pictures), "{name}");
    (0..pictures).filter(|&picture| found[picture] != expected[picture]).collect()
}

#[test]
fn h264_pictures_equal_those_of_ffmpeg() {
    for (name, pictures) in [
        ("h264_pyramid.mp4", 40),
        ("h264_grey.mp4", 6),
        ("h264_full_range.mp4", 3),
        ("b_frames.mp4", 24),
        ("variable_rate.mp4", 12),
        ("one_frame.mp4", 1),
    ] {
        assert!(differing(name, pictures).is_empty(), "{name}");
    }
}

#[test]
#[cfg(feature = "av1")]
fn av1_pictures_equal_those_of_ffmpeg_with_odd_sides_and_hidden_frames() {
    assert!(differing("av1_hidden.mp4", 50).is_empty());
    assert!(differing("av1_full_range.mp4", 3).is_empty());
}

/// `COLA_VIDEO=film.mp4 cargo test --release -p cola-data --lib -- --ignored pictures_of_any_file`
#[test]
#[ignore = "needs the program ffmpeg and a file named by COLA_VIDEO"]
fn pictures_of_any_file_equal_those_of_ffmpeg() {
    let file = std::env::var_os("COLA_VIDEO").expect("COLA_VIDEO names the file");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(&file).args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    let table = ffmpeg.args(["-f", "framehash", "-hash", "crc32", "-"]).output().unwrap();
    assert!(table.status.success());
    let table = String::from_utf8(table.stdout).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<String> = rows.map(|row| row.rsplit(',').next().unwrap().trim().to_owned()).collect();
    let found = checksums(Path::new(&file));
    assert_eq!(found.len(), expected.len());
    let wrong = (0..found.len()).find(|&picture| found[picture] != expected[picture]);
    assert_eq!(wrong, None, "first picture that differs");
    println!("{} pictures are equal", found.len());
}
