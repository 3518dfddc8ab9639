//! Keyed random streams: every draw is a pure function of its key.
//!
//! Training must be repeatable whatever the order of work: after a resume, with another number of threads, on another
//! device. So nothing in this project carries a generator along. Whoever needs random numbers names them by
//! (seed, purpose, step, sample) and gets a fresh ChaCha stream for exactly that key.
//!
//! ```
//! use cola_random::{normals, stream};
//!
//! let noise = normals(4, &mut stream(7, "noise", 100, 3));
//! assert_eq!(noise, normals(4, &mut stream(7, "noise", 100, 3)));
//! assert_ne!(noise, normals(4, &mut stream(7, "noise", 100, 4)));
//! ```
//!
//! It leaves tensors to `cola-nn` and time distributions to `cola-flow`.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The generator behind every draw.
pub type Stream = ChaCha8Rng;

/// The stream of one key. The four parts are the 256-bit ChaCha key, so two different keys never share numbers
/// (up to a collision of the 64-bit hash of two purposes).
///
/// `step` counts optimizer steps or epochs, `sample` is the *global* sample index, so that a batch split over several
/// workers draws the same numbers as the same batch on one.
pub fn stream(seed: u64, purpose: &str, step: u64, sample: u64) -> Stream {
    let mut key = [0u8; 32];
    for (slot, part) in key.chunks_exact_mut(8).zip([seed, name_hash(purpose), step, sample]) {
        slot.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// `count` standard normal numbers.
pub fn normals(count: usize, rng: &mut impl Rng) -> Vec<f32> {
    (0..count).map(|_| rng.sample::<f32, _>(StandardNormal)).collect()
}

/// `count` numbers, uniform in `[low, high)`.
pub fn uniforms(count: usize, low: f32, high: f32, rng: &mut impl Rng) -> Vec<f32> {
    (0..count).map(|_| low + (high - low) * rng.random::<f32>()).collect()
}

/// A permutation of `0..count` (Fisher-Yates).
pub fn permutation(count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    order
}

/// FNV-1a: small, stable over releases, and only has to tell a handful of purposes and parameter names apart.
fn name_hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
