//! The streamed distance: any split over workers, the floor, the sample, the pairs.

use cola_metrics::{
    Covariance, Error, Features, Fvd, FvdConfig, FvdReport, frechet_from_features, kernel_distance,
};
use cola_random::{normals, permutation, stream};

const WIDTH: usize = 6;

fn clip(set: &str, index: u64) -> Vec<f32> {
    let shift = if set == "real" { 0.0 } else { 0.4 };
    normals(WIDTH, &mut stream(5, set, 0, index)).iter().map(|value| value + shift).collect()
}

fn features(set: &str, indices: impl Iterator<Item = u64>) -> Features {
    Features::from_f32(WIDTH, &indices.flat_map(|index| clip(set, index)).collect::<Vec<_>>()).unwrap()
}

/// Clips `0..count` of both sets over some workers in some order.
fn filled(count: u64, workers: usize, kvd_clips: usize, order: u64) -> Fvd {
    let config = FvdConfig { kvd_clips, ..FvdConfig::default() };
    let mut parts = vec![Fvd::new(WIDTH, config).unwrap(); workers];
    for (at, index) in permutation(count as usize, &mut stream(order, "order", 0, 0)).into_iter().enumerate()
    {
        let index = index as u64;
        parts[at % workers].add_pair(index, &clip("real", index), &clip("generated", index)).unwrap();
    }
    let mut all = Fvd::new(WIDTH, config).unwrap();
    parts.iter().rev().for_each(|part| all.merge(part).unwrap());
    all
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-10 * a.abs().max(b.abs())
}

fn agree(a: &FvdReport, b: &FvdReport) {
    assert!(near(a.fvd, b.fvd), "{a:?} {b:?}");
    assert!(near(a.floor.unwrap(), b.floor.unwrap()), "{a:?} {b:?}");
    assert!(near(a.cosine.unwrap(), b.cosine.unwrap()), "{a:?} {b:?}");
    // The sample is the same clips in the same order.
    assert_eq!(a.kvd, b.kvd);
    assert_eq!((a.real, a.generated, a.pairs, a.kvd_clips), (b.real, b.generated, b.pairs, b.kvd_clips));
}

#[test]
fn any_number_of_workers_agrees_with_one() {
    for kvd_clips in [50, 1000] {
        let one = filled(300, 1, kvd_clips, 1).finish().unwrap();
        for (workers, order) in [(2, 1), (3, 9), (7, 2), (300, 4)] {
            agree(&one, &filled(300, workers, kvd_clips, order).finish().unwrap());
        }
    }
}

#[test]
fn streamed_numbers_are_those_of_the_features() {
    let (real, generated) = (features("real", 0..300), features("generated", 0..300));
    let exact = frechet_from_features(&real, &generated, Covariance::Unbiased).unwrap();
    let halves = [0, 1].map(|parity| features("real", (0..300).filter(move |index| index % 2 == parity)));
    let floor = frechet_from_features(&halves[0], &halves[1], Covariance::Unbiased).unwrap().distance;
    let kernel = kernel_distance(&real, &generated).unwrap();
    // 50: only moments are left of most clips; 300: the sample has all.
    for kvd_clips in [50, 300] {
        let report = filled(300, 4, kvd_clips, 3).finish().unwrap();
        assert!(
            near(report.fvd, exact.distance) && near(report.parts.trace_root, exact.trace_root),
            "{report:?}"
        );
        assert!(near(report.floor.unwrap(), floor), "{report:?}");
        assert_eq!(report.kvd_clips, [kvd_clips; 2]);
        let rounding = 1e-12 * kernel.across.abs();
        assert_eq!((report.kvd.unwrap() - kernel.distance).abs() < rounding, kvd_clips == 300, "{report:?}");
    }
}

#[test]
fn sets_of_fewer_clips_than_features_are_exact() {
    let mut fvd =
        Fvd::new(WIDTH, FvdConfig { covariance: Covariance::Biased, ..FvdConfig::default() }).unwrap();
    for index in 0..4 {
        fvd.add_real(index, &clip("real", index)).unwrap();
        fvd.add_generated(index, &clip("generated", index)).unwrap();
    }
    let expected =
        frechet_from_features(&features("real", 0..4), &features("generated", 0..4), Covariance::Biased)
            .unwrap();
    let report = fvd.finish().unwrap();
    assert!(near(report.fvd, expected.distance), "{report:?}");
    assert_eq!((report.covariance, report.cosine, report.pairs), (Covariance::Biased, None, 0));
}

#[test]
fn more_can_be_added_behind_a_report() {
    let mut fvd = filled(20, 1, 1000, 1);
    fvd.finish().unwrap();
    for index in 20..40 {
        fvd.add_pair(index, &clip("real", index), &clip("generated", index)).unwrap();
    }
    agree(&fvd.finish().unwrap(), &filled(40, 1, 1000, 1).finish().unwrap());
}

