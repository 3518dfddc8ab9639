//! The quantizer's remedies: what each changes, what it refuses, where its gradients go.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_golden::gradients_cover;
use cola_lam::{
    CLUSTER_SIZE, CODEBOOK, CodeInit, CodeUpdate, Codebook, CodebookUsage, EMBED_AVG, Fdm, LamConfig,
    LatentActionModel, QuantizerConfig, TokenGradient,
};
use cola_nn::Params;

const DEVICE: Device = Device::Cpu;

fn plain() -> QuantizerConfig {
    QuantizerConfig::default()
}

/// A tiny model of 3 numbers a token and 12 codes.
fn with(quantizer: QuantizerConfig) -> LamConfig {
    let (dim, heads) = (16, 2);
    LamConfig {
        image: 16,
        dim,
        heads,
        map_heads: heads,
        fdm_heads: heads,
        code_dim: 3,
        codes: 12,
        code_init: CodeInit::Box,
        quantizer,
        ..LamConfig::tiny()
    }
}

/// Every kind of quantizer that a configuration can ask for.
fn every_kind() -> Vec<LamConfig> {
    let mut kinds = vec![with(QuantizerConfig { levels: vec![3, 2, 2], ..plain() })];
    for update in [CodeUpdate::Gradient, CodeUpdate::Ema] {
        for cosine in [false, true] {
            for gradient in [TokenGradient::Straight, TokenGradient::Rotation] {
                for entropy_weight in [0.0, 0.1] {
                    let entropy_temperature = 1.0;
                    kinds.push(with(QuantizerConfig {
                        update,
                        cosine,
                        gradient,
                        entropy_weight,
                        entropy_temperature,
                        ..plain()
                    }));
                }
            }
        }
    }
    kinds
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

/// Random tokens `(2, 3, 2, 3)`.
fn tokens(seed: u64) -> Result<Tensor> {
    let values = cola_random::normals(36, &mut cola_random::stream(seed, "tokens", 0, 0));
    Tensor::from_vec(values, (2, 3, 2, 3), &DEVICE)
}

#[test]
fn every_trainable_variable_gets_a_gradient_with_every_quantizer() -> Result<()> {
    for config in every_kind() {
        let params = Params::seeded(0, DType::F32, &DEVICE);
        let model = LatentActionModel::new(&config, params.trainable())?;
        let fdm = Fdm::new(&config, params.trainable())?;
        for (name, var) in params.vars() {
            let noise =
                cola_nn::normal(var.shape().clone(), &DEVICE, &mut cola_random::stream(1, &name, 0, 0))?;
            if ![CLUSTER_SIZE, EMBED_AVG].contains(&name.as_str()) {
                var.set(&(var.as_detached_tensor() + (noise * 0.05)?)?)?;
            }
        }
        let pixels =
            cola_random::uniforms(2 * 3 * 3 * 256, 0.0, 1.0, &mut cola_random::stream(2, "video", 0, 0));
        let video = Tensor::from_vec(pixels, (2, 3, 3, 16, 16), &DEVICE)?;
        let actions = model.infer(&video)?;
        let grads =
            (fdm.loss(&video, &actions.embedding, 0.0)? + actions.losses.total(&config)?)?.backward()?;
        let vars = params.vars();
        // Key biases behind a softmax have an exact gradient of zero.
        let silent = |name: &str| name.ends_with("k_norm.bias") || name.ends_with("k_layernorm.bias");
        let (learning, others): (Vec<_>, Vec<_>) = vars
            .iter()
            .map(|(name, var)| (name.as_str(), var))
            .partition(|(name, _)| config.learns_by_gradient(name));
        let learning = learning.into_iter().filter(|(name, _)| !silent(name));
        let complaints = gradients_cover(&grads, learning, others)?;
        assert!(complaints.is_empty(), "{:?}:\n  {}", config.quantizer, complaints.join("\n  "));
    }
    Ok(())
}

#[test]
fn an_embedding_is_its_codes_to_the_last_bit_with_every_quantizer() -> Result<()> {
    for config in every_kind() {
        let model = LatentActionModel::new(&config, Params::seeded(0, DType::F32, &DEVICE).trainable())?;
        let actions = model.quantize(&tokens(1)?)?;
        assert_eq!(flat(&actions.embedding)?, flat(&model.embed(&actions.codes)?)?, "{:?}", config.quantizer);
        assert_eq!(actions.codes.dtype(), DType::U32);
        assert_eq!(CodebookUsage::of(&actions.codes, config.codes)?.samples(), 6);
    }
    Ok(())
}

#[test]
fn tokens_of_zeros_and_tokens_opposite_to_their_code_have_finite_gradients() -> Result<()> {
    for config in every_kind().into_iter().filter(|config| !config.quantizer.is_scalar()) {
        let config = LamConfig { codes: 2, ..config };
        let params = Params::seeded(0, DType::F32, &DEVICE);
        params.set(CODEBOOK, &Tensor::new(&[[1f32, 0.0, 0.0], [1.0, 0.0, 0.0]], &DEVICE)?)?;
        let model = LatentActionModel::new(&config, params.trainable())?;
        let tokens = Var::new(&[[[[0f32, 0.0, 0.0], [-1.0, 0.0, 0.0]]]], &DEVICE)?;
        let actions = model.quantize(tokens.as_tensor())?;
        let grads = (actions.embedding.sum_all()? + actions.losses.total(&config)?)?.backward()?;
        let gradient = flat(grads.get(tokens.as_tensor()).expect("a gradient"))?;
        assert!(gradient.iter().all(|x| x.is_finite()), "{:?}: {gradient:?}", config.quantizer);
    }
    Ok(())
}

#[test]
fn fresh_statistics_stand_for_the_codebook_that_is_there() -> Result<()> {
    for cosine in [false, true] {
        let config = with(QuantizerConfig { update: CodeUpdate::Ema, cosine, ..plain() });
        let params = Params::seeded(0, DType::F32, &DEVICE);
        let model = LatentActionModel::new(&config, params.frozen())?;
        let all = Tensor::arange(0u32, 12, &DEVICE)?;
        let sums = params.get(EMBED_AVG).expect("statistics");
        assert_eq!(flat(sums.as_tensor())?, flat(&model.quantizer().embed(&all)?)?);
        assert_eq!(flat(params.get(CLUSTER_SIZE).expect("statistics").as_tensor())?, [1.0; 12]);
        // Statistics that are there already stay.
        sums.set(&sums.zeros_like()?)?;
        LatentActionModel::new(&config, params.trainable())?;
        assert_eq!(flat(sums.as_tensor())?, [0.0; 36]);
    }
    Ok(())
}

#[test]
fn replaced_rows_take_their_statistics_along_and_the_others_keep_theirs() -> Result<()> {
    let config = with(QuantizerConfig { update: CodeUpdate::Ema, cosine: true, ..plain() });
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.trainable())?;
    let codebook = Codebook::open(&config, &params)?.expect("a codebook");
    let tokens = tokens(3)?;
    codebook.follow(&tokens, &model.quantize(&tokens)?.codes)?;
    let state = |name: &str| flat(params.get(name).expect("a variable").as_tensor());
    let before = (state(CODEBOOK)?, state(CLUSTER_SIZE)?, state(EMBED_AVG)?);
    assert!(before.1.iter().any(|count| *count != 1.0));
    codebook.replace(&[5], &Tensor::new(&[[0f32, 3.0, 4.0]], &DEVICE)?)?;
    let after = (state(CODEBOOK)?, state(CLUSTER_SIZE)?, state(EMBED_AVG)?);
    assert_eq!(
        (&after.0[15..18], after.1[5], &after.2[15..18]),
        (&[0.0, 0.6, 0.8][..], 1.0, &[0.0, 0.6, 0.8][..])
    );
    assert_eq!(
        (&before.0[..15], &before.1[..5], &before.2[18..]),
        (&after.0[..15], &after.1[..5], &after.2[18..])
    );
    Ok(())
}

