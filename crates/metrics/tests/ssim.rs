//! Structural similarity.

mod clips;

use clips::{flat, noise, on_one_and_five_threads, single};
use cola_metrics::{Border, Error, Planes, SsimConfig, Video, Window, ssim, ssim_frames, ssim_map};
use proptest::prelude::*;

fn presets() -> [SsimConfig; 6] {
    [
        SsimConfig::default(),
        SsimConfig::scikit_image(),
        SsimConfig::torchmetrics(),
        SsimConfig::piq(),
        SsimConfig::luma_uniform7(),
        SsimConfig::luma_gaussian(),
    ]
}

fn levels(video: &Video) -> Vec<f64> {
    let values =
        video.tensor(&candle_core::Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(|value| f64::from((value * 255.0).round()) / 255.0).collect()
}

/// The definition, window by window, for a valid border and one plane a frame.
fn by_definition(a: &Video, b: &Video, weights: &[f64], factor: f64) -> Vec<f64> {
    let ([_, _, height, width], (a, b)) = (a.shape(), (levels(a), levels(b)));
    let side = weights.len();
    let mean = |at: usize, value: &dyn Fn(usize) -> f64| -> f64 {
        let places = (0..side * side).map(|k| (k / side, k % side));
        places.map(|(i, j)| weights[i] * weights[j] * value(at + i * width + j)).sum()
    };
    let (c1, c2) = (0.0001, 0.0009);
    let places =
        (0..=height - side).flat_map(|row| (0..=width - side).map(move |column| row * width + column));
    let map = places.map(|at| {
        let (x, y) = (mean(at, &|k| a[k]), mean(at, &|k| b[k]));
        let vx = factor * mean(at, &|k| (a[k] - x).powi(2));
        let vy = factor * mean(at, &|k| (b[k] - y).powi(2));
        let cxy = factor * mean(at, &|k| (a[k] - x) * (b[k] - y));
        (2.0 * x * y + c1) * (2.0 * cxy + c2) / ((x * x + y * y + c1) * (vx + vy + c2))
    });
    map.collect()
}

fn assert_close(found: &[f64], expected: &[f64], limit: f64) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= limit, "{place}: {found}, expected {expected}");
    }
}

#[test]
fn ssim_of_equal_videos_is_exactly_one() {
    let video = noise([3, 3, 30, 80], 0);
    for config in presets() {
        for video in [video.clone(), single(&video)] {
            let found = ssim_frames(&video, &video, &config).unwrap();
            match config.border {
                Border::Valid => assert_eq!(found, [1.0; 3], "{config:?}"),
                // Its variances are taken one by one, so they are rounded one by one.
                Border::Reflect => assert_close(&found, &[1.0; 3], 1e-12),
            }
        }
    }
}

#[test]
fn ssim_of_flat_frames_is_the_quotient_of_the_means() {
    let shape = [2, 3, 20, 30];
    let (x, y) = (0.2, 0.6);
    let expected = (2.0 * x * y + 1e-4) / (x * x + y * y + 1e-4);
    for config in presets() {
        assert_close(
            &ssim_frames(&flat(shape, 51), &flat(shape, 153), &config).unwrap(),
            &[expected; 2],
            1e-11,
        );
    }
}

#[test]
fn the_map_is_that_of_the_definition() {
    // More columns than a strip, and fewer rows than the ring has.
    for (height, width) in [(12, 150), (40, 11), (11, 11), (30, 74), (17, 75)] {
        let (a, b) = (noise([1, 1, height, width], 5), noise([1, 1, height, width], 6));
        for (config, factor) in [(SsimConfig::default(), 1.0), (SsimConfig::scikit_image(), 49.0 / 48.0)] {
            let side = config.window.side();
            let expected = by_definition(&a, &b, &config.window.weights().unwrap(), factor);
            let map = ssim_map(&a, &b, 0, &config).unwrap();
            assert_eq!(map.dims(), [1, height + 1 - side, width + 1 - side]);
            assert_close(&map.flatten_all().unwrap().to_vec1().unwrap(), &expected, 1e-12);
            let mean = expected.iter().sum::<f64>() / expected.len() as f64;
            assert_close(&ssim_frames(&a, &b, &config).unwrap(), &[mean], 1e-12);
        }
    }
}

