//! Crops: within the picture and the ranges; resizing: values anyone can check.

use cola_data::{Crop, CropConfig, Error, Frames, Region, resize};
use cola_random::stream;
use proptest::prelude::*;

/// One picture whose red is the column and whose green is the row, times 10.
fn ramp(height: usize, width: usize) -> Frames {
    let pixel = |i: usize| [10 * (i % width) as u8, 10 * (i / width) as u8, 7];
    Frames { count: 1, height, width, rgb: (0..height * width).flat_map(pixel).collect() }
}

proptest! {
    #[test]
    fn crops_lie_within_picture_and_ranges(
        height in 1..300usize, width in 1..300usize, seed: u64,
        area in 0.05..1.0f64, aspect in 0.3..3.0f64, wider in 1.0..3.0f64,
    ) {
        let config = CropConfig { area: [area, 1.0], aspect: [aspect, aspect * wider] };
        config.check().unwrap();
        let crop = config.draw(height, width, &mut stream(seed, "crop", 0, 0));
        prop_assert!(crop.left >= 0.0 && crop.left + crop.width <= width as f64 + 1e-6);
        prop_assert!(crop.top >= 0.0 && crop.top + crop.height <= height as f64 + 1e-6);
        let found = crop.width / crop.height;
        prop_assert!(aspect * (1.0 - 1e-9) <= found && found <= aspect * wider * (1.0 + 1e-9));
    }
}

#[test]
fn crops_of_a_square_keep_the_papers_area() {
    let drawn: Vec<Crop> =
        (0..500).map(|i| CropConfig::paper().draw(80, 80, &mut stream(1, "crop", 0, i))).collect();
    let areas: Vec<f64> = drawn.iter().map(|crop| crop.width * crop.height / 6400.0).collect();
    // The centred window of last resort is the whole square.
    assert!(areas.iter().all(|area| (0.8..=1.0 + 1e-9).contains(area)));
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    assert!((0.84..0.93).contains(&mean), "{mean}");
    assert!(
        drawn.iter().any(|crop| crop.width > crop.height)
            && drawn.iter().any(|crop| crop.width < crop.height)
    );
}

#[test]
fn the_window_of_last_resort_is_centred_and_as_large_as_possible() {
    // A quarter of the width at most: the whole picture's area cannot be had.
    let config = CropConfig { area: [1.0, 1.0], aspect: [0.25, 0.25] };
    let crop = config.draw(40, 80, &mut stream(0, "crop", 0, 0));
    assert_eq!(crop, Crop { left: 35.0, top: 0.0, width: 10.0, height: 40.0 });
}

#[test]
fn ranges_that_cannot_be_drawn_are_refused() {
    let paper = CropConfig::paper();
    for area in [[0.0, 1.0], [0.9, 0.8], [0.5, 1.1], [f64::NAN, 1.0]] {
        assert!(CropConfig { area, ..paper }.check().is_err(), "{area:?}");
    }
    for aspect in [[0.0, 1.0], [2.0, 1.0], [1.0, f64::INFINITY]] {
        assert!(CropConfig { aspect, ..paper }.check().is_err(), "{aspect:?}");
    }
}

#[test]
fn the_whole_picture_at_its_own_size_is_unchanged() {
    let picture = ramp(6, 9);
    assert_eq!(resize(&picture, &Crop::full(6, 9), 6, 9).unwrap(), picture);
}

#[test]
fn a_window_in_whole_pixels_is_cut_out() {
    let cut = resize(&ramp(8, 8), &Crop { left: 2.0, top: 3.0, width: 2.0, height: 1.0 }, 1, 2).unwrap();
    assert_eq!(cut.rgb, [20, 30, 7, 30, 30, 7]);
}

#[test]
fn reducing_averages_pixels() {
    let stripes: Vec<u8> = (0..64).flat_map(|i| [if i % 2 == 0 { 0 } else { 200 }; 3]).collect();
    let stripes = Frames { count: 1, height: 8, width: 8, rgb: stripes };
    let small = resize(&stripes, &Crop::full(8, 8), 2, 2).unwrap();
    assert!(small.rgb.iter().all(|value| (80..=120).contains(value)), "antialiased: {:?}", small.rgb);
}

#[test]
fn windows_and_sizes_without_pixels_are_refused() {
    let picture = ramp(4, 4);
    let whole = Crop::full(4, 4);
    let crops = [
        Crop { width: 0.0, ..whole },
        Crop { height: -1.0, ..whole },
        Crop { left: 1.0, ..whole },
        Crop { top: f64::NAN, ..whole },
    ];
    for crop in crops {
        assert!(
            matches!(resize(&picture, &crop, 2, 2), Err(Error::Setting { field: "crop", .. })),
            "{crop:?}"
        );
    }
    assert!(resize(&picture, &whole, 0, 2).is_err());
    assert!(
        resize(&Frames { rgb: vec![0; 5], ..picture }, &whole, 2, 2).is_err(),
        "buffer of another length"
    );
}

#[test]
fn regions_go_to_whole_pixels() {
    let region = Region { top: 0.2, left: 0.1, height: 0.625, width: 0.9 };
    let crop = region.pixels(128, 100).unwrap();
    assert_eq!(crop, Crop { left: 10.0, top: 26.0, width: 90.0, height: 80.0 });
    assert_eq!(Region::FULL.pixels(5, 7).unwrap(), Crop::full(5, 7));
    assert!(Region { top: 0.5, ..region }.pixels(128, 100).is_err(), "leaves the frame");
    assert!(Region { height: 0.001, ..region }.pixels(128, 100).is_err(), "holds no pixel");
}
