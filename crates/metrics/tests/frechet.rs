//! The Fréchet distance: values anyone can check, what leaves it unchanged, what is refused, what sample size does to it.

use std::time::{Duration, Instant};

use cola_metrics::{
    Covariance, Error, Features, Moments, frechet_from_features, frechet_from_moments,
    frechet_from_statistics,
};
use cola_random::{normals, permutation, stream};
use proptest::prelude::*;

const RULES: [Covariance; 2] = [Covariance::Unbiased, Covariance::Biased];

/// `count` rows whose column `k` has mean `mean` and deviation `deviation(k)`.
fn draws(count: usize, width: usize, mean: f64, deviation: impl Fn(usize) -> f64, seed: u64) -> Features {
    let values = normals(count * width, &mut stream(seed, "frechet", 0, 0));
    let values = values.iter().enumerate().map(|(at, v)| mean + deviation(at % width) * f64::from(*v));
    Features::new(width, values.collect()).unwrap()
}

fn moments(features: &Features) -> Moments {
    let mut moments = Moments::new(features.width());
    moments.add(features.values()).unwrap();
    moments
}

/// From features and from moments, which must agree; the share of the traces that rounding may take.
fn both(x: &Features, y: &Features, rule: Covariance) -> f64 {
    let exact = frechet_from_features(x, y, rule).unwrap();
    let streamed = frechet_from_moments(&moments(x), &moments(y), rule).unwrap();
    let scale = exact.trace_first + exact.trace_second;
    assert!((exact.distance - streamed.distance).abs() <= 1e-9 * scale, "{exact:?} {streamed:?}");
    exact.distance
}

#[test]
fn equal_sets_are_at_distance_zero() {
    for (count, width) in [(2, 1), (3, 8), (8, 8), (40, 8), (12, 300)] {
        let set = draws(count, width, 5.0, |k| 1.0 / (k + 1) as f64, count as u64);
        for rule in RULES {
            let found = frechet_from_features(&set, &set, rule).unwrap();
            assert_eq!(found.mean_term, 0.0);
            assert!(found.distance <= 1e-12 * found.trace_first, "{count} of {width}: {found:?}");
            assert!(both(&set, &set, rule) <= 1e-9 * found.trace_first);
        }
    }
}

#[test]
fn a_shifted_set_is_as_far_as_it_was_shifted() {
    for count in [6, 50] {
        let x = draws(count, 12, 0.0, |_| 1.0, 7);
        let y = Features::new(12, x.values().iter().map(|value| value + 0.5).collect()).unwrap();
        let found = both(&x, &y, Covariance::Unbiased);
        assert!((found - 12.0 * 0.25).abs() < 1e-11, "{found}");
    }
}

#[test]
fn one_number_has_the_closed_form() {
    // Means 0 and 3, deviations sqrt(8) and 1 (biased: 2 and sqrt(1/2)): (m1 - m2)^2 + (s1 - s2)^2.
    let x = Features::new(1, vec![-2.0, 2.0]).unwrap();
    let y = Features::new(1, vec![3.0 - 0.5f64.sqrt(), 3.0 + 0.5f64.sqrt()]).unwrap();
    for (rule, first, second) in
        [(Covariance::Unbiased, 8f64.sqrt(), 1.0), (Covariance::Biased, 2.0, 0.5f64.sqrt())]
    {
        let found = both(&x, &y, rule);
        assert!((found - (9.0 + (first - second).powi(2))).abs() < 1e-12, "{found}");
    }
}

#[test]
fn identity_covariances_leave_the_means() {
    let identity: Vec<f64> = (0..9).map(|at| f64::from(u8::from(at % 4 == 0))).collect();
    let found = frechet_from_statistics(&[1.0, 2.0, 2.0], &identity, &[0.0; 3], &identity).unwrap();
    assert!((found.distance - 9.0).abs() < 1e-13);
    assert_eq!((found.mean_term, found.trace_first, found.trace_second), (9.0, 3.0, 3.0));
    assert!((found.trace_root - 3.0).abs() < 1e-13);
}

#[test]
fn covariances_of_zero_are_points() {
    let (zero, one) = ([0.0; 4], [1.0, 0.0, 0.0, 1.0]);
    let distance =
        |a: &[f64; 4], b: &[f64; 4]| frechet_from_statistics(&[3.0, 4.0], a, &[0.0; 2], b).unwrap().distance;
    assert_eq!(distance(&zero, &zero), 25.0);
    assert!((distance(&zero, &one) - 27.0).abs() < 1e-13);
    let points = Features::new(2, vec![3.0, 4.0, 3.0, 4.0]).unwrap();
    let origin = Features::new(2, vec![0.0; 6]).unwrap();
    assert_eq!(both(&points, &origin, Covariance::Unbiased), 25.0);
}

