//! Plain video files: the right frames at the right times, in bounded chunks; and files that cannot be read.

mod support;

use std::path::{Path, PathBuf};

use cola_data::{ClipOptions, ClipSource, Error, Frames, LeRobot, Region, VideoFile, View, resize};
use support::{ROBODESK, Toy, load, options};

const B_FRAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/b_frames.mp4");

/// All chunks of `numbers`.
fn read(
    video: &VideoFile,
    numbers: impl IntoIterator<Item = usize>,
    view: &View,
    chunk: usize,
) -> Result<Vec<(Vec<usize>, Frames)>, Error> {
    let mut chunks = Vec::new();
    video.read(numbers, view, chunk, |numbers, frames| {
        chunks.push((numbers.to_vec(), frames));
        Ok::<(), Error>(())
    })?;
    Ok(chunks)
}

/// The error of opening a copy of the toy video as changed.
fn refused(change: impl FnOnce(&mut Vec<u8>)) -> (Error, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    let mut bytes = std::fs::read(B_FRAMES).unwrap();
    change(&mut bytes);
    std::fs::write(&file, bytes).unwrap();
    let error = VideoFile::open(&file).err().expect("the file is refused");
    let text = error.to_string();
    assert!(text.contains("film.mp4"), "{text}");
    (error, text)
}

/// Place of the last `name` in `bytes`; the names of brands come first.
fn place(bytes: &[u8], name: &[u8; 4]) -> usize {
    bytes.windows(4).rposition(|window| window == name).unwrap()
}

#[test]
fn frames_with_b_frames_come_in_order_of_presentation() {
    let video = VideoFile::open(Path::new(B_FRAMES)).unwrap();
    assert_eq!((video.frames(), video.height(), video.width()), (24, 32, 48));
    assert_eq!(video.path(), Path::new(B_FRAMES));
    let times: Vec<f64> = (0..24).map(|frame| f64::from(frame) / 5.0).collect();
    assert!(video.times().iter().zip(times).all(|(found, expected)| (found - expected).abs() < 1e-9));
    assert!((video.mean_rate().unwrap() - 5.0).abs() < 1e-9);
    let chunks = read(&video, 3..21, &video.full_view(), 7).unwrap();
    assert_eq!(chunks.iter().map(|(_, frames)| frames.count).collect::<Vec<_>>(), [7, 7, 4]);
    for (number, pixel) in chunks.iter().flat_map(|(numbers, frames)| {
        numbers.iter().enumerate().map(|(frame, &number)| (number, frames.frame(frame)[0]))
    }) {
        assert!((i32::from(pixel) - (20 + 8 * number as i32)).abs() < 4, "frame {number}: {pixel}");
    }
}

#[test]
fn frames_of_a_variable_rate_and_an_odd_size_keep_their_times() {
    // libx264, key frames every 6, B frames; picture `n`, shown at `n / 10` s, has the luma `30 + 6 n`.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/variable_rate.mp4");
    let video = VideoFile::open(Path::new(file)).unwrap();
    assert_eq!((video.frames(), video.height(), video.width()), (12, 38, 50));
    assert!((video.mean_rate().unwrap() - 11.0 / 3.0).abs() < 1e-9);
    let shown = [0, 1, 2, 5, 6, 10, 11, 17, 18, 19, 29, 30];
    let frames = read(&video, 0..12, &video.full_view(), 12).unwrap().remove(0).1;
    for (frame, picture) in shown.into_iter().enumerate() {
        let time = f64::from(picture) / 10.0;
        assert!((video.times()[frame] - time).abs() < 1e-9, "frame {frame}: {}", video.times()[frame]);
        assert_eq!(video.nearest(time), frame);
        let luma = f64::from(frames.frame(frame)[0]) * 219.0 / 255.0 + 16.0;
        assert_eq!(((luma - 30.0) / 6.0).round(), f64::from(picture), "frame {frame}");
    }
}

