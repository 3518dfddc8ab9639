//! MP4s, read again by the crate that reads data sets.

#[path = "../../data/tests/support/mod.rs"]
mod support;

use std::path::Path;

use cola_data::{Frames, LeRobot};
use cola_mp4::Error as VideoError;
use cola_report::{Error, Image, save_mp4};
use mp4_atom::{Atom, Decode, Ftyp, Header, Mdat, Moov};
use serde_json::json;
use support::{Column, load, options, write_parquet};

/// A clip's frames from a data set with this file as its only video, each asked for at the time `n / fps`.
///
/// Reading fails where a frame is missing, has another size or is shown a tenth of a frame's time off.
fn decoded(video: &Path, count: usize, fps: f64, width: usize, height: usize) -> Frames {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let number = |dtype: &str| json!({ "dtype": dtype, "shape": [1], "names": null });
    let info = json!({
        "codebase_version": "v3.0", "robot_type": null, "total_episodes": 1, "total_frames": count, "fps": fps,
        "splits": { "all": "0:1" },
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            "camera": { "dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"] },
            "action": number("float32"), "timestamp": number("float32"),
            "frame_index": number("int64"), "episode_index": number("int64"), "index": number("int64")
        }
    });
    let named = |columns: &[(&str, Column)]| -> Vec<(String, Column)> {
        columns.iter().map(|(name, column)| ((*name).to_owned(), column.clone())).collect()
    };
    let one = |value| Column::Integers(vec![value]);
    let places: Vec<i64> = (0..count as i64).collect();
    let episodes = named(&[
        ("episode_index", one(0)),
        ("length", one(count as i64)),
        ("dataset_from_index", one(0)),
        ("dataset_to_index", one(count as i64)),
        ("data/chunk_index", one(0)),
        ("data/file_index", one(0)),
        ("videos/camera/chunk_index", one(0)),
        ("videos/camera/file_index", one(0)),
        ("videos/camera/from_timestamp", Column::Doubles(vec![0.0])),
    ]);
    let times = places.iter().map(|place| (*place as f64 / fps) as f32).collect();
    let rows = named(&[
        ("action", Column::Lists(1, vec![0.0; count])),
        ("timestamp", Column::Floats(times)),
        ("frame_index", Column::Integers(places.clone())),
        ("episode_index", Column::Integers(vec![0; count])),
        ("index", Column::Integers(places)),
    ]);
    write_parquet(&root.join("meta/episodes/chunk-000/file-000.parquet"), &episodes);
    write_parquet(&root.join("data/chunk-000/file-000.parquet"), &rows);
    std::fs::write(root.join("meta/info.json"), info.to_string()).unwrap();
    std::fs::create_dir_all(root.join("videos/camera/chunk-000")).unwrap();
    std::fs::copy(video, root.join("videos/camera/chunk-000/file-000.mp4")).unwrap();

    let set = LeRobot::open(root).unwrap();
    let clips = load(&set, "all", &options(count)).unwrap();
    clips.run_clip(0, 0, count).unwrap().frames
}

/// The boxes of a file.
fn boxes(path: &Path) -> (Ftyp, Moov, Mdat) {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let file = (
        Ftyp::decode(&mut rest).unwrap(),
        Moov::decode(&mut rest).unwrap(),
        Mdat::decode(&mut rest).unwrap(),
    );
    assert!(rest.is_empty());
    file
}

/// A square that moves over a gradient; chroma changes slowly but for the square's edges.
fn gradient(time: usize, width: usize, height: usize) -> Image {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (across, down) = (x * 120 / width, y * 120 / height);
            let inside = (4 + 2 * time..20 + 2 * time).contains(&x) && (12..28).contains(&y);
            let color = if inside { [230, 200, 180] } else { [40 + across, 160 - down, 60 + down] };
            rgb.extend(color.map(|value| value as u8));
        }
    }
    Image::from_rgb(width, height, rgb).unwrap()
}

fn clip(count: usize, width: usize, height: usize) -> Vec<Image> {
    (0..count).map(|time| gradient(time, width, height)).collect()
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / square).log10()
}

#[test]
fn every_frame_comes_back_in_order_at_its_time_at_38_db_or_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    // More than two groups, at a rate that is no whole number.
    let (frames, fps) = (clip(40, 96, 64), 12.5);
    save_mp4(&path, &frames, fps).unwrap();
    let back = decoded(&path, 40, fps, 96, 64);
    assert_eq!((back.count, back.width, back.height), (40, 96, 64));
    for (index, frame) in frames.iter().enumerate() {
        let quality = |other| psnr(&frame.rgb, back.frame(other));
        assert!(quality(index) > 38.0, "frame {index}: {:.1} dB", quality(index));
        let nearest = (0..40).max_by(|a, b| quality(*a).total_cmp(&quality(*b)));
        assert_eq!(nearest, Some(index));
    }
}

#[test]
fn noise_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    // Far more bits than the encoder was told to expect; grey, so that nothing is lost in the colors.
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        [(state >> 24) as u8; 3]
    };
    let frames: Vec<Image> = (0..20)
        .map(|_| Image::from_rgb(64, 64, (0..64 * 64).flat_map(|_| noise()).collect()).unwrap())
        .collect();
    save_mp4(&path, &frames, 30.0).unwrap();
    let back = decoded(&path, 20, 30.0, 64, 64);
    for (index, frame) in frames.iter().enumerate() {
        let quality = psnr(&frame.rgb, back.frame(index));
        assert!(quality > 38.0, "frame {index}: {quality:.1} dB");
    }
}