#[test]
fn cosines_are_those_of_the_pairs() {
    let mut fvd = Fvd::new(2, FvdConfig::default()).unwrap();
    fvd.add_pair(0, &[1.0, 0.0], &[5.0, 0.0]).unwrap(); // 1
    fvd.add_pair(1, &[1.0, 0.0], &[0.0, 2.0]).unwrap(); // 0
    fvd.add_pair(2, &[3.0, 4.0], &[4.0, 3.0]).unwrap(); // 24/25
    fvd.add_pair(3, &[0.0, 0.0], &[1.0, 1.0]).unwrap(); // no direction
    fvd.add_real(4, &[9.0, 9.0]).unwrap();
    let report = fvd.finish().unwrap();
    assert!((report.cosine.unwrap() - 1.96 / 4.0).abs() < 1e-15);
    assert_eq!((report.real, report.generated, report.pairs), (5, 4, 4));
}

#[test]
fn numbers_that_the_sets_are_too_small_for_are_absent() {
    let mut fvd = Fvd::new(WIDTH, FvdConfig { kvd_clips: 0, ..FvdConfig::default() }).unwrap();
    for index in [0, 2, 4] {
        fvd.add_real(index, &clip("real", index)).unwrap();
        fvd.add_generated(index, &clip("generated", index)).unwrap();
    }
    let report = fvd.finish().unwrap();
    assert_eq!((report.floor, report.kvd, report.cosine), (None, None, None)); // no clip of odd index
    assert_eq!(report.kvd_clips, [0, 0]);
}

#[test]
fn a_clip_that_is_refused_leaves_no_trace() {
    let mut fvd = filled(5, 1, 1000, 1);
    let before = fvd.finish().unwrap();
    let mut broken = clip("real", 9);
    broken[4] = f32::NAN;
    let error = fvd.add_pair(9, &clip("real", 9), &broken).unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { what: "generated features", index, .. } if index == &[9, 4]),
        "{error}"
    );
    assert!(matches!(fvd.add_real(9, &broken), Err(Error::NotFinite { what: "real features", .. })));
    assert!(matches!(fvd.add_generated(9, &broken[..3]), Err(Error::Widths { first: WIDTH, second: 3, .. })));
    assert!(matches!(
        fvd.add_real(9, &[clip("real", 9), clip("real", 9)].concat()),
        Err(Error::Widths { .. })
    ));
    let biased = FvdConfig { covariance: Covariance::Biased, ..FvdConfig::default() };
    assert!(matches!(fvd.merge(&Fvd::new(WIDTH, biased).unwrap()), Err(Error::Protocols { .. })));
    let wide = Fvd::new(WIDTH + 1, FvdConfig::default()).unwrap();
    assert!(matches!(fvd.merge(&wide), Err(Error::Widths { .. })));
    assert_eq!(fvd.finish().unwrap(), before);
}

#[test]
fn a_set_of_one_clip_has_no_distance() {
    let mut fvd = Fvd::new(WIDTH, FvdConfig::default()).unwrap();
    assert!(matches!(fvd.finish(), Err(Error::TooFew { found: 0, .. })));
    fvd.add_real(0, &clip("real", 0)).unwrap();
    fvd.add_generated(0, &clip("generated", 0)).unwrap();
    assert!(matches!(fvd.finish(), Err(Error::TooFew { found: 1, least: 2, .. })));
    let one = FvdConfig { kvd_clips: 1, ..FvdConfig::default() };
    assert!(matches!(Fvd::new(WIDTH, one), Err(Error::Setting { field: "kvd_clips", .. })));
}

#[test]
fn clips_that_come_twice_count_twice_in_any_order() {
    let twice = |order: [u64; 4]| {
        let mut fvd = Fvd::new(WIDTH, FvdConfig { kvd_clips: 3, ..FvdConfig::default() }).unwrap();
        for (at, seen) in order.into_iter().enumerate() {
            fvd.add_real(at as u64, &clip("real", at as u64)).unwrap();
            fvd.add_generated(7, &clip("generated", seen)).unwrap();
        }
        fvd.finish().unwrap()
    };
    let (a, b) = (twice([0, 1, 2, 3]), twice([3, 1, 0, 2]));
    assert_eq!((a.generated, a.kvd_clips, a.kvd), (4, [3, 3], b.kvd));
    assert!(near(a.fvd, b.fvd));
}

#[test]
fn configurations_and_reports_survive_json() {
    let config = FvdConfig { covariance: Covariance::Biased, kvd_clips: 7 };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(text, r#"{"covariance":"biased","kvd_clips":7}"#);
    assert_eq!(serde_json::from_str::<FvdConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<FvdConfig>(r#"{"covariance":"biased","kvd_clips":7,"x":1}"#).is_err());
    let report = filled(10, 1, 0, 1).finish().unwrap();
    let read: FvdReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    agree(&report, &read);
    assert_eq!(read.covariance, report.covariance);
}
