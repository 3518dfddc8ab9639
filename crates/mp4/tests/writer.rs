//! Videos, their index read again; the pictures are compared where they are decoded, in `cola-report` and `cola-data`.

use std::path::Path;

use cola_mp4::{Error, VideoOptions, VideoWriter};
use mp4_atom::{Decode, Ftyp, Mdat, Moov};

/// A slope that moves, so that no two pictures are alike.
fn picture(time: usize) -> Vec<u8> {
    (0..32 * 48 * 3).map(|place| (place / 3 % 48 * 4 + time) as u8).collect()
}

/// Numbers of key frames, sizes of pictures and the pictures of a file.
fn read(path: &Path) -> (Vec<u32>, Vec<u32>, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    Ftyp::decode(&mut rest).unwrap();
    let movie = Moov::decode(&mut rest).unwrap();
    let tables = &movie.trak[0].mdia.minf.stbl;
    let mp4_atom::StszSamples::Different { sizes } = &tables.stsz.samples else {
        panic!("sizes of pictures")
    };
    let data = Mdat::decode(&mut rest).unwrap().data;
    assert!(rest.is_empty());
    (tables.stss.as_ref().unwrap().entries.clone(), sizes.clone(), data)
}

fn options() -> VideoOptions {
    VideoOptions { key_every: 4, ..VideoOptions::new(48, 32, 10.0) }
}

#[test]
fn a_group_begins_where_it_is_asked_for_and_every_so_many_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.mp4");
    let mut video = VideoWriter::create(&path, &options()).unwrap();
    for time in 0..14 {
        if time == 6 {
            video.begin_group();
        }
        video.push(&picture(time)).unwrap();
    }
    assert_eq!(video.frames(), 14);
    let total = video.bytes();
    video.finish().unwrap();
    let (keys, sizes, data) = read(&path);
    assert_eq!(keys, [1, 5, 7, 11]);
    assert_eq!(sizes.len(), 14);
    assert_eq!((data.len() as u64, sizes.iter().map(|size| u64::from(*size)).sum::<u64>()), (total, total));
}

#[test]
fn a_coarser_quantizer_makes_a_smaller_file() {
    let folder = tempfile::tempdir().unwrap();
    let size = |quantizer| {
        let path = folder.path().join(format!("{quantizer}.mp4"));
        let mut video = VideoWriter::create(&path, &VideoOptions { quantizer, ..options() }).unwrap();
        (0..8).for_each(|time| video.push(&picture(time * 5)).unwrap());
        video.finish().unwrap();
        std::fs::metadata(path).unwrap().len()
    };
    assert!(size(14) > size(30));
}

#[test]
fn a_video_dropped_half_way_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut video = VideoWriter::create(folder.path().join("film.mp4"), &options()).unwrap();
    video.push(&picture(0)).unwrap();
    drop(video);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_frame_of_another_size_is_refused_and_the_video_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.mp4");
    let mut video = VideoWriter::create(&path, &options()).unwrap();
    video.push(&picture(0)).unwrap();
    let error = video.push(&picture(1)[1..]).unwrap_err();
    assert!(matches!(error, Error::Pixels { frame: 1, expected: 4608, found: 4607, .. }), "{error}");
    video.push(&picture(1)).unwrap();
    video.finish().unwrap();
    assert_eq!(read(&path).1.len(), 2);
}

#[test]
fn what_no_video_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.mp4");
    let create = |options: VideoOptions| VideoWriter::create(&path, &options).err().unwrap();
    assert!(matches!(create(VideoOptions { fps: f64::NAN, ..options() }), Error::FrameRate { .. }));
    assert!(matches!(create(VideoOptions { width: 15, ..options() }), Error::Size { width: 15, .. }));
    for (key_every, quantizer) in [(0, 14), (4, 11), (4, 52)] {
        let error = create(VideoOptions { key_every, quantizer, ..options() });
        assert!(matches!(error, Error::Coding { .. }), "{error}");
    }
    let error = VideoWriter::create(&path, &options()).unwrap().finish().unwrap_err();
    assert!(matches!(error, Error::NoFrames { .. }));
    let missing = VideoWriter::create(folder.path().join("none/film.mp4"), &options()).err().unwrap();
    assert!(missing.to_string().contains("none/film.mp4"), "{missing}");
    assert!(!path.exists());
}