#[test]
fn frames_of_the_shipped_video_equal_those_of_its_clips_bit_for_bit() {
    let dataset = LeRobot::open(Path::new(ROBODESK)).unwrap();
    let region = Region { top: 0.25, left: 0.125, height: 0.5, width: 0.75 };
    let options = ClipOptions { region, store: 40, ..options(16) };
    let clips = load(&dataset, "valid", &options).unwrap();
    let file: PathBuf = Path::new(ROBODESK).join("videos/observation.images.camera/chunk-000/file-000.mp4");
    let video = VideoFile::open(&file).unwrap();
    assert_eq!((video.frames(), video.mean_rate()), (10_240, Some(1.0)));
    // Episodes of 16 frames a second apart lie one after the other; `valid` begins with number 560.
    let chunks = read(&video, 560 * 16..600 * 16, &View { region, height: 40, width: 40 }, 16).unwrap();
    assert_eq!(chunks.len(), clips.len());
    for (index, (_, frames)) in chunks.iter().enumerate() {
        assert!(*frames == clips.clip(index).unwrap().frames, "episode {index} of the split");
    }
}

#[test]
fn skipped_frames_and_views_are_what_a_full_read_gives() {
    let video = VideoFile::open(Path::new(B_FRAMES)).unwrap();
    let all = read(&video, 0..24, &video.full_view(), 24).unwrap().remove(0).1;
    let region = Region { left: 0.5, width: 0.25, ..Region::FULL };
    let part = resize(&all, &region.pixels(32, 48).unwrap(), 9, 5).unwrap();
    let numbers = [0, 1, 9, 16, 23];
    for (numbers, frames) in read(&video, numbers, &View { region, height: 9, width: 5 }, 2).unwrap() {
        for (frame, &number) in numbers.iter().enumerate() {
            assert_eq!(frames.frame(frame), part.frame(number), "frame {number}");
        }
    }
    assert!(read(&video, [], &video.full_view(), 1).unwrap().is_empty());
}

#[test]
fn an_error_of_the_taker_ends_the_reading() {
    let video = VideoFile::open(Path::new(B_FRAMES)).unwrap();
    let mut heard = 0;
    let error = video.read(0..24, &video.full_view(), 1, |numbers, _| {
        heard += 1;
        if numbers == [5] { Err(Error::MissingFolder { path: "full".into() }) } else { Ok(()) }
    });
    assert!(matches!(error, Err(Error::MissingFolder { .. })));
    assert_eq!(heard, 6);
}

#[test]
fn the_nearest_frame_of_a_time_is_found() {
    let video = VideoFile::open(Path::new(B_FRAMES)).unwrap();
    let nearest = [-1.0, 0.09, 0.11, 4.6, 1e9].map(|time| video.nearest(time));
    assert_eq!(nearest, [0, 0, 1, 23, 23]);
}

#[test]
fn senseless_requests_name_the_argument() {
    let video = VideoFile::open(Path::new(B_FRAMES)).unwrap();
    let full = video.full_view();
    let outside = Region { left: 0.5, ..Region::FULL };
    let requests: [(&[usize], View, usize, &str); 6] = [
        (&[0, 24], full, 1, "numbers"),
        (&[2, 2], full, 1, "numbers"),
        (&[0], full, 0, "chunk"),
        (&[0], View { height: 0, ..full }, 1, "view"),
        (&[0], View { width: 1 << 20, ..full }, 1, "view"),
        (&[0], View { region: outside, ..full }, 1, "region"),
    ];
    for (numbers, view, chunk, name) in requests {
        let error = read(&video, numbers.iter().copied(), &view, chunk).unwrap_err();
        assert!(matches!(&error, Error::Setting { field, .. } if *field == name), "{error}");
    }
}

