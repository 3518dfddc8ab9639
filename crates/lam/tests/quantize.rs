//! The quantizer: nearest rows, ties, where the gradients go.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_lam::{CODEBOOK, LamConfig, LatentActionModel, VectorQuantizer};
use cola_nn::Params;

const DEVICE: Device = Device::Cpu;

/// A quantizer over the given codebook.
fn quantizer<const CODES: usize>(rows: &[[f32; 2]; CODES]) -> Result<VectorQuantizer> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    params.set("embedding.weight", &Tensor::new(rows, &DEVICE)?)?;
    let config = LamConfig { codes: rows.len(), code_dim: 2, ..LamConfig::tiny() };
    VectorQuantizer::new(&config, params.trainable())
}

/// A tiny model with random tokens `(2, 3, n, d)` as a variable.
fn model_and_tokens(params: &Params) -> Result<(LatentActionModel, Var)> {
    let config = LamConfig::tiny();
    let values = cola_random::normals(12 * config.code_dim, &mut cola_random::stream(1, "tokens", 0, 0));
    let tokens = Tensor::from_vec(values, (2, 3, config.tokens, config.code_dim), &DEVICE)?;
    Ok((LatentActionModel::new(&config, params.trainable())?, Var::from_tensor(&tokens)?))
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

#[test]
fn the_nearest_row_is_found() -> Result<()> {
    let quantizer = quantizer(&[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])?;
    let tokens = Tensor::new(&[[0.4f32, 0.1], [0.6, 0.1], [0.1, 2.0], [-5.0, -5.0]], &DEVICE)?;
    assert_eq!(quantizer.nearest(&tokens)?.to_vec1::<u32>()?, [0, 1, 2, 0]);
    Ok(())
}

#[test]
fn the_lowest_index_wins_ties() -> Result<()> {
    let copies = quantizer(&[[9.0, 9.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])?;
    assert_eq!(copies.nearest(&Tensor::new(&[[1f32, 2.0], [0.0, 0.0]], &DEVICE)?)?.to_vec1::<u32>()?, [1, 1]);
    let midway = quantizer(&[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])?;
    assert_eq!(midway.nearest(&Tensor::new(&[[0f32, 0.0]], &DEVICE)?)?.to_vec1::<u32>()?, [0]);
    Ok(())
}

#[test]
fn codes_too_close_for_the_expanded_form_are_told_apart() -> Result<()> {
    // |x|² + |c|² - 2xc is about 2e6 here, where f32 has steps of 0.125; the true distances are 1e-4 and 9e-4.
    let quantizer = quantizer(&[[1000.03, 0.0], [1000.01, 0.0]])?;
    assert_eq!(quantizer.nearest(&Tensor::new(&[[1000f32, 0.0]], &DEVICE)?)?.to_vec1::<u32>()?, [1]);
    Ok(())
}

#[test]
fn tokens_that_are_not_numbers_get_a_code_that_exists() -> Result<()> {
    let quantizer = quantizer(&[[0.0, 0.0], [1.0, 0.0]])?;
    assert_eq!(quantizer.nearest(&Tensor::new(&[[f32::NAN, 0.0]], &DEVICE)?)?.to_vec1::<u32>()?, [1]);
    Ok(())
}

#[test]
fn an_embedding_is_its_codes_to_the_last_bit() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let (model, tokens) = model_and_tokens(&params)?;
    let actions = model.quantize(tokens.as_tensor())?;
    assert_eq!(flat(&actions.embedding)?, flat(&model.embed(&actions.codes)?)?);
    assert_eq!(actions.codes.dtype(), DType::U32);
    Ok(())
}

#[test]
fn a_loss_on_the_embedding_passes_unchanged_to_the_tokens_and_not_to_the_codebook() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let (model, tokens) = model_and_tokens(&params)?;
    let embedding = model.quantize(tokens.as_tensor())?.embedding;
    let values = cola_random::normals(embedding.elem_count(), &mut cola_random::stream(2, "upstream", 0, 0));
    let upstream = Tensor::from_vec(values, embedding.shape(), &DEVICE)?;
    let grads = embedding.mul(&upstream)?.sum_all()?.backward()?;
    assert_eq!(flat(grads.get(tokens.as_tensor()).expect("a gradient"))?, flat(&upstream)?);
    let codebook = params.get(CODEBOOK).expect("the codebook");
    assert!(grads.get(codebook.as_tensor()).is_none());
    Ok(())
}

#[test]
fn the_codebook_loss_moves_codes_only_and_the_commitment_loss_tokens_only() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let (model, tokens) = model_and_tokens(&params)?;
    let codebook = params.get(CODEBOOK).expect("the codebook");
    let losses = model.quantize(tokens.as_tensor())?.losses;
    assert_eq!(losses.codebook.to_scalar::<f32>()?, losses.commitment.to_scalar::<f32>()?);
    let moved = |loss: &Tensor| -> Result<[bool; 2]> {
        let grads = loss.backward()?;
        Ok([codebook.as_tensor(), tokens.as_tensor()].map(|x| grads.get(x).is_some()))
    };
    assert_eq!(moved(&losses.codebook)?, [true, false]);
    assert_eq!(moved(&losses.commitment)?, [false, true]);
    Ok(())
}

#[test]
fn the_total_weighs_both_losses() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let (model, tokens) = model_and_tokens(&params)?;
    let losses = model.quantize(tokens.as_tensor())?.losses;
    let config = LamConfig { codebook_weight: 2.0, commitment_weight: 0.25, ..LamConfig::tiny() };
    let expected = 2.25 * losses.codebook.to_scalar::<f32>()?;
    assert!((losses.total(&config)?.to_scalar::<f32>()? - expected).abs() < 1e-5);
    Ok(())
}

#[test]
fn a_fresh_codebook_lies_in_its_box() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let quantizer = VectorQuantizer::new(&LamConfig::paper(), params.trainable())?;
    let largest = quantizer.codebook().abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(largest <= 1.0 / 32.0 && largest > 0.9 / 32.0, "{largest}");
    Ok(())
}

#[test]
fn tokens_and_codes_of_another_shape_are_refused_with_both_shapes() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let (model, _) = model_and_tokens(&params)?;
    let text = |result: Result<()>| result.expect_err("a wrong shape").to_string();
    let tokens = Tensor::zeros((1, 1, 3, 32), DType::F32, &DEVICE)?;
    let refusal = text(model.quantize(&tokens).map(|_| ()));
    assert!(refusal.contains("[1, 1, 3, 32]") && refusal.contains("2, 32"), "{refusal}");
    let codes = Tensor::zeros((1, 1, 3), DType::U32, &DEVICE)?;
    let refusal = text(model.embed(&codes).map(|_| ()));
    assert!(refusal.contains("[1, 1, 3]") && refusal.contains("2 of them"), "{refusal}");
    let refusal = text(model.quantizer().nearest(&Tensor::zeros((4, 31), DType::F32, &DEVICE)?).map(|_| ()));
    assert!(refusal.contains("[4, 31]") && refusal.contains("32 numbers"), "{refusal}");
    let refusal = text(model.embed(&Tensor::full(32u32, (1, 1, 2), &DEVICE)?).map(|_| ()));
    assert!(refusal.contains("32"), "{refusal}");
    Ok(())
}
