//! Dead codes and new rows.

use candle_core::{DType, Device, Result, Tensor};
use cola_lam::{CodeRestart, rows_from_tokens};
use cola_random::stream;

#[test]
fn a_code_is_due_after_so_many_steps_without_use_and_then_starts_anew() -> Result<()> {
    let mut restart = CodeRestart::new(3, 2);
    let mut observe = |codes: &[u32]| restart.observe(&Tensor::new(codes, &Device::Cpu)?);
    assert_eq!(observe(&[0])?, [] as [usize; 0]);
    assert_eq!(observe(&[0, 2])?, [1]); // 2 was used just in time
    assert_eq!(observe(&[0])?, [] as [usize; 0]);
    assert_eq!(observe(&[0])?, [1, 2]);
    assert_eq!(restart.idle(), [0, 0, 0]);
    Ok(())
}

#[test]
fn an_unknown_code_moves_no_counter() -> Result<()> {
    let mut restart = CodeRestart::new(3, 2);
    let refusal =
        restart.observe(&Tensor::new(&[0u32, 3], &Device::Cpu)?).expect_err("code 3 of 3").to_string();
    assert!(refusal.contains("code 3") && refusal.contains("3 entries"), "{refusal}");
    assert_eq!(restart, CodeRestart::new(3, 2));
    Ok(())
}

#[test]
fn counters_survive_a_checkpoint() -> Result<()> {
    let mut restart = CodeRestart::new(4, 9);
    restart.observe(&Tensor::new(&[1u32, 2], &Device::Cpu)?)?;
    let text = serde_json::to_string(&restart).expect("a plain struct");
    assert_eq!(serde_json::from_str::<CodeRestart>(&text).expect("its own text"), restart);
    Ok(())
}

#[test]
fn new_rows_are_different_tokens_of_the_batch() -> Result<()> {
    let tokens = Tensor::arange(0f32, 48.0, &Device::Cpu)?.reshape((2, 3, 2, 4))?;
    let rows = rows_from_tokens(&tokens, 12, &mut stream(0, "rows", 0, 0))?.to_vec2::<f32>()?;
    let mut sorted = rows.clone();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert_eq!(sorted, tokens.reshape((12, 4))?.to_vec2::<f32>()?);
    assert_ne!(sorted, rows);
    assert_eq!(rows_from_tokens(&tokens, 5, &mut stream(1, "rows", 0, 0))?.dims(), [5, 4]);
    Ok(())
}

#[test]
fn more_rows_than_tokens_are_refused_with_both_numbers() -> Result<()> {
    let tokens = Tensor::zeros((2, 1, 2, 4), DType::F32, &Device::Cpu)?;
    let refusal =
        rows_from_tokens(&tokens, 5, &mut stream(0, "rows", 0, 0)).expect_err("five of four").to_string();
    assert!(refusal.contains('5') && refusal.contains("4 tokens"), "{refusal}");
    Ok(())
}
