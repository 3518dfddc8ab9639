//! Pixels and patches.

use candle_core::{DType, Device, Result};
use cola_golden::{Golden, Tolerance};
use cola_lam::{LamConfig, Pixels};

use crate::NOISE_FACTOR;

/// Normalisation and the order of patches; the position tables are `cola-nn`'s.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let (image, patch) = (golden.int("resolution"), golden.int("patch"));
    let pixels = Pixels::new(&LamConfig { image, patch, ..LamConfig::tiny() }, DType::F64, &Device::Cpu)?;
    let frames = pixels.normalise(&(golden.input("frames_u8", DType::F64)? / 255.0)?)?;
    // The file was normalised in float32; its own noise is 2.5e-7.
    let single = Tolerance::Absolute(NOISE_FACTOR * 2.5e-7);
    golden.compare("output.normalised", &frames, single)?;
    golden.compare("output.patches", &pixels.patches(&frames)?, single)?;
    Ok(())
}
