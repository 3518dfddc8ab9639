//! Streamed moments: hand-checkable values, any grouping, files that are damaged.

use cola_metrics::{Covariance, Error, Moments};
use cola_random::{normals, stream};
use proptest::prelude::*;

fn of(width: usize, rows: &[f64]) -> Moments {
    let mut moments = Moments::new(width);
    moments.add(rows).unwrap();
    moments
}

fn draws(rows: usize, width: usize, mean: f64, seed: u64) -> Vec<f64> {
    normals(rows * width, &mut stream(seed, "moments", 0, 0)).iter().map(|v| mean + f64::from(*v)).collect()
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |most, gap| if gap > most || gap.is_nan() { gap } else { most })
}

#[test]
fn four_points_have_their_moments() {
    let corners = of(2, &[0.0, 0.0, 2.0, 0.0, 0.0, 4.0, 2.0, 4.0]);
    assert_eq!(corners.count(), 4);
    assert_eq!(corners.mean(), [1.0, 2.0]);
    assert_eq!(corners.covariance(Covariance::Biased).unwrap(), [1.0, 0.0, 0.0, 4.0]);
    assert_eq!(corners.covariance(Covariance::Unbiased).unwrap(), [4.0 / 3.0, 0.0, 0.0, 16.0 / 3.0]);
}

#[test]
fn the_same_rows_give_the_same_bits_however_calls_split_them() {
    let (width, rows) = (5, draws(200, 5, 3.0, 1));
    let whole = of(width, &rows);
    for step in [1, 7, 64, 199] {
        let mut split = Moments::new(width);
        rows.chunks(step * width).for_each(|chunk| split.add(chunk).unwrap());
        assert_eq!(split.mean(), whole.mean());
        assert_eq!(
            split.covariance(Covariance::Biased).unwrap(),
            whole.covariance(Covariance::Biased).unwrap()
        );
    }
}

#[test]
fn asking_in_between_changes_nothing() {
    let rows = draws(100, 3, 0.0, 2);
    let mut asked = Moments::new(3);
    for row in rows.chunks(3) {
        asked.add(row).unwrap();
        assert!(asked.mean().iter().all(|mean| mean.is_finite()));
    }
    assert_eq!(asked.mean(), of(3, &rows).mean());
}

#[test]
fn parts_without_rows_change_nothing() {
    let mut moments = of(2, &[1.0, 5.0, 4.0, 3.0]);
    let (mean, covariance) = (moments.mean(), moments.covariance(Covariance::Unbiased).unwrap());
    moments.merge(&Moments::new(2)).unwrap();
    moments.add::<f32>(&[]).unwrap();
    let mut other = Moments::new(2);
    other.merge(&moments).unwrap();
    for found in [moments, other] {
        assert_eq!((found.count(), found.mean()), (2, mean.clone()));
        assert_eq!(found.covariance(Covariance::Unbiased).unwrap(), covariance);
    }
    assert_eq!((Moments::new(2).count(), Moments::new(2).mean()), (0, vec![0.0, 0.0]));
}

#[test]
fn a_mean_a_hundred_million_deviations_away_costs_no_digits_of_the_covariance() {
    let (width, base) = (3, draws(300, 3, 0.0, 3));
    // Halves and quarters: the shift itself rounds nothing.
    let base: Vec<f64> = base.iter().map(|value| (value * 64.0).round() / 64.0).collect();
    let shifted: Vec<f64> = base.iter().map(|value| value + 1e8).collect();
    let covariance = |rows: &[f64]| of(width, rows).covariance(Covariance::Unbiased).unwrap();
    // Six of the sixteen digits remain to the running means; sums of squares about 0 would keep none.
    let gap = worst(&covariance(&base), &covariance(&shifted));
    assert!(gap < 1e-9, "{gap:e}");
}

#[test]
fn a_covariance_needs_two_rows() {
    for rows in [&[][..], &[1.0, 2.0]] {
        let error = of(2, rows).covariance(Covariance::Biased).unwrap_err();
        assert!(matches!(error, Error::TooFew { least: 2, .. }), "{error}");
    }
}

#[test]
fn what_is_no_row_is_refused_and_leaves_no_trace() {
    let mut moments = of(3, &[1.0, 2.0, 3.0]);
    let error = moments.add(&[1.0f32, 2.0, 3.0, 4.0, f32::NAN, 6.0]).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { index, .. } if index == &[1, 1]), "{error}");
    assert!(matches!(moments.add(&[1.0, f64::INFINITY, 0.0]), Err(Error::NotFinite { .. })));
    assert!(matches!(moments.add(&[1.0, 2.0]), Err(Error::Setting { .. })));
    assert!(matches!(moments.merge(&Moments::new(2)), Err(Error::Widths { first: 3, second: 2, .. })));
    assert!(matches!(Moments::new(0).add(&[1.0]), Err(Error::Setting { .. })));
    assert_eq!((moments.count(), moments.mean()), (1, vec![1.0, 2.0, 3.0]));
}

#[test]
fn squares_beyond_f64_are_an_error() {
    let error = of(1, &[1e200, -1e200]).covariance(Covariance::Unbiased).unwrap_err();
    assert!(matches!(error, Error::Numerics { .. }), "{error}");
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(of(1, &[1e200, -1e200]).save(folder.path().join("m")), Err(Error::File { .. })));
}

