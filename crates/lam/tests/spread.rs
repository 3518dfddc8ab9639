//! Norm and spread of tokens over any number of batches.

use candle_core::{DType, Device, Result, Tensor};
use cola_lam::TokenSpread;

fn tokens(clips: usize) -> Result<Tensor> {
    let mut rng = cola_random::stream(4, "tokens", 0, 0);
    cola_nn::normal((clips, 3, 2, 5), &Device::Cpu, &mut rng)
}

fn of(batches: &[Tensor]) -> Result<TokenSpread> {
    let mut spread = TokenSpread::default();
    batches.iter().try_for_each(|batch| spread.add(batch))?;
    Ok(spread)
}

#[test]
fn batches_add_up_to_the_whole_and_to_the_definition() -> Result<()> {
    let all = (tokens(12)? + 3.0)?;
    let whole = of(std::slice::from_ref(&all))?;
    let parts = of(&[all.narrow(0, 0, 5)?, all.narrow(0, 5, 7)?])?;
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(close(whole.norm(), parts.norm()));
    assert!(close(whole.spread().expect("12 clips"), parts.spread().expect("12 clips")));

    let wide = all.to_dtype(DType::F64)?;
    let norm = wide.sqr()?.sum(3)?.sqrt()?.mean_all()?.to_scalar::<f64>()?;
    let away = wide.broadcast_sub(&wide.mean_keepdim(0)?)?.sqr()?.sum(3)?.mean_all()?.to_scalar::<f64>()?;
    assert!(close(whole.norm(), norm));
    assert!(close(whole.spread().expect("12 clips"), away.sqrt() / norm));
    Ok(())
}

#[test]
fn a_place_in_the_clip_is_no_spread() -> Result<()> {
    // The same tokens in every clip, others at every transition and position.
    let same = tokens(1)?.broadcast_as((4, 3, 2, 5))?;
    assert!(of(&[same])?.spread().expect("4 clips") < 1e-6);
    Ok(())
}

#[test]
fn nothing_one_clip_zeros_and_another_shape() -> Result<()> {
    let nothing = TokenSpread::default();
    assert_eq!((nothing.norm(), nothing.spread()), (0.0, None));
    assert_eq!(of(&[tokens(1)?])?.spread(), None);
    assert_eq!(of(&[tokens(2)?.zeros_like()?])?.spread(), Some(0.0));
    let mut spread = of(&[tokens(2)?])?;
    let refusal = spread.add(&tokens(2)?.narrow(1, 0, 2)?).expect_err("two transitions").to_string();
    assert!(refusal.contains("[2, 2, 2, 5]") && refusal.contains("30 numbers"), "{refusal}");
    Ok(())
}
