//! Pictures in the rows of LeRobot sets: exact ones, odd ones, and paths that lead elsewhere.
#![cfg(feature = "pictures")]

mod support;

use std::io::Cursor;
use std::path::Path;

use cola_data::{ClipOptions, ClipSource, Dataset, Error, Frames, LeRobot, Region, Stretch, View};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::json;
use support::sets::{LENGTHS, V21, V30, wrist};
use support::{Column, Picture, Toy, load, options};

const WRIST: &str = "observation.images.wrist";
const VIEW: View = View { region: Region::FULL, height: 33, width: 47 };

#[test]
fn pictures_of_an_odd_size_are_exact_in_any_order() {
    for root in [V21, V30] {
        let dataset = LeRobot::open(Path::new(root)).unwrap();
        let wanted = [(2, vec![1, 2, 5]), (0, vec![4]), (1, vec![0, 1, 2, 3]), (2, vec![0])]
            .map(|(episode, frames)| Stretch { episode, frames });
        let mut seen = 0;
        let each = &mut |found: cola_data::Decoded| {
            let stretch = &wanted[found.stretch];
            assert_eq!(found.rgb, wrist(stretch.episode, stretch.frames[found.place]));
            seen += 1;
            Ok(())
        };
        dataset.read_many(WRIST, &wanted, &VIEW, each).unwrap();
        assert_eq!(seen, 9);
    }
}

#[test]
fn many_threads_read_one_set() {
    let dataset = &LeRobot::open(Path::new(V30)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..10 {
                    let episode = (thread + round) % 3;
                    let stretch = Stretch { episode, frames: (0..LENGTHS[episode]).collect() };
                    let frames = dataset.read(WRIST, &stretch, &VIEW).unwrap();
                    assert!((0..frames.count).all(|k| frames.frame(k) == wrist(episode, k)));
                    assert_eq!(dataset.rows(&[episode]).unwrap()[0].states[0], episode as f32);
                }
            });
        }
    });
}

#[test]
fn a_camera_in_rows_makes_clips_like_any_other() {
    let dataset = LeRobot::open(Path::new(V21)).unwrap();
    let region = Region { top: 0.0, left: 0.0, height: 1.0, width: 1.0 };
    let options = ClipOptions { camera: Some(WRIST.into()), region, store: 20, ..options(4) };
    let clips = load(&dataset, "train", &options).unwrap();
    assert_eq!(clips.len(), 2 + 1 + 3);
    let clip = clips.clip(2).unwrap();
    assert_eq!((clip.frames.height, clip.frames.width, clip.episode), (20, 20, 1));
    let full = ClipOptions { store: 64, ..options };
    assert_eq!(load(&dataset, "train", &full).unwrap().clip(2).unwrap().frames.frame(0), wrist(1, 0));
}

fn encoded(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn grey(value: u8, height: u32, width: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, image::Rgb([value; 3])))
}

/// The toy set with a second camera of 10 x 12 in its rows; every row of the first file has `picture`.
fn with(picture: Picture) -> Toy {
    let mut toy = Toy::new();
    toy.info["features"]["hand"] =
        json!({ "dtype": "image", "shape": [10, 12, 3], "names": ["height", "width", "channels"] });
    toy.data[0].push(("hand".into(), Column::Pictures(vec![picture; 12])));
    toy.write()
}

fn read(toy: &Toy) -> Result<Frames, Error> {
    let view = View { region: Region::FULL, height: 10, width: 12 };
    LeRobot::open(toy.root()).unwrap().read("hand", &Stretch { episode: 1, frames: vec![2, 3] }, &view)
}

#[test]
fn other_pixels_and_jpeg_become_rgb() {
    let colours = [
        (encoded(grey(90, 10, 12), ImageFormat::Png), 0),
        (encoded(grey(90, 10, 12).to_luma8().into(), ImageFormat::Png), 0),
        (encoded(grey(90, 10, 12).to_rgba8().into(), ImageFormat::Png), 0),
        (encoded(grey(90, 10, 12).to_rgb16().into(), ImageFormat::Png), 0),
        (encoded(grey(90, 10, 12).to_luma16().into(), ImageFormat::Png), 0),
        (encoded(grey(90, 10, 12), ImageFormat::Jpeg), 1),
    ];
    for (bytes, tolerance) in colours {
        let frames = read(&with((Some(bytes), None))).unwrap();
        assert!(frames.rgb.iter().all(|value| value.abs_diff(90) <= tolerance));
    }
}

#[test]
fn pictures_beside_the_rows_are_read_from_inside_the_folder_only() {
    let toy = with((None, Some("images/one.png")));
    assert!(matches!(read(&toy), Err(Error::MissingFile { .. })));
    std::fs::create_dir(toy.root().join("images")).unwrap();
    std::fs::write(toy.root().join("images/one.png"), encoded(grey(7, 10, 12), ImageFormat::Png)).unwrap();
    assert!(read(&toy).unwrap().rgb.iter().all(|&value| value == 7));
    std::fs::write(toy.root().join("images/one.png"), vec![0; 2 << 20]).unwrap();
    assert!(matches!(read(&toy), Err(Error::Field { .. })), "a file longer than any such picture");

    for path in ["../one.png", "images/../../one.png", "/etc/passwd", ""] {
        let error = read(&with((None, Some(path)))).unwrap_err();
        assert!(
            matches!(&error, Error::Field { expected, .. } if expected.contains("inside")),
            "{path}: {error}"
        );
    }
}

#[test]
fn what_is_no_picture_of_the_right_size_names_file_and_row() {
    let error = read(&with((Some(encoded(grey(7, 12, 10), ImageFormat::Png)), None))).unwrap_err();
    assert!(
        matches!(&error, Error::Field { found, expected, .. } if found.starts_with("12 x 10") && expected == "10 x 12"),
        "{error}"
    );

    // A size that would take gigabytes, in a header that is right otherwise.
    let mut bytes = encoded(grey(7, 10, 12), ImageFormat::Png);
    bytes[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let mut checksum = !0u32;
    for byte in &bytes[12..29] {
        checksum ^= u32::from(*byte);
        (0..8).for_each(|_| checksum = checksum >> 1 ^ if checksum & 1 == 1 { 0xedb8_8320 } else { 0 });
    }
    bytes[29..33].copy_from_slice(&(!checksum).to_be_bytes());
    let error = read(&with((Some(bytes), None))).unwrap_err();
    assert!(matches!(&error, Error::Field { found, .. } if found.starts_with("65535 x 65535")), "{error}");

    for picture in [(Some(b"no picture".to_vec()), None), (Some(Vec::new()), None), (None, None)] {
        let toy = with(picture);
        let error = read(&toy).unwrap_err();
        assert!(matches!(&error, Error::Field { file, .. } if *file == toy.data_file(0)), "{error}");
        assert!(error.to_string().contains("`hand`") && error.to_string().contains("row"), "{error}");
    }
}

#[test]
fn a_missing_or_mistyped_column_of_pictures_is_named() {
    let mut toy = with((None, None));
    toy.data[0].pop();
    let toy = toy.write();
    assert!(matches!(read(&toy), Err(Error::MissingColumn { column, .. }) if column == "hand"));
    let mut toy = with((None, None));
    toy.data[0].pop();
    toy.data[0].push(("hand".into(), Column::Integers(vec![1; 12])));
    assert!(matches!(read(&toy.write()), Err(Error::ColumnType { column, .. }) if column == "hand"));
}
