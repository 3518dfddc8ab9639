use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use cola_coevolve::{AdamW, ExperimentConfig, OptimizerConfig, Update, WarmupRule};

/// How far the first and the second step move a variable whose gradient is always 1, rate 1.
fn moves(warmup_rule: WarmupRule) -> Result<[f64; 2]> {
    let config = OptimizerConfig { warmup: 4, warmup_rule, ..OptimizerConfig::plain() };
    let mut optimizer = AdamW::new(&config);
    let var = Var::new(&[0f64], &Device::Cpu)?;
    let mut at = 0.0;
    let mut found = [0.0; 2];
    for moved in &mut found {
        let mut grads = GradStore::default();
        grads.insert(var.as_tensor(), Tensor::new(&[1f64], &Device::Cpu)?);
        optimizer
            .step(&[Update { name: "x", var: &var, rate: 1.0, decays: true, averaged: false }], &grads)?;
        let now = var.to_vec1::<f64>()?[0];
        (*moved, at) = (at - now, now);
    }
    Ok(found)
}

#[test]
fn the_rule_decides_how_far_the_first_steps_go() -> Result<()> {
    // A steady gradient makes every step of AdamW as long as its rate.
    for (rule, expected) in [
        (WarmupRule::StepOverWarmup, [0.0, 0.25]),
        (WarmupRule::NextStepOverWarmup, [0.25, 0.5]),
        (WarmupRule::NextStepOverNextWarmup, [0.2, 0.4]),
    ] {
        for (found, expected) in moves(rule)?.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{rule:?}: {found}, expected {expected}");
        }
    }
    Ok(())
}

#[test]
fn a_configuration_written_before_there_were_rules_is_still_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = ExperimentConfig::tiny().to_toml().expect("a configuration");
    let line = "warmup_rule = \"step_plus_1_over_warmup_plus_1\"\n";
    assert!(text.contains(line), "{text}");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text.replace(line, "")).expect("a file");
    assert_eq!(ExperimentConfig::read(&file).expect("the old form"), ExperimentConfig::tiny());
}

#[test]
fn the_rule_can_be_set_by_name() {
    let config = ExperimentConfig::tiny().with("optimizer.warmup_rule=step_over_warmup").expect("a rule");
    assert_eq!(config.optimizer.warmup_rule, WarmupRule::StepOverWarmup);
    assert!(ExperimentConfig::tiny().with("optimizer.warmup_rule=sudden").is_err());
}
