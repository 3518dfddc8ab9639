//! Pixels, patches and positions.

use candle_core::{DType, Device, Result};
use cola_golden::{Golden, Tolerance};
use cola_lam::{LamConfig, Pixels};
use cola_nn::sinusoid::{grid_table, interleaved_table, line_table};

use crate::{NOISE_FACTOR, TIGHT};

/// Normalisation, the order of patches, the three position tables.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let (image, patch, dim) = (golden.int("resolution"), golden.int("patch"), golden.int("dim"));
    let (dtype, device) = (DType::F64, Device::Cpu);
    let pixels = Pixels::new(&LamConfig { image, patch, ..LamConfig::tiny() }, dtype, &device)?;
    let frames = pixels.normalise(&(golden.input("frames_u8", dtype)? / 255.0)?)?;
    let places = |count: usize| (0..count).map(|place| place as f64).collect::<Vec<_>>();
    let grid = places(golden.int("grid"));
    let tokens = places(golden.tensor("output.pos1d_interleaved").dim(0)?); // no number of the configuration
    // The file was normalised in float32; its own noise is 2.5e-7.
    let single = Tolerance::Absolute(NOISE_FACTOR * 2.5e-7);
    let compared = [
        ("output.normalised", frames.clone(), single),
        ("output.patches", pixels.patches(&frames)?, single),
        ("output.pos1d", line_table(&places(golden.int("frames")), dim, dtype, &device)?, TIGHT),
        ("output.pos1d_interleaved", interleaved_table(&tokens, dim, dtype, &device)?, TIGHT),
        ("output.pos2d", grid_table(&grid, &grid, dim, dtype, &device)?, TIGHT),
    ];
    for (name, value, tolerance) in &compared {
        golden.compare(name, value, *tolerance)?;
    }
    golden.all_compared();
    Ok(())
}
