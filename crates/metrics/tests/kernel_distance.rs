//! The kernel distance: against the definition, across blocks, without bias, what is refused.

use cola_metrics::{Error, Features, kernel_distance};
use cola_random::{normals, stream};

fn draws(count: usize, width: usize, mean: f64, seed: u64) -> Features {
    let values = normals(count * width, &mut stream(seed, "kernel", 0, 0));
    Features::new(width, values.iter().map(|value| mean + f64::from(*value)).collect()).unwrap()
}

/// The definition, pair by pair.
fn plain(x: &Features, y: &Features) -> [f64; 3] {
    let rows = |set: &Features| set.values().chunks(set.width()).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let (x, y) = (rows(x), rows(y));
    let kernel = |a: &[f64], b: &[f64]| {
        (a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64 + 1.0).powi(3)
    };
    let within = |set: &[Vec<f64>]| {
        let pairs = (0..set.len()).flat_map(|i| (0..set.len()).filter(move |j| *j != i).map(move |j| (i, j)));
        pairs.map(|(i, j)| kernel(&set[i], &set[j])).sum::<f64>() / (set.len() * (set.len() - 1)) as f64
    };
    let across =
        x.iter().flat_map(|a| y.iter().map(|b| kernel(a, b))).sum::<f64>() / (x.len() * y.len()) as f64;
    [within(&x), within(&y), across]
}

#[test]
fn blocks_add_up_to_the_definition() {
    for (n, m, width) in [(2, 2, 1), (5, 130, 3), (128, 129, 7), (300, 257, 16)] {
        let (x, y) = (draws(n, width, 0.3, 1), draws(m, width, -0.2, 2));
        let found = kernel_distance(&x, &y).unwrap();
        let [within_first, within_second, across] = plain(&x, &y);
        for (found, expected) in [
            (found.within_first, within_first),
            (found.within_second, within_second),
            (found.across, across),
            (found.distance, within_first + within_second - 2.0 * across),
        ] {
            assert!((found - expected).abs() < 1e-12 * within_first.abs().max(within_second.abs()).max(1.0));
        }
    }
}

#[test]
fn sets_of_one_distribution_are_at_distance_zero_on_average() {
    let distances: Vec<f64> = (0..200)
        .map(|run| kernel_distance(&draws(20, 8, 0.2, run), &draws(20, 8, 0.2, 1000 + run)).unwrap().distance)
        .collect();
    let count = distances.len() as f64;
    let mean = distances.iter().sum::<f64>() / count;
    let error = (distances.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1.0) / count).sqrt();
    assert!(mean.abs() < 4.0 * error, "{mean} +- {error}");
    assert!(distances.iter().any(|d| *d < 0.0) && distances.iter().any(|d| *d > 0.0));
}

#[test]
fn threads_change_no_bit() {
    let (x, y) = (draws(700, 5, 1.0, 1), draws(400, 5, 1.1, 2));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| kernel_distance(&x, &y)).unwrap()
    };
    assert_eq!(on(1), on(2));
    assert_eq!(on(1), on(5));
}

#[test]
fn what_has_no_pairs_is_refused() {
    let set = |count| draws(count, 3, 0.0, 1);
    assert!(matches!(kernel_distance(&set(1), &set(4)), Err(Error::TooFew { set: "the first set", .. })));
    assert!(matches!(kernel_distance(&set(4), &set(0)), Err(Error::TooFew { set: "the second set", .. })));
    assert!(matches!(kernel_distance(&set(4), &draws(4, 2, 0.0, 1)), Err(Error::Widths { .. })));
    let huge = Features::new(1, vec![1e100, -1e100]).unwrap();
    assert!(matches!(kernel_distance(&huge, &huge), Err(Error::Numerics { .. })));
}
