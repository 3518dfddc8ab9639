//! Learning rates of the three warm-up rules.

use candle_core::{DType, Device, Result, Tensor};
use cola_coevolve::{OptimizerConfig, WarmupRule};
use cola_golden::{Golden, Tolerance};

const RULES: [(&str, WarmupRule); 3] = [
    ("output.step_over_warmup", WarmupRule::StepOverWarmup),
    ("output.step_plus_1_over_warmup", WarmupRule::NextStepOverWarmup),
    ("output.step_plus_1_over_warmup_plus_1", WarmupRule::NextStepOverNextWarmup),
];

pub(crate) fn compare(golden: &Golden) -> Result<()> {
    crate::all_known(golden, &["output.", "grad."], |name| RULES.iter().any(|(rule, _)| *rule == name));
    let base = golden.float("base");
    let steps = golden.input("step", DType::I64)?.to_vec1::<i64>()?;
    for (name, warmup_rule) in RULES {
        let config = OptimizerConfig {
            warmup: golden.int("warmup") as u64,
            warmup_rule,
            ..OptimizerConfig::default()
        };
        let rates: Vec<f64> = steps.iter().map(|step| base * config.warmth(*step as u64)).collect();
        // One formula, computed once: the rounding of a product or two.
        golden.compare(name, &Tensor::new(rates, &Device::Cpu)?, Tolerance::Relative(1e-15))?;
    }
    Ok(())
}