#[test]
fn a_set_of_fewer_clips_than_features_lies_in_their_span() {
    // Two clips each, along different axes: the roots share nothing, so the traces remain.
    let mut x = vec![0.0; 200];
    let mut y = vec![0.0; 200];
    (x[0], x[100]) = (1.0, -1.0);
    (y[1], y[101]) = (2.0, -2.0);
    let (x, y) = (Features::new(100, x).unwrap(), Features::new(100, y).unwrap());
    let found = frechet_from_features(&x, &y, Covariance::Unbiased).unwrap();
    assert!((found.distance - (2.0 + 8.0)).abs() < 1e-12 && found.trace_root.abs() < 1e-12, "{found:?}");
    both(&x, &y, Covariance::Unbiased);
}

#[test]
fn what_has_no_distance_is_refused() {
    let set = |count: usize| draws(count, 3, 0.0, |_| 1.0, 1);
    let rule = Covariance::Unbiased;
    for (x, y, named) in [(0, 5, "the first set"), (1, 5, "the first set"), (5, 1, "the second set")] {
        let error = frechet_from_features(&set(x), &set(y), rule).unwrap_err();
        assert!(matches!(error, Error::TooFew { set, least: 2, .. } if set == named), "{error}");
        let error = frechet_from_moments(&moments(&set(x)), &moments(&set(y)), rule).unwrap_err();
        assert!(matches!(error, Error::TooFew { set, least: 2, .. } if set == named), "{error}");
    }
    let narrow = draws(5, 2, 0.0, |_| 1.0, 1);
    assert!(matches!(
        frechet_from_features(&set(5), &narrow, rule),
        Err(Error::Widths { first: 3, second: 2, .. })
    ));
    assert!(matches!(
        frechet_from_moments(&moments(&set(5)), &moments(&narrow), rule),
        Err(Error::Widths { first: 3, second: 2, .. })
    ));
    let error = Features::new(2, vec![0.0, 1.0, f64::NAN, 3.0]).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { index, .. } if index == &[1, 0]), "{error}");
    assert!(matches!(Features::new(2, vec![0.0; 3]), Err(Error::Setting { .. })));
    assert!(matches!(Features::new(0, vec![]), Err(Error::Setting { .. })));
}

#[test]
fn statistics_that_are_none_are_refused() {
    let (mu, one) = ([0.0, 0.0], [1.0, 0.0, 0.0, 1.0]);
    let of =
        |mu: &[f64], sigma: &[f64]| frechet_from_statistics(&[0.0, 0.0], &one, mu, sigma).map(|f| f.distance);
    assert!(matches!(of(&[0.0], &[1.0]), Err(Error::Widths { .. })));
    assert!(matches!(of(&mu, &one[..3]), Err(Error::Setting { .. })));
    assert!(matches!(of(&[0.0, f64::NAN], &one), Err(Error::NotFinite { .. })));
    assert!(matches!(of(&mu, &[1.0, 0.0, 0.0, f64::INFINITY]), Err(Error::NotFinite { .. })));
    assert!(matches!(of(&mu, &[1.0, 0.2, 0.0, 1.0]), Err(Error::Setting { .. })));
    assert!(matches!(of(&mu, &[1.0, 2.0, 2.0, 1.0]), Err(Error::Numerics { .. }))); // eigenvalues -1 and 3
    assert!(matches!(of(&mu, &[-1.0, 0.0, 0.0, -1.0]), Err(Error::Numerics { .. })));
    assert!(matches!(frechet_from_statistics(&[], &[], &[], &[]), Err(Error::Setting { .. })));
}

#[test]
fn numbers_too_large_for_squares_are_an_error_and_never_nan() {
    for scale in [1e160, 1e200, 1e307] {
        let x = Features::new(2, vec![scale, 0.0, -scale, scale, 0.0, -scale]).unwrap();
        let error = frechet_from_features(&x, &x, Covariance::Unbiased).unwrap_err();
        assert!(matches!(error, Error::Numerics { .. }), "{error}");
    }
    let huge = [f64::MAX, 0.0, 0.0, f64::MAX];
    let found = frechet_from_statistics(&[0.0; 2], &huge, &[0.0; 2], &huge);
    assert!(matches!(found, Err(Error::Numerics { .. })), "{found:?}");
}