#[test]
fn a_reflected_border_is_the_valid_map_of_a_reflected_frame() {
    let (height, width, margin) = (13, 70, 5);
    let reflect = |at: usize, count: usize| {
        let inside = at.abs_diff(margin);
        if inside < count { inside } else { 2 * (count - 1) - inside }
    };
    let padded = |video: &Video| {
        let values = levels(video);
        let rows = (0..height + 2 * margin).map(|row| reflect(row, height));
        let pixels =
            rows.flat_map(|row| (0..width + 2 * margin).map(move |at| row * width + reflect(at, width)));
        let shape = [1, 1, height + 2 * margin, width + 2 * margin];
        Video::from_u8(shape, pixels.map(|at| (values[at] * 255.0).round() as u8).collect()).unwrap()
    };
    let (a, b) = (noise([1, 1, height, width], 7), noise([1, 1, height, width], 8));
    let found = ssim_map(&a, &b, 0, &SsimConfig::torchmetrics()).unwrap();
    assert_eq!(found.dims(), [1, height, width]);
    let expected = ssim_map(&padded(&a), &padded(&b), 0, &SsimConfig::default()).unwrap();
    let values = |map: candle_core::Tensor| map.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_close(&values(found), &values(expected), 1e-12);
}

#[test]
fn downsampling_is_the_score_of_averaged_squares_from_384_pixels_up() {
    let config = SsimConfig::piq();
    let (a, b) = (noise([1, 1, 383, 400], 9), noise([1, 1, 383, 400], 10));
    assert_eq!(ssim(&a, &b, &config).unwrap(), ssim(&a, &b, &SsimConfig::default()).unwrap());
    let (height, width) = (385, 403);
    let (a, b) = (noise([1, 1, height, width], 11), noise([1, 1, height, width], 12));
    let halved = |video: &Video| {
        let values = levels(video);
        let corners = (0..height / 2).flat_map(|row| (0..width / 2).map(move |at| 2 * (row * width + at)));
        let mean =
            |at: usize| (values[at] + values[at + 1] + values[at + width] + values[at + width + 1]) / 4.0;
        Video::from_f32([1, 1, height / 2, width / 2], corners.map(|at| mean(at) as f32).collect()).unwrap()
    };
    let expected = ssim(&halved(&a), &halved(&b), &SsimConfig::default()).unwrap();
    assert!((ssim(&a, &b, &config).unwrap() - expected).abs() < 1e-7);
    assert_eq!(ssim_map(&a, &b, 0, &config).unwrap().dims(), [1, height / 2 - 10, width / 2 - 10]);
}

#[test]
fn a_frame_depends_on_that_frame_alone() {
    let (a, b) = (noise([3, 3, 20, 70], 13), noise([3, 3, 20, 70], 14));
    for config in presets() {
        let all = ssim_frames(&a, &b, &config).unwrap();
        for (frame, value) in all.into_iter().enumerate() {
            let one = |video: &Video| video.narrow(frame, frame + 1).unwrap();
            assert_eq!(ssim_frames(&one(&a), &one(&b), &config).unwrap(), [value]);
        }
    }
}

#[test]
fn frames_below_the_window_are_refused() {
    for (config, least) in presets().into_iter().zip([11, 7, 11, 11, 7, 11]) {
        for (shape, wrong) in [([1, 3, least - 1, 40], "height"), ([1, 3, 40, least - 1], "width")] {
            let error = ssim(&noise(shape, 0), &noise(shape, 1), &config).unwrap_err();
            assert!(
                matches!(error, Error::TooSmall { what, found, least: needed, .. }
                    if what == wrong && found == least - 1 && needed == least),
                "{error}"
            );
        }
        let shape = [1, 3, least, least];
        assert!(ssim(&noise(shape, 0), &noise(shape, 1), &config).unwrap().is_finite());
    }
}

