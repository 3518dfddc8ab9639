//! Reference values of AdamW's trajectories, warm-up rules, the linear probe and the adapter.

mod adapter;
mod optimizer;
mod probe;
mod schedule;

use candle_core::{DType, Result};
use cola_coevolve::OptimizerConfig;
use cola_golden::{Golden, Tolerance};

/// A port in f64 computes what the reference computed.
pub(crate) const F64: Tolerance = Tolerance::Absolute(1e-9);
/// Codes are equal or wrong.
pub(crate) const EXACT: Tolerance = Tolerance::Absolute(0.0);

/// The tolerance of `dtype`, where in f32 five times the reference's own deviation is allowed, more for entries beyond
/// the size at which it was measured.
pub(crate) fn tolerance(dtype: DType, deviation: f64) -> Tolerance {
    if dtype == DType::F64 { F64 } else { Tolerance::Scaled(5.0 * deviation) }
}

/// AdamW's constants as a file's configuration names them; without clipping or warm-up where it names none.
pub(crate) fn optimizer(config: &serde_json::Value) -> OptimizerConfig {
    let number = |value: &serde_json::Value, key: &str| {
        value.as_f64().unwrap_or_else(|| panic!("the configuration has no number `{key}`"))
    };
    OptimizerConfig {
        beta1: number(&config["betas"][0], "betas"),
        beta2: number(&config["betas"][1], "betas"),
        eps: number(&config["eps"], "eps"),
        decay: number(&config["weight_decay"], "weight_decay"),
        clip: config["clip_global_norm"].as_f64().unwrap_or(0.0),
        warmup: config["warmup"].as_u64().unwrap_or(0),
        warmup_rule: match &config["warmup_rule"] {
            serde_json::Value::Null => Default::default(),
            rule => serde_json::from_value(rule.clone()).expect("a known warm-up rule"),
        },
        average: 0.0,
    }
}

/// Notes a failure for every tensor of the file below `prefixes` that no comparison knows.
pub(crate) fn all_known(golden: &Golden, prefixes: &[&str], known: impl Fn(&str) -> bool) {
    for prefix in prefixes {
        for name in golden.names(prefix).filter(|name| !known(name)) {
            golden.fail(format!("{name}: there is no comparison for it"));
        }
    }
}

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-coevolve", |golden| {
        let in_both = |compare: fn(&Golden, DType) -> Result<()>| {
            compare(golden, DType::F64)?;
            compare(golden, DType::F32)
        };
        match golden.config()["kind"].as_str().unwrap_or_default() {
            "adamw" => in_both(optimizer::from_the_start),
            "adamw-late-unfreeze" => in_both(optimizer::late_unfreeze),
            "lr-schedule" => schedule::compare(golden),
            "linear-probe" => probe::compare(golden),
            "adapter-mlp" => in_both(adapter::compare),
            kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
        }
    });
}
