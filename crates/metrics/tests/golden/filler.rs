//! Weights by formula, the same in any language: what the networks of the reference files are filled with.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};
use cola_golden::{Golden, Tolerance};

const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// The values of the tensor `name` under `seed`: a hash of the name, then one mixed counter a value.
pub(crate) fn fill(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let start = hash ^ seed.wrapping_mul(GOLDEN_RATIO);
    let fan_in: usize = shape[1..].iter().product();
    (1..=shape.iter().product::<usize>() as u64)
        .map(|place| {
            let mut z = start.wrapping_add(place.wrapping_mul(GOLDEN_RATIO));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            let c = 2.0 * ((z >> 11) as f64 * (0.5f64).powi(53)) - 1.0;
            let value = match name {
                _ if name.ends_with(".bn.weight") => 1.0 + 0.2 * c,
                _ if name.ends_with(".bn.running_var") => 1.0 + 0.5 * c,
                _ if name.ends_with(".bias") || name.ends_with(".bn.running_mean") => 0.1 * c,
                _ => (6.0 / fan_in as f64).sqrt() * c,
            };
            value as f32
        })
        .collect()
}

/// A network's tensors by name.
pub(crate) fn filled(
    shapes: impl IntoIterator<Item = (String, Vec<usize>)>,
    seed: u64,
) -> Result<HashMap<String, Tensor>> {
    shapes
        .into_iter()
        .map(|(name, shape)| {
            let values = Tensor::from_vec(fill(&name, &shape, seed), shape, &Device::Cpu)?;
            Ok((name, values))
        })
        .collect()
}

/// First values and sums of every tensor of a file's network; `prefix` stands in front of its names there.
pub(crate) fn compare(golden: &Golden, prefix: &str, shapes: &[(String, Vec<usize>)]) -> Result<()> {
    for (name, shape) in shapes {
        let values = fill(name, shape, golden.int("filler_seed") as u64);
        let head = golden.tensor(&format!("{prefix}{name}.head")).elem_count();
        let head = Tensor::new(&values[..head], &Device::Cpu)?;
        golden.compare(&format!("{prefix}{name}.head"), &head, Tolerance::Absolute(0.0))?;
        let sums = values
            .iter()
            .map(|value| f64::from(*value))
            .fold([0.0, 0.0], |[sum, squares], value| [sum + value, squares + value * value]);
        let sums = Tensor::new(&sums, &Device::Cpu)?;
        golden.compare(&format!("{prefix}{name}.sum"), &sums, Tolerance::Relative(1e-9))?;
    }
    Ok(())
}
