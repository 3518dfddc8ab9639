//! Videos for tests.

use candle_core::Device;
use cola_metrics::Video;
use rand::Rng;

/// Grey levels by chance.
pub(crate) fn noise(shape: [usize; 4], seed: u64) -> Video {
    let mut rng = cola_random::stream(seed, "clip", 0, 0);
    Video::from_u8(shape, (0..shape.iter().product()).map(|_| rng.random()).collect()).unwrap()
}

/// One level everywhere.
pub(crate) fn flat(shape: [usize; 4], level: u8) -> Video {
    Video::from_u8(shape, vec![level; shape.iter().product()]).unwrap()
}

/// The same video as f32 in `[0, 1]`.
pub(crate) fn single(video: &Video) -> Video {
    Video::from_tensor(&video.tensor(&Device::Cpu).unwrap()).unwrap()
}

/// The bits of some numbers, as one thread and as five compute them.
pub(crate) fn on_one_and_five_threads(compute: impl Fn() -> Vec<f64> + Sync) -> [Vec<u64>; 2] {
    [1, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&compute).into_iter().map(f64::to_bits).collect()
    })
}
