//! Codebook metrics, by hand.

use candle_core::{Device, Result, Tensor};
use cola_lam::{CodebookUsage, Usage};
use proptest::prelude::*;

fn codes(actions: &[[u32; 2]]) -> Result<Tensor> {
    Tensor::new(actions.as_flattened(), &Device::Cpu)?.reshape(((), 2))
}

fn assert_usage(found: Usage, utilization: f64, max_usage: f64, entropy: f64) {
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(
        close(found.utilization, utilization)
            && close(found.max_usage, max_usage)
            && close(found.entropy, entropy),
        "{found:?}, expected {utilization} {max_usage} {entropy}"
    );
}

#[test]
fn every_pair_once_is_full_use_in_every_reading() -> Result<()> {
    let pairs: Vec<[u32; 2]> = (0..16).map(|pair| [pair / 4, pair % 4]).collect();
    let usage = CodebookUsage::of(&codes(&pairs)?, 4)?;
    assert_usage(usage.pooled(), 1.0, 0.25, 4f64.ln());
    assert_usage(usage.position(1), 1.0, 0.25, 4f64.ln());
    assert_usage(usage.joint(), 1.0, 1.0 / 16.0, 16f64.ln());
    assert_eq!(usage.samples(), 16);
    let joint = usage.joint();
    assert!((joint.bits() - 4.0).abs() < 1e-12 && (joint.perplexity() - 16.0).abs() < 1e-9);
    assert!((joint.normalised(16) - 1.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn one_constant_code_has_no_entropy() -> Result<()> {
    let usage = CodebookUsage::of(&codes(&[[7, 7]; 50])?, 32)?;
    for reading in [usage.pooled(), usage.position(0), usage.position(1)] {
        assert_usage(reading, 1.0 / 32.0, 1.0, 0.0);
        assert!(reading.entropy.is_sign_positive());
    }
    assert_usage(usage.joint(), 1.0 / 1024.0, 1.0, 0.0);
    Ok(())
}

#[test]
fn two_constants_look_half_healthy_when_pooled_and_dead_otherwise() -> Result<()> {
    let usage = CodebookUsage::of(&codes(&[[3, 9]; 50])?, 32)?;
    assert_usage(usage.pooled(), 2.0 / 32.0, 0.5, std::f64::consts::LN_2);
    assert_usage(usage.position(0), 1.0 / 32.0, 1.0, 0.0);
    assert_usage(usage.joint(), 1.0 / 1024.0, 1.0, 0.0);
    Ok(())
}

#[test]
fn nothing_counted_is_all_zero() {
    let usage = CodebookUsage::new(2, 32);
    assert_usage(usage.pooled(), 0.0, 0.0, 0.0);
    assert_usage(usage.joint(), 0.0, 0.0, 0.0);
    assert_eq!(usage.samples(), 0);
}

#[test]
fn a_refused_batch_counts_nothing() -> Result<()> {
    let mut usage = CodebookUsage::new(2, 4);
    let refusal = usage.add(&codes(&[[0, 1], [2, 4]])?).expect_err("code 4 of 4").to_string();
    assert!(refusal.contains("code 4") && refusal.contains("4 entries"), "{refusal}");
    let three = Tensor::zeros((5, 3), candle_core::DType::U32, &Device::Cpu)?;
    let refusal = usage.add(&three).expect_err("three positions").to_string();
    assert!(refusal.contains("[5, 3]") && refusal.contains("2 positions"), "{refusal}");
    assert_eq!(usage, CodebookUsage::new(2, 4));
    Ok(())
}

proptest! {
    #[test]
    fn batches_merge_to_the_whole(actions in prop::collection::vec([0..5u32, 0..5u32], 1..40), cut in 0..40usize) {
        let cut = cut.min(actions.len());
        let whole = CodebookUsage::of(&codes(&actions)?, 5)?;
        let mut merged = CodebookUsage::new(2, 5);
        for part in [&actions[..cut], &actions[cut..]] {
            let mut usage = CodebookUsage::new(2, 5);
            for action in part {
                usage.add(&codes(&[*action])?)?;
            }
            merged.merge(&usage).expect("same shape");
        }
        prop_assert_eq!(&merged, &whole);
        // Pairs know at least as much as one of their positions, at most as much as both.
        let (joint, parts) = (whole.joint().entropy, [whole.position(0).entropy, whole.position(1).entropy]);
        prop_assert!(joint + 1e-12 >= parts[0].max(parts[1]) && joint <= parts[0] + parts[1] + 1e-12);
    }
}

#[test]
fn histograms_of_other_shapes_do_not_merge() {
    let mut usage = CodebookUsage::new(2, 4);
    let refusal = usage.merge(&CodebookUsage::new(2, 8)).expect_err("8 entries into 4").to_string();
    assert!(refusal.contains("(2, 8)") && refusal.contains("(2, 4)"), "{refusal}");
}