#[test]
fn videos_of_different_shapes_are_refused() {
    let video = noise([2, 3, 16, 16], 0);
    for shape in [[1, 3, 16, 16], [2, 1, 16, 16], [2, 3, 15, 16], [2, 3, 16, 17]] {
        for config in presets() {
            let other = noise(shape, 1);
            assert!(matches!(ssim(&video, &other, &config), Err(Error::Shapes { metric: "SSIM", .. })));
            assert!(ssim_map(&video, &other, 0, &config).is_err());
        }
    }
    assert!(ssim_map(&video, &video, 2, &SsimConfig::default()).is_err());
    assert!(ssim_map(&video, &video, usize::MAX, &SsimConfig::default()).is_err());
}

#[test]
fn numbers_that_cannot_be_are_refused_and_the_narrowest_window_is_one_pixel() {
    let gaussian = |side, sigma| Window::Gaussian { side, sigma };
    for window in [gaussian(10, 1.5), gaussian(1, 1.5), gaussian(35, 1.5), Window::Uniform { side: 0 }]
        .into_iter()
        .chain([0.0, -1.0, f64::NAN, f64::INFINITY].map(|sigma| gaussian(11, sigma)))
    {
        assert!(matches!(SsimConfig { window, ..SsimConfig::default() }.check(), Err(Error::Setting { .. })));
    }
    for k in [0.0, -0.01, f64::NAN, f64::INFINITY, 1e-200] {
        assert!(SsimConfig { k1: k, ..SsimConfig::default() }.check().is_err());
        let config = SsimConfig { k2: k, ..SsimConfig::default() };
        assert!(ssim(&noise([1, 1, 16, 16], 0), &noise([1, 1, 16, 16], 0), &config).is_err());
    }
    assert_eq!(gaussian(3, f64::MIN_POSITIVE).weights().unwrap(), [0.0, 1.0, 0.0]);
    assert!(presets().iter().all(|config| config.check().is_ok()));
}

#[test]
fn luma_is_scored_on_the_luma_planes() {
    let (a, b) = (noise([2, 3, 20, 20], 15), noise([2, 3, 20, 20], 16));
    let planes = |video: &Video| cola_metrics::luma(video).unwrap();
    for config in [SsimConfig::luma_uniform7(), SsimConfig::luma_gaussian()] {
        let rgb = SsimConfig { planes: Planes::Rgb, ..config };
        let expected = ssim_frames(&planes(&a), &planes(&b), &rgb).unwrap();
        assert_eq!(ssim_frames(&a, &b, &config).unwrap(), expected);
    }
}

#[test]
fn the_number_of_threads_does_not_change_bits() {
    let (a, b) = (noise([3, 3, 70, 150], 17), noise([3, 3, 70, 150], 18));
    for config in presets() {
        let [one, five] = on_one_and_five_threads(|| ssim_frames(&a, &b, &config).unwrap());
        assert_eq!(one, five);
    }
}

#[test]
fn a_config_is_read_as_it_was_written_and_with_no_other_fields() {
    for config in presets() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<SsimConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<SsimConfig>(&text.replace("k1", "k3")).is_err());
        assert!(serde_json::from_str::<SsimConfig>(&text.replace("side", "size")).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ssim_is_symmetric_at_most_one_and_the_same_for_f32(
        t in 1..3usize, c in prop::sample::select(vec![1, 3]), h in 11..40usize, w in 11..90usize, seed in 0..1000u64,
    ) {
        let (a, b) = (noise([t, c, h, w], seed), noise([t, c, h, w], seed + 1000));
        for config in presets() {
            let found = ssim_frames(&a, &b, &config).unwrap();
            prop_assert_eq!(&found, &ssim_frames(&b, &a, &config).unwrap());
            prop_assert!(found.iter().all(|value| (-1.0..=1.0).contains(value)));
            for (a, b) in [(single(&a), b.clone()), (a.clone(), single(&b)), (single(&a), single(&b))] {
                for (found, expected) in ssim_frames(&a, &b, &config).unwrap().into_iter().zip(&found) {
                    prop_assert!((found - expected).abs() <= 1e-7, "{found} {expected}");
                }
            }
        }
    }
}