#[test]
fn a_saved_part_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("real.safetensors");
    let rows = draws(150, 4, 2.0, 4);
    for count in [0, 1, 70, 150] {
        let mut part = of(4, &rows[..count * 4]);
        part.save(&file).unwrap();
        let mut opened = Moments::open(&file).unwrap();
        assert_eq!((opened.count(), opened.mean()), (count as u64, part.mean()));
        part.add(&rows[count * 4..]).unwrap();
        opened.add(&rows[count * 4..]).unwrap();
        let covariance = |moments: &Moments| moments.covariance(Covariance::Unbiased).unwrap();
        assert!(worst(&covariance(&part), &covariance(&opened)) < 1e-12);
    }
}

/// A file of these numbers, as another program may write it.
fn written(count: i64, mean: &[f64], m2: &[f64]) -> Vec<u8> {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (n, width) = (count.to_le_bytes(), mean.len());
    let (mean, m2) = (bytes(mean), bytes(m2));
    let tensors = [
        ("n", TensorView::new(Dtype::I64, vec![1], &n).unwrap()),
        ("mean", TensorView::new(Dtype::F64, vec![width], &mean).unwrap()),
        ("M2", TensorView::new(Dtype::F64, vec![width, m2.len() / 8 / width.max(1)], &m2).unwrap()),
    ];
    serialize(tensors, None).unwrap()
}

fn open(bytes: &[u8]) -> cola_metrics::Result<Moments> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moments.safetensors");
    std::fs::write(&file, bytes).unwrap();
    Moments::open(file)
}

#[test]
fn numbers_that_no_rows_have_are_refused() {
    let good = [2.0, 1.0, 1.0, 2.0];
    assert_eq!(open(&written(3, &[0.0, 1.0], &good)).unwrap().count(), 3);
    for (count, mean, m2, told) in [
        (-1, [0.0, 1.0], good, "`n` is -1"),
        (i64::MAX, [0.0, 1.0], good, "at most"),
        (3, [0.0, f64::NAN], good, "`mean` at 1"),
        (3, [0.0, 1.0], [2.0, 1.0, 1.5, 2.0], "not symmetric"),
        (3, [0.0, 1.0], [2.0, f64::NAN, 1.0, 2.0], "not symmetric"),
        (3, [0.0, 1.0], [2.0, 3.0, 3.0, 2.0], "beyond"),
        (3, [0.0, 1.0], [-2.0, 0.0, 0.0, 2.0], "sum of squares"),
        (3, [0.0, 1.0], [f64::INFINITY, 0.0, 0.0, 2.0], "sum of squares"),
        (1, [0.0, 1.0], good, "`M2` is not 0"),
        (0, [0.0, 1.0], [0.0; 4], "`mean` is not"),
    ] {
        let error = open(&written(count, &mean, &m2)).unwrap_err();
        assert!(matches!(&error, Error::File { what, .. } if what.contains(told)), "{told}: {error}");
    }
    assert!(matches!(open(&written(3, &[0.0, 1.0], &[1.0; 6])), Err(Error::File { .. })));
    assert!(matches!(open(&written(5, &[], &[])), Err(Error::File { .. })), "rows of no numbers");
    assert!(matches!(Moments::open("/nonexistent/moments"), Err(Error::File { .. })));
}

proptest! {
    #[test]
    fn any_grouping_has_the_moments_of_the_whole(
        cuts in prop::collection::vec(0..90usize, 0..8), seed in 0..1000u64, mean in -1e3..1e3f64
    ) {
        let rows = draws(90, 4, mean, seed);
        let mut ends = [vec![0, 90], cuts].concat();
        ends.sort_unstable();
        let mut merged = Moments::new(4);
        for pair in ends.windows(2) {
            merged.merge(&of(4, &rows[pair[0] * 4..pair[1] * 4])).unwrap();
        }
        let whole = of(4, &rows);
        prop_assert_eq!(merged.count(), 90);
        prop_assert!(worst(&merged.mean(), &whole.mean()) < 1e-12 * mean.abs().max(1.0));
        for rule in [Covariance::Unbiased, Covariance::Biased] {
            prop_assert!(worst(&merged.covariance(rule).unwrap(), &whole.covariance(rule).unwrap()) < 1e-11);
        }
    }

    #[test]
    fn damaged_files_are_errors_and_never_a_panic(
        place in 0.0..1.0f64, change in 1..=255u8, cut in prop::option::of(0.0..1.0f64), seed in 0..100u64
    ) {
        let whole = of(3, &draws(9, 3, 1.0, seed));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("moments.safetensors");
        whole.save(&file).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let at = (place * bytes.len() as f64) as usize;
        bytes[at] ^= change;
        if let Some(share) = cut {
            bytes.truncate((share * bytes.len() as f64) as usize);
        }
        std::fs::write(&file, &bytes).unwrap();
        match Moments::open(&file) {
            // Some other numbers are the moments of other rows.
            Ok(opened) => {
                prop_assert!(cut.is_none());
                prop_assert!(opened.mean().iter().all(|mean| mean.is_finite()));
                if opened.count() >= 2 {
                    let covariance = opened.covariance(Covariance::Unbiased).unwrap();
                    prop_assert!((0..3).all(|at| covariance[at * 4] >= 0.0));
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::File { .. }), "{}", error),
        }
    }

    #[test]
    fn any_bytes_are_errors_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let refused = matches!(open(&bytes), Err(Error::File { .. }));
        prop_assert!(refused);
    }
}
