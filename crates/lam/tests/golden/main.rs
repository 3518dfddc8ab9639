//! Reference values of the public implementations: outputs of every layer, losses, all gradients, codebook metrics.

mod metrics;
mod moving;
mod patches;
mod pooled;
mod prompt;
mod quantizer;
mod rotation;
mod scalar;
mod seen;

use candle_core::DType;
use cola_golden::Tolerance;

/// A port may be this many times as far off as the reference's own float32 run.
pub(crate) const NOISE_FACTOR: f64 = 5.0;
/// Two f64 computations of the same formula.
pub(crate) const TIGHT: Tolerance = Tolerance::Absolute(1e-9);
/// Codes are equal or wrong.
pub(crate) const EXACT: Tolerance = Tolerance::Absolute(0.5);

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-lam", |golden| match golden.config()["kind"].as_str().unwrap_or_default() {
        "lam pooled-query reading" => {
            pooled::compare(golden, DType::F64)?;
            pooled::compare(golden, DType::F32)
        }
        "vector-quantizer" => {
            quantizer::compare(golden, DType::F64)?;
            quantizer::compare(golden, DType::F32)
        }
        "vq-ema" => moving::compare(golden),
        "vq-rotation-trick" => {
            rotation::compare(golden, DType::F64)?;
            rotation::compare(golden, DType::F32)
        }
        "fsq" => scalar::compare(golden),
        "lam prompt-token reading, VQ" => {
            prompt::compare(golden, DType::F64)?;
            prompt::compare(golden, DType::F32)
        }
        kind if kind.starts_with("lam prompt-token reading, rotary") => {
            prompt::compare_variational(golden, DType::F64)?;
            prompt::compare_variational(golden, DType::F32)
        }
        "codebook-metrics" => metrics::compare(golden),
        "dead-code counters" => metrics::restarts(golden),
        "patch order, normalisation, position tables" => patches::compare(golden),
        kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
    });
}
