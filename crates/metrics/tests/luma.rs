//! Luma planes.

use cola_metrics::{Error, Planes, Video, luma};
use proptest::prelude::*;

fn pixel(rgb: [u8; 3]) -> Video {
    Video::from_rgb8(1, 1, 1, &rgb).unwrap()
}

fn level(level: u8) -> Video {
    Video::from_u8([1, 1, 1, 1], vec![level]).unwrap()
}

#[test]
fn luma_is_opencvs_where_other_roundings_give_another_level() {
    for (rgb, expected) in [
        ([162, 188, 129], 174), // the real sum and 14 bits say 173
        ([176, 112, 238], 145), // both say 146
        ([141, 230, 38], 182),  // 14 bits say 181
        ([145, 30, 31], 65),    // the real sum says 64
    ] {
        assert_eq!(luma(&pixel(rgb)).unwrap(), level(expected), "{rgb:?}");
    }
}

#[test]
fn luma_of_several_frames_keeps_frames_and_rows_apart() {
    let rgb: Vec<u8> = (0..2 * 2 * 3).flat_map(|grey| [grey * 20; 3]).collect();
    let greys = (0..2 * 2 * 3).map(|grey| grey * 20).collect();
    let video = Video::from_rgb8(2, 2, 3, &rgb).unwrap();
    assert_eq!(luma(&video).unwrap(), Video::from_u8([2, 1, 2, 3], greys).unwrap());
}

#[test]
fn luma_of_one_channel_is_that_channel_rounded() {
    let video = Video::from_f32([1, 1, 1, 2], vec![0.5, 0.1]).unwrap();
    assert_eq!(luma(&video).unwrap(), Video::from_u8([1, 1, 1, 2], vec![128, 26]).unwrap());
    assert_eq!(luma(&level(7)).unwrap(), level(7));
}

#[test]
fn luma_of_two_channels_is_refused() {
    let video = Video::from_u8([1, 2, 1, 1], vec![0; 2]).unwrap();
    let error = luma(&video).unwrap_err();
    assert!(matches!(error, Error::Layout { .. }) && error.to_string().contains("2 channels"), "{error}");
    assert!(Planes::Luma.of(&video).is_err());
    assert_eq!(*Planes::Rgb.of(&video).unwrap(), video);
}

proptest! {
    #[test]
    fn luma_is_within_a_level_of_the_weighted_sum(rgb: [u8; 3]) {
        let [r, g, b] = rgb.map(f64::from);
        let sum = (0.299 * r + 0.587 * g + 0.114 * b).round() as i32;
        let found = [-1, 0, 1].map(|off| u8::try_from(sum + off).is_ok_and(|y| luma(&pixel(rgb)).unwrap() == level(y)));
        prop_assert!(found.contains(&true));
    }

    #[test]
    fn luma_of_grey_is_that_grey(grey: u8) {
        prop_assert_eq!(luma(&pixel([grey; 3])).unwrap(), level(grey));
    }
}
