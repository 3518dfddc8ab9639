//! Errors and decibels.

mod clips;

use clips::{flat, noise, on_one_and_five_threads, single};
use cola_metrics::{Averaging, Error, Planes, PsnrConfig, PsnrMode, Video, mse_frames, psnr, psnr_frames};
use proptest::prelude::*;

fn config(mode: PsnrMode, averaging: Averaging) -> PsnrConfig {
    PsnrConfig { mode, averaging, ..PsnrConfig::default() }
}

#[test]
fn psnr_of_equal_images_is_what_the_mode_says() {
    let video = noise([2, 3, 9, 7], 0);
    for (mode, expected) in
        [(PsnrMode::Inf, f64::INFINITY), (PsnrMode::Cap100, 100.0), (PsnrMode::Eps1e8, 80.0)]
    {
        for averaging in [Averaging::PerFrame, Averaging::Pooled] {
            assert_eq!(psnr(&video, &video, &config(mode, averaging)).unwrap(), expected, "{mode:?}");
        }
        assert_eq!(psnr_frames(&video, &video, &config(mode, Averaging::Pooled)).unwrap(), [expected; 2]);
    }
}

#[test]
fn psnr_of_a_constant_offset_is_the_offsets() {
    let shape = [3, 3, 8, 8];
    let found = psnr_frames(&flat(shape, 10), &flat(shape, 61), &PsnrConfig::default()).unwrap();
    assert!(found.iter().all(|found| (found - 20.0 * 5f64.log10()).abs() < 1e-12), "{found:?}");
}

#[test]
fn black_against_white_has_an_error_of_one_and_no_decibels() {
    // More pixels than one piece and one sum of 32 bits take.
    let shape = [2, 3, 260, 130];
    let (black, white) = (flat(shape, 0), flat(shape, 255));
    for (a, b) in
        [(&black, &white), (&white, &black), (&black, &single(&white)), (&single(&black), &single(&white))]
    {
        assert_eq!(mse_frames(a, b).unwrap(), [1.0, 1.0]);
        assert_eq!(psnr(a, b, &PsnrConfig::default()).unwrap(), 0.0);
    }
}

#[test]
fn one_pixel_counts_in_its_own_frame_alone() {
    for shape in [[2, 1, 3, 5], [2, 3, 200, 300]] {
        let pixels: usize = shape[1..].iter().product();
        for place in [0, pixels - 1, pixels, 2 * pixels - 1] {
            let mut levels = vec![0; 2 * pixels];
            levels[place] = 51;
            let found = mse_frames(&flat(shape, 0), &Video::from_u8(shape, levels).unwrap()).unwrap();
            let expected = 0.04 / pixels as f64;
            assert!((found[place / pixels] - expected).abs() < 1e-15 * expected, "{found:?}, {expected}");
            assert_eq!(found[1 - place / pixels], 0.0);
        }
    }
}

#[test]
fn the_cap_and_the_added_constant_are_the_references() {
    assert_eq!(PsnrMode::Cap100.decibels(0.99e-10), 100.0);
    assert_eq!(PsnrMode::Cap100.decibels(1e-10), 100.0);
    assert_eq!(PsnrMode::Cap100.decibels(1e-9), 90.0);
    assert_eq!(PsnrMode::Inf.decibels(1e-12), 120.0);
    assert!((PsnrMode::Eps1e8.decibels(1e-8) - 76.98970004336019).abs() < 1e-12);
}

#[test]
fn psnr_of_luma_is_that_of_the_luma_planes() {
    let (a, b) = (noise([2, 3, 16, 16], 1), noise([2, 3, 16, 16], 2));
    let luma = PsnrConfig { planes: Planes::Luma, ..PsnrConfig::default() };
    let planes = |video: &Video| cola_metrics::luma(video).unwrap();
    let expected = psnr_frames(&planes(&a), &planes(&b), &PsnrConfig::default()).unwrap();
    assert_eq!(psnr_frames(&a, &b, &luma).unwrap(), expected);
    // Independent channels average out.
    assert!(psnr(&a, &b, &luma).unwrap() > psnr(&a, &b, &PsnrConfig::default()).unwrap());
}

#[test]
fn videos_of_different_shapes_are_refused() {
    let video = noise([2, 3, 16, 16], 0);
    for shape in [[1, 3, 16, 16], [2, 1, 16, 16], [2, 3, 15, 16], [2, 3, 16, 17], [3, 2, 16, 16]] {
        for planes in [Planes::Rgb, Planes::Luma] {
            let config = PsnrConfig { planes, ..PsnrConfig::default() };
            let error = psnr(&video, &noise(shape, 1), &config).unwrap_err();
            let expected = [2, 3, 16, 16];
            assert!(
                matches!(error, Error::Shapes { metric: "PSNR", first, second } if first == expected && second == shape),
                "{error}"
            );
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_bits() {
    let (a, b) = (noise([5, 3, 160, 190], 3), noise([5, 3, 160, 190], 4));
    for (a, b) in [(&a, &b), (&a, &single(&b)), (&single(&a), &single(&b))] {
        let [one, five] = on_one_and_five_threads(|| mse_frames(a, b).unwrap());
        assert_eq!(one, five);
    }
}

#[test]
fn a_config_is_read_as_it_was_written_and_with_no_other_fields() {
    let config = PsnrConfig { mode: PsnrMode::Eps1e8, averaging: Averaging::Pooled, planes: Planes::Luma };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(text, r#"{"mode":"eps1e8","averaging":"pooled","planes":"luma"}"#);
    assert_eq!(serde_json::from_str::<PsnrConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<PsnrConfig>(&text.replace("mode", "made")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn errors_are_symmetric_and_grey_levels_as_f32_give_the_same(
        t in 1..4usize, c in 1..4usize, h in 1..40usize, w in 1..40usize, seed in 0..1000u64,
    ) {
        let (a, b) = (noise([t, c, h, w], seed), noise([t, c, h, w], seed + 1000));
        let found = mse_frames(&a, &b).unwrap();
        prop_assert_eq!(&found, &mse_frames(&b, &a).unwrap());
        prop_assert_eq!(mse_frames(&a, &single(&b)).unwrap(), mse_frames(&single(&b), &a).unwrap());
        for (a, b) in [(single(&a), b.clone()), (single(&a), single(&b))] {
            for (found, expected) in mse_frames(&a, &b).unwrap().into_iter().zip(&found) {
                prop_assert!((found - expected).abs() <= 1e-7, "{found} {expected}");
            }
        }
    }

    #[test]
    fn pooled_decibels_are_at_most_the_mean_of_the_frames(errors in prop::collection::vec(1e-6..1f64, 1..9)) {
        for mode in [PsnrMode::Inf, PsnrMode::Cap100, PsnrMode::Eps1e8] {
            let of = |averaging| config(mode, averaging).average(&errors);
            prop_assert!(of(Averaging::Pooled) <= of(Averaging::PerFrame) + 1e-12);
        }
    }
}