#[test]
fn odd_sides_show_their_last_column_and_row_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    for (width, height) in [(97, 65), (97, 64), (96, 65), (16, 17), (118, 19), (16, 16)] {
        let frames = clip(5, width, height);
        save_mp4(&path, &frames, 5.0).unwrap();
        let (wide, high) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let back = decoded(&path, 5, 5.0, wide, high);
        for (index, frame) in frames.iter().enumerate() {
            let pixel = |x: usize, y: usize| frame.pixel(x.min(width - 1), y.min(height - 1));
            let expected: Vec<u8> =
                (0..high).flat_map(|y| (0..wide).flat_map(move |x| pixel(x, y))).collect();
            let quality = psnr(&expected, back.frame(index));
            assert!(quality > 35.0, "{width}x{height}, frame {index}: {quality:.1} dB");
        }
    }
}

#[test]
fn one_frame_is_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let frames = clip(1, 64, 48);
    save_mp4(&path, &frames, 1.0).unwrap();
    assert!(psnr(&frames[0].rgb, decoded(&path, 1, 1.0, 64, 48).frame(0)) > 38.0);
    let (_, movie, _) = boxes(&path);
    assert_eq!(movie.mvhd.duration, u64::from(movie.mvhd.timescale));
}

#[test]
fn the_index_comes_first_and_names_key_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    save_mp4(&path, &clip(40, 96, 64), 24.0).unwrap();
    // In this order.
    let (kind, movie, data) = boxes(&path);
    assert!(kind.compatible_brands.contains(&b"avc1".into()));
    let tables = &movie.trak[0].mdia.minf.stbl;
    assert_eq!(tables.stss.as_ref().unwrap().entries, [1, 17, 33]);
    let bytes = std::fs::read(&path).unwrap();
    let start = tables.stco.as_ref().unwrap().entries[0] as usize;
    assert_eq!(bytes[start..], data.data);
    let mut header = &bytes[start - 8..];
    assert_eq!(Header::decode(&mut header).unwrap().kind, Mdat::KIND);
}

#[test]
fn times_are_exact_fractions_of_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let frames = vec![Image::new(16, 16, [9; 3]); 3];
    let rates = [
        (1.0, (1, 1)),
        (7.0, (7, 1)),
        (29.97, (2997, 100)),
        (30_000.0 / 1001.0, (30_000, 1001)),
        (1.0 / 3.0, (1, 3)),
        (0.01, (1, 100)),
        (1000.0, (1000, 1)),
        (120.0, (120, 1)),
    ];
    for (fps, (frames_shown, seconds)) in rates {
        save_mp4(&path, &frames, fps).unwrap();
        let (_, movie, _) = boxes(&path);
        let media = &movie.trak[0].mdia;
        let [times] = media.minf.stbl.stts.entries.as_slice() else {
            panic!("{fps}: frames of unequal length")
        };
        let (scale, step) = (u64::from(media.mdhd.timescale), u64::from(times.sample_delta));
        assert_eq!((times.sample_count, scale * seconds), (3, step * frames_shown), "{fps}");
        assert!(scale >= 10_000);
        assert_eq!((media.mdhd.duration, movie.mvhd.duration), (3 * step, 3 * step), "{fps}");
    }
    save_mp4(&path, &frames, std::f64::consts::PI).unwrap();
    let (_, movie, _) = boxes(&path);
    let step = movie.mvhd.duration as f64 / 3.0;
    assert!((f64::from(movie.mvhd.timescale) / step - std::f64::consts::PI).abs() < 1e-6);
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let path = folder.path().join(name);
        save_mp4(&path, &clip(20, 97, 64), 10.0).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(written("a.mp4") == written("b.mp4"));
}

#[test]
fn what_makes_no_mp4_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    assert!(matches!(save_mp4(&path, &[], 5.0), Err(Error::NoFrames { what: "an MP4" })));
    assert!(matches!(save_mp4(&path, &[Image::new(0, 4, [0; 3])], 5.0), Err(Error::NoFrames { .. })));
    let frames = [Image::new(2, 2, [9; 3]), Image::new(2, 3, [9; 3])];
    let error = save_mp4(&path, &frames, 5.0).unwrap_err();
    assert!(error.to_string().contains("clip.mp4, frame 1"), "{error}");
    let mut broken = Image::new(2, 2, [9; 3]);
    broken.rgb.pop();
    assert!(matches!(save_mp4(&path, &[broken], 5.0), Err(Error::Pixels { .. })));
    for fps in [0.0, -5.0, f64::NAN, f64::INFINITY, 0.009, 1001.0] {
        let error = save_mp4(&path, &frames[..1], fps).unwrap_err();
        assert!(matches!(error, Error::Mp4(VideoError::FrameRate { .. })), "{error}");
        assert!(error.to_string().contains("0.01 to 1000"), "{error}");
    }
    for (width, height) in [(3841, 16), (2161, 2161), (16, 3841), (70_000, 16), (15, 64), (64, 15)] {
        let error = save_mp4(&path, &[Image::new(width, height, [9; 3])], 5.0).unwrap_err();
        assert!(
            matches!(&error, Error::Mp4(VideoError::Size { width: found, .. }) if *found == width),
            "{error}"
        );
    }
    assert!(!path.exists());
}

#[test]
fn the_largest_frames_are_taken_either_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    for (width, height) in [(3840, 2160), (2160, 3840)] {
        save_mp4(&path, &[Image::new(width, height, [9; 3])], 60.0).unwrap();
        assert_eq!(decoded(&path, 1, 60.0, width, height).count, 1);
    }
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none/clip.mp4");
    let error = save_mp4(&path, &clip(2, 16, 16), 5.0).unwrap_err();
    assert!(matches!(error, Error::Mp4(VideoError::Io { .. })));
    assert!(error.to_string().contains("none/clip.mp4"), "{error}");
}
