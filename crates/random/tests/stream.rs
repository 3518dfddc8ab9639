//! Streams are pure functions of their key.

use cola_random::{normals, permutation, stream, uniforms};

#[test]
fn each_part_of_the_key_changes_the_numbers() {
    let draw = |seed, purpose, step, sample| normals(8, &mut stream(seed, purpose, step, sample));
    let base = draw(1, "noise", 2, 3);
    assert_eq!(base, draw(1, "noise", 2, 3));
    for other in
        [draw(2, "noise", 2, 3), draw(1, "time", 2, 3), draw(1, "noise", 3, 3), draw(1, "noise", 2, 4)]
    {
        assert_ne!(base, other);
    }
}

#[test]
fn normals_have_mean_zero_and_deviation_one() {
    let x = normals(100_000, &mut stream(0, "test", 0, 0));
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
    assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
}

#[test]
fn uniforms_stay_in_their_range_and_permutations_hold_each_index_once() {
    let mut rng = stream(0, "test", 0, 1);
    assert!(uniforms(1000, -0.5, 0.25, &mut rng).iter().all(|v| (-0.5..0.25).contains(v)));
    let mut order = permutation(257, &mut rng);
    assert_ne!(order, (0..257).collect::<Vec<_>>());
    order.sort_unstable();
    assert_eq!(order, (0..257).collect::<Vec<_>>());
}