#[test]
fn a_code_that_nobody_chooses_keeps_its_direction_and_the_chosen_ones_approach_their_tokens() -> Result<()> {
    let quantizer = QuantizerConfig { update: CodeUpdate::Ema, decay: 0.5, ..plain() };
    let config = LamConfig { codes: 2, code_dim: 1, ..with(quantizer) };
    let params = Params::seeded(0, DType::F64, &DEVICE);
    let model = LatentActionModel::new(&config, params.trainable())?;
    let codebook = Codebook::open(&config, &params)?.expect("a codebook");
    codebook.replace(&[0, 1], &Tensor::new(&[[-1f64], [1.0]], &DEVICE)?)?;
    let tokens = Tensor::new(&[[[[3f64], [3.0]]]], &DEVICE)?;
    for _ in 0..30 {
        codebook.follow(&tokens, &model.quantize(&tokens)?.codes)?;
    }
    let rows = params.get(CODEBOOK).expect("the codebook").flatten_all()?.to_vec1::<f64>()?;
    assert!((rows[1] - 3.0).abs() < 1e-3 && rows[0] <= 0.0, "{rows:?}");
    Ok(())
}

#[test]
fn a_codebook_without_a_moving_average_does_not_follow() -> Result<()> {
    let config = with(QuantizerConfig { cosine: true, ..plain() });
    let params = Params::seeded(0, DType::F32, &DEVICE);
    let model = LatentActionModel::new(&config, params.trainable())?;
    let before = flat(model.quantizer().codebook().expect("a codebook"))?;
    let tokens = tokens(4)?;
    let codes = model.quantize(&tokens)?.codes;
    Codebook::open(&config, &params)?.expect("a codebook").follow(&tokens, &codes)?;
    assert_eq!(flat(model.quantizer().codebook().expect("a codebook"))?, before);
    let scalar = with(QuantizerConfig { levels: vec![3, 2, 2], ..plain() });
    assert!(Codebook::open(&scalar, &params)?.is_none());
    let empty = Params::seeded(0, DType::F32, &DEVICE);
    let refusal = Codebook::open(&config, &empty).err().expect("no codebook yet").to_string();
    assert!(refusal.contains(CODEBOOK), "{refusal}");
    Ok(())
}