/// Spec 5.5: 400 features whose variances fall as 1/k and add up to 1000, two sets of one distribution.
#[test]
fn sets_of_one_distribution_are_as_far_apart_as_their_size_makes_them() {
    let width = 400;
    let total: f64 = (1..=width).map(|k| 1.0 / k as f64).sum();
    let deviation = |k: usize| (1000.0 / total / (k + 1) as f64).sqrt();
    for (count, told) in [
        (16, 1241.0),
        (32, 978.0),
        (64, 731.0),
        (128, 518.0),
        (256, 325.0),
        (512, 168.0),
        (1024, 84.0),
        (2048, 42.0),
    ] {
        // The means of sets that cost little, as many as bring the noise below the tolerance.
        let runs = if count < 512 { 24 } else { 3 };
        let mut sum = 0.0;
        for run in 0..runs {
            let x = draws(count, width, 0.0, deviation, 1000 + run);
            let y = draws(count, width, 0.0, deviation, 2000 + run);
            sum += frechet_from_features(&x, &y, Covariance::Unbiased).unwrap().distance;
        }
        let found = sum / runs as f64;
        println!("N = {count}: {found:.1}, the table has {told}");
        assert!((found / told - 1.0).abs() < 0.06, "N = {count}: {found}, the table has {told}");
    }
}

#[test]
fn four_hundred_features_take_well_under_a_second() {
    let deviation = |k: usize| 1.0 / (k + 1) as f64;
    let (x, y) = (draws(2048, 400, 0.0, deviation, 1), draws(2048, 400, 0.1, deviation, 2));
    let (m, n) = (moments(&x), moments(&y));
    let best = |run: &dyn Fn() -> f64| {
        let times = (0..3).map(|_| {
            let start = Instant::now();
            assert!(run() > 0.0);
            start.elapsed()
        });
        times.min().unwrap()
    };
    let streamed = best(&|| frechet_from_moments(&m, &n, Covariance::Unbiased).unwrap().distance);
    let exact = best(&|| frechet_from_features(&x, &y, Covariance::Unbiased).unwrap().distance);
    println!("400 features: {streamed:?} from moments, {exact:?} from 2048 clips");
    // Far from what it takes, so that a busy machine does not fail: a cubic loop in f64 would take many seconds.
    assert!(streamed < Duration::from_secs(5) && exact < Duration::from_secs(5), "{streamed:?}, {exact:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neither_order_of_sets_nor_of_rows_matters(
        n in 2..30usize, m in 2..30usize, width in 1..20usize, seed in 0..1000u64
    ) {
        let (x, y) = (draws(n, width, 0.0, |_| 1.0, seed), draws(m, width, 0.5, |k| 1.0 + k as f64, seed + 1));
        let order = permutation(n, &mut stream(seed, "order", 0, 0));
        let shuffled = order.iter().flat_map(|row| &x.values()[row * width..(row + 1) * width]).copied().collect();
        let shuffled = Features::new(width, shuffled).unwrap();
        for rule in RULES {
            let found = frechet_from_features(&x, &y, rule).unwrap();
            let limit = 1e-12 * (found.trace_first + found.trace_second + found.mean_term);
            for other in [&shuffled, &x] {
                prop_assert!((both(&y, other, rule) - found.distance).abs() <= limit);
            }
        }
    }

    #[test]
    fn the_distance_grows_with_the_square_of_the_scale(
        n in 2..40usize, width in 1..20usize, power in -60..60i32, seed in 0..1000u64
    ) {
        let (x, y) = (draws(n, width, 1.0, |_| 1.0, seed), draws(n + 3, width, 0.0, |_| 2.0, seed + 1));
        let scale = 10f64.powi(power);
        let scaled = |set: &Features| Features::new(width, set.values().iter().map(|v| v * scale).collect()).unwrap();
        let found = both(&x, &y, Covariance::Unbiased);
        let large = both(&scaled(&x), &scaled(&y), Covariance::Unbiased);
        prop_assert!((large / (scale * scale) - found).abs() <= 1e-11 * found, "{} {}", large, found);
    }

    #[test]
    fn no_shift_of_both_sets_costs_digits(shift in -1e9..1e9f64, seed in 0..1000u64) {
        // Multiples of 1/64, and a whole shift: the features themselves stay exact.
        let rounded = |set: Features, shift: f64| {
            let values = set.values().iter().map(|value| (value * 64.0).round() / 64.0 + shift.round());
            Features::new(set.width(), values.collect()).unwrap()
        };
        let set = |shift: f64, seed: u64, count: usize| rounded(draws(count, 6, 0.0, |_| 1.0, seed), shift);
        let near = frechet_from_features(&set(0.0, seed, 20), &set(0.0, seed + 1, 30), Covariance::Unbiased).unwrap();
        let far = frechet_from_features(&set(shift, seed, 20), &set(shift, seed + 1, 30), Covariance::Unbiased).unwrap();
        prop_assert!((near.distance - far.distance).abs() < 1e-12 * near.trace_first, "{:?} {:?}", near, far);
    }
}
