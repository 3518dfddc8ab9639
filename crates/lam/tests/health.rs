//! Collapse is called out by name, health is left in peace.

use candle_core::{Device, Result, Tensor};
use cola_lam::{
    CodeInit, CodebookUsage, HealthLimits, HealthMonitor, LamConfig, Place, QuantizerConfig, Symptom,
    UsageReport,
};

const ENTRIES: usize = 32;

/// 320 actions of two codes each.
fn window(action: impl Fn(u32) -> [u32; 2]) -> Result<CodebookUsage> {
    let codes: Vec<u32> = (0..320).flat_map(action).collect();
    CodebookUsage::of(&Tensor::from_vec(codes, (320, 2), &Device::Cpu)?, ENTRIES)
}

fn even(i: u32) -> [u32; 2] {
    [i % 32, (i / 2) % 32]
}

fn found(usage: &CodebookUsage) -> Vec<(Place, Symptom)> {
    HealthLimits::default().findings(usage).iter().map(|finding| (finding.place, finding.symptom)).collect()
}

#[test]
fn an_even_codebook_is_healthy() -> Result<()> {
    assert!(found(&window(even)?).is_empty());
    assert!(found(&CodebookUsage::new(2, ENTRIES)).is_empty(), "nothing counted, nothing to say");
    Ok(())
}

#[test]
fn a_dead_position_behind_a_healthy_pool_is_named() -> Result<()> {
    let usage = window(|i| [even(i)[0], 17])?;
    let report = UsageReport::of(&usage);
    assert!(report.pooled.utilization == 1.0 && report.pooled.max_usage < 0.6, "{report:?}");
    let findings = HealthLimits::default().findings(&usage);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].place, findings[0].code), (Place::Position(1), 17));
    let words = findings[0].to_string();
    assert!(words.contains("collapse at position 1: code 17 takes 100 %"), "{words}");
    assert!(
        findings[0].is_collapse()
            && findings[0].advice(&LamConfig::paper()).contains("lam.commitment_weight")
    );
    // What is there already is not recommended.
    let tiny = findings[0].advice(&LamConfig::tiny());
    assert!(
        !tiny.contains("code_init") && !tiny.contains("commitment") && tiny.contains("restart_after"),
        "{tiny}"
    );
    let quantizer = QuantizerConfig { levels: vec![4, 8], ..QuantizerConfig::default() };
    let scalar = LamConfig { quantizer, code_init: CodeInit::Box, ..LamConfig::tiny() };
    let scalar = findings[0].advice(&scalar);
    assert!(!scalar.contains("restart") && !scalar.contains("entropy_weight"), "{scalar}");
    Ok(())
}

#[test]
fn a_constant_input_kills_both_positions() -> Result<()> {
    let findings = found(&window(|_| [3, 5])?);
    let one_code = |position| (Place::Position(position), Symptom::OneCode);
    // Two constants share the pool, so its most frequent code has only half of it.
    assert_eq!(findings, [one_code(0), one_code(1), (Place::Pooled, Symptom::LowEntropy)]);
    Ok(())
}

#[test]
fn few_codes_alone_are_a_warning_and_no_collapse() -> Result<()> {
    let findings = HealthLimits::default().findings(&window(|i| [i % 5, (i / 5) % 5])?);
    assert_eq!(findings.len(), 3); // two positions and the pool
    assert!(findings.iter().all(|finding| finding.symptom == Symptom::FewCodes && !finding.is_collapse()));
    Ok(())
}

#[test]
fn a_handful_of_samples_cannot_use_all_codes() -> Result<()> {
    let codes = Tensor::new(&[[0u32, 1], [2, 3], [4, 5]], &Device::Cpu)?;
    assert!(found(&CodebookUsage::of(&codes, ENTRIES)?).is_empty());
    Ok(())
}

#[test]
fn only_windows_in_a_row_count_and_the_state_survives_a_file() -> Result<()> {
    let (dead, alive) = (window(|i| [even(i)[0], 17])?, window(even)?);
    let mut monitor = HealthMonitor::new(HealthLimits::default());
    for usage in [&dead, &dead, &alive, &dead, &dead] {
        assert!(monitor.observe(usage).is_empty());
    }
    let text = serde_json::to_string(&monitor).expect("plain numbers");
    let mut read: HealthMonitor = serde_json::from_str(&text).expect("what was written");
    assert_eq!(read, monitor);
    let findings = read.observe(&dead);
    assert_eq!(findings, monitor.observe(&dead));
    assert_eq!((findings[0].windows, findings[0].place), (3, Place::Position(1)));
    assert!(findings[0].to_string().ends_with("3 windows in a row"), "{}", findings[0]);
    Ok(())
}

#[test]
fn a_stored_histogram_is_checked() -> Result<()> {
    let usage = window(|i| [i % 7, i % 11])?;
    let text = serde_json::to_string(&usage).expect("plain numbers");
    assert_eq!(serde_json::from_str::<CodebookUsage>(&text).expect("what was written"), usage);
    for (hostile, expected) in [
        (r#"{"positions":2,"entries":4,"actions":[[[0,4],1]]}"#, "codes below 4"),
        (r#"{"positions":2,"entries":4,"actions":[[[0],1]]}"#, "expected 2 codes"),
        (r#"{"positions":1000000,"entries":1000000,"actions":[]}"#, "counters"),
        (
            r#"{"positions":1,"entries":4,"actions":[[[0],18446744073709551615],[[1],1]]}"#,
            "more actions than 64 bits",
        ),
    ] {
        let error = serde_json::from_str::<CodebookUsage>(hostile).expect_err(hostile).to_string();
        assert!(error.contains(expected), "{error}");
    }
    Ok(())
}