#[test]
fn every_level_of_the_largest_size_has_a_code_that_exists() -> Result<()> {
    let quantizer = QuantizerConfig { levels: vec![1000, 999, 2], ..plain() };
    let config = LamConfig { codes: 1_998_000, ..with(quantizer) };
    let model = LatentActionModel::new(&config, Params::seeded(0, DType::F32, &DEVICE).trainable())?;
    let ends = Tensor::new(&[[[[-50f32, -50.0, -50.0], [50.0, 50.0, 50.0]]]], &DEVICE)?;
    let actions = model.quantize(&ends)?;
    assert_eq!(flat(&actions.codes.to_dtype(DType::F32)?)?, [0.0, 1_997_999.0]);
    assert_eq!(flat(&model.embed(&actions.codes)?)?, flat(&actions.embedding)?);
    let refusal = model.embed(&Tensor::full(1_998_000u32, (1, 1, 2), &DEVICE)?).expect_err("no such code");
    assert!(refusal.to_string().contains("1998000"), "{refusal}");
    Ok(())
}

#[test]
fn impossible_quantizers_are_refused_with_field_value_and_mend() {
    let message = |change: fn(&mut LamConfig)| {
        let mut config = with(QuantizerConfig { levels: vec![3, 2, 2], ..QuantizerConfig::default() });
        config.check().expect("possible before the change");
        change(&mut config);
        config.check().expect_err("an impossible configuration").to_string()
    };
    for (text, parts) in [
        (message(|c| c.quantizer.decay = f64::NAN), ["`quantizer.decay` = NaN", "below 1", "0.99"]),
        (message(|c| c.quantizer.decay = 1.0), ["`quantizer.decay` = 1", "below 1", "0.99"]),
        (message(|c| c.quantizer.eps = 0.0), ["`quantizer.eps` = 0", "above 0", "0.00001"]),
        (
            message(|c| c.quantizer.entropy_weight = -0.1),
            ["`quantizer.entropy_weight` = -0.1", "0 or more", "0"],
        ),
        (
            message(|c| c.quantizer.entropy_temperature = 0.0),
            ["`quantizer.entropy_temperature` = 0", "1e-6 or more", "0.01"],
        ),
        (
            message(|c| c.quantizer.update = CodeUpdate::Ema),
            ["`quantizer.update` = ema", "[3, 2, 2]", "to gradient"],
        ),
        (message(|c| c.quantizer.cosine = true), ["`quantizer.cosine` = true", "[3, 2, 2]", "to false"]),
        (
            message(|c| c.quantizer.gradient = TokenGradient::Rotation),
            ["`quantizer.gradient` = rotation", "[3, 2, 2]", "to straight"],
        ),
        (message(|c| c.quantizer.entropy_weight = 0.1), ["`quantizer.entropy_weight`", "[3, 2, 2]", "to 0"]),
        (message(|c| c.quantizer.levels = vec![3, 4]), ["[3, 4]", "`code_dim` = 3", "code_dim to 2"]),
        (message(|c| c.quantizer.levels = vec![3, 2, 1]), ["[3, 2, 1]", "2 to 1000", "the 1"]),
        (message(|c| c.quantizer.levels = vec![3, 2, 1001]), ["[3, 2, 1001]", "2 to 1000", "the 1001"]),
        (message(|c| c.quantizer.levels = vec![1000; 40]), ["1000, 1000", "at most", "fewer"]),
        (message(|c| c.codes = 11), ["[3, 2, 2]", "`codes` = 11", "codes to 12"]),
        (message(|c| c.code_init = CodeInit::Data), ["[3, 2, 2]", "`code_init`", "box"]),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_configuration_from_before_the_remedies_still_opens() {
    let text = serde_json::to_string(&LamConfig::tiny()).expect("a plain struct");
    let start = text.find(",\"quantizer\"").expect("the last field");
    let old = format!("{}}}", &text[..start]);
    assert_eq!(serde_json::from_str::<LamConfig>(&old).expect("an old text"), LamConfig::tiny());
    let foreign = text.replacen("\"cosine\"", "\"sine\"", 1);
    assert!(
        serde_json::from_str::<LamConfig>(&foreign).expect_err("an unknown key").to_string().contains("sine")
    );
}