#[test]
#[cfg(not(feature = "ffmpeg"))]
fn foreign_codecs_and_profiles_are_named_with_the_mend() {
    for (code, name) in [(b"hev1", "HEVC"), (b"vp09", "VP9")] {
        let (error, text) = refused(|bytes| {
            let at = place(bytes, b"avc1");
            bytes[at..at + 4].copy_from_slice(code);
        });
        assert!(matches!(error, Error::Codec { .. }), "{text}");
        for part in [name, "--features ffmpeg", "ffmpeg -i in.mp4 -c:v libx264"] {
            assert!(text.contains(part), "{text}");
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/av1_10_bit.mp4");
    let text = VideoFile::open(Path::new(file)).err().expect("a codec that is not decoded").to_string();
    assert!(text.contains("AV1") && text.contains("--features ffmpeg"), "{text}");
    assert!(!cfg!(feature = "av1") || text.contains("AV1 of 10 bits"), "{text}");
    let (error, text) = refused(|bytes| {
        let at = place(bytes, b"avcC");
        bytes[at + 5] = 110;
    });
    assert!(matches!(error, Error::Codec { .. }) && text.contains("High 10"), "{text}");
}

#[test]
fn files_that_are_no_video_say_what_to_do() {
    let (_, text) = refused(|bytes| bytes.truncate(0));
    assert!(text.contains("not a complete mp4 or mov file"), "{text}");
    let (_, text) = refused(|bytes| {
        let at = place(bytes, b"vide");
        bytes[at..at + 4].copy_from_slice(b"soun");
    });
    assert!(text.contains("no video track"), "{text}");
    let error = VideoFile::open(Path::new("no/film.mp4")).err().unwrap();
    assert!(matches!(error, Error::MissingFile { .. }), "{error}");
}

#[test]
#[cfg(not(feature = "ffmpeg"))]
fn other_containers_are_named_with_the_mend() {
    let starts: [(&[u8], &str); 2] =
        [(b"RIFF0000AVI LIST and so on", "AVI"), (b"\x1a\x45\xdf\xa3 and so on", "Matroska or WebM")];
    for (start, name) in starts {
        let (error, text) = refused(|bytes| *bytes = start.to_vec());
        assert!(matches!(error, Error::Codec { .. }) && text.contains(name), "{text}");
        assert!(text.contains("--features ffmpeg") && text.contains("-c copy out.mp4"), "{text}");
    }
    // Only fragmented files have this box; `udta` is one that nothing reads.
    let (_, text) = refused(|bytes| {
        let (track, extra) = (place(bytes, b"trak"), place(bytes, b"udta"));
        bytes[track..track + 4].copy_from_slice(b"free");
        bytes[extra..extra + 4].copy_from_slice(b"mvex");
    });
    assert!(text.contains("fragmented") && text.contains("in one piece"), "{text}");
    // Fragments after an index that has pictures itself would be lost without a word.
    let (_, text) = refused(|bytes| {
        let extra = place(bytes, b"udta");
        bytes[extra..extra + 4].copy_from_slice(b"mvex");
        bytes.extend_from_slice(b"\0\0\0\x08moof");
    });
    assert!(text.contains("fragmented"), "{text}");
}

#[test]
fn a_header_of_another_size_is_refused() {
    let (_, text) = refused(|bytes| {
        let at = place(bytes, b"avc1") + 4;
        bytes[at + 24..at + 28].fill(0);
    });
    assert!(text.contains("0 x 0"), "{text}");
    let (_, text) = refused(|bytes| {
        let at = place(bytes, b"avc1") + 4;
        bytes[at + 24..at + 28].fill(0xff);
    });
    assert!(text.contains("65535 x 65535"), "{text}");
    // Each side alone is fine.
    let (_, text) = refused(|bytes| {
        let at = place(bytes, b"avc1") + 4;
        bytes[at + 24..at + 28].copy_from_slice(&[0x40, 0, 0x20, 0]);
    });
    assert!(text.contains("8192 x 16384") && text.contains("67108864 pixels"), "{text}");

    let mut toy = Toy::new();
    let at = place(&toy.video, b"avc1") + 4;
    toy.video[at + 25] = 64;
    let toy = toy.write();
    let video = VideoFile::open(&toy.video_file(0)).unwrap();
    let error = read(&video, 0..24, &video.full_view(), 1).unwrap_err();
    assert!(matches!(error, Error::FrameSize { found: (32, 48), expected: (32, 64), .. }), "{error}");
    assert!(error.to_string().contains("re-encode"), "{error}");
}

#[test]
fn a_video_of_one_picture_has_one_size_for_all_samples() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/one_frame.mp4");
    let bytes = std::fs::read(file).unwrap();
    let at = place(&bytes, b"stsz");
    assert_ne!(bytes[at + 8..at + 12], [0; 4], "the case of this test");
    let video = VideoFile::open(Path::new(file)).unwrap();
    assert_eq!((video.frames(), video.height(), video.width()), (1, 24, 32));
    let chunks = read(&video, 0..1, &video.full_view(), 8).unwrap();
    assert_eq!(chunks[0].1.count, 1);

    // Nor may it claim more samples than the file can hold.
    let folder = tempfile::tempdir().unwrap();
    let hostile = folder.path().join("film.mp4");
    for count in [u32::MAX, 1 << 20] {
        let mut bytes = bytes.clone();
        bytes[at + 12..at + 16].copy_from_slice(&count.to_be_bytes());
        std::fs::write(&hostile, bytes).unwrap();
        let text = VideoFile::open(&hostile).err().expect("too many samples").to_string();
        assert!(text.contains("stsz") && text.contains("film.mp4"), "{text}");
    }
}
