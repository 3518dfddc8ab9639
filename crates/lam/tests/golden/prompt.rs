//! The prompt reading: UniVLA's with a codebook, AdaWorld's with a continuous action.

use candle_core::{DType, Device, Result};
use cola_golden::Golden;
use cola_lam::{
    ActionInput, CODEBOOK, LamConfig, LatentActionModel, PromptConfig, PromptDecoder, PromptEncoder,
    VariationalActionModel, VariationalConfig,
};
use cola_nn::{Compute, Params};

use crate::seen::{Seen, filled};

/// The codebook's name in the file. Everything else is called as here.
const STORED_CODEBOOK: &str = "vq.codebook.weight";

/// Features to loss, with a codebook between.
pub(crate) fn compare(golden: &Golden, dtype: DType) -> Result<()> {
    let encoder = PromptConfig {
        features: golden.int("feature_dim"),
        patches: golden.int("tokens_per_frame"),
        dim: golden.int("dim"),
        heads: golden.int("heads"),
        layers: golden.int("depth"),
        tokens: golden.int("action_tokens"),
        code_dim: golden.int("token_dim"),
    };
    let decoder = PromptConfig { layers: golden.int("decoder_depth"), ..encoder.clone() };
    let quantizer = LamConfig {
        codes: golden.int("codes"),
        code_dim: encoder.code_dim,
        tokens: encoder.tokens,
        codebook_weight: golden.float("codebook_weight"),
        commitment_weight: golden.float("beta"),
        ..LamConfig::tiny()
    };
    let params = filled(golden, dtype)?;
    let codebook = Params::seeded(0, dtype, &Device::Cpu);
    codebook.set(CODEBOOK, golden.tensor(&format!("weight.{STORED_CODEBOOK}")))?;
    let model = LatentActionModel::new(&quantizer, codebook.trainable())?; // only quantizes here
    // That UniVLA masks later frames is not in the file's configuration.
    let causal = golden.config()["causal_temporal"].as_bool().unwrap_or(true);
    let encoder = PromptEncoder::new(&encoder, causal, params.trainable())?;
    let decoder = PromptDecoder::new(&decoder, ActionInput::Tokens, params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let mut seen = Seen::new(golden, dtype);

    let compute = Compute::default();
    let features = golden.input_var("features", dtype)?;
    let steps = features.dim(1)? - 1;
    let tokens =
        encoder.forward(&features, compute, &mut |name, value| seen.add(&format!("enc.{name}"), value))?;
    let actions = model.quantize(&tokens)?;
    let given = features.narrow(1, 0, steps)?;
    let found = decoder.forward(
        &given,
        &actions.embedding.reshape(tokens.shape())?,
        compute,
        &mut |name, value| seen.add(&format!("dec.{name}"), value),
    )?;
    let mse = (&found - features.detach().narrow(1, 1, steps)?)?.sqr()?.mean_all()?;
    let loss = (&mse + actions.losses.total(&quantizer)?)?;
    for (name, value) in [
        ("tokens", &tokens),
        ("z_q", &actions.embedding),
        ("indices", &actions.codes),
        ("recon", &found),
        ("mse", &mse),
        ("codebook_loss", &actions.losses.codebook),
        ("commitment_loss", &actions.losses.commitment),
        ("loss", &loss),
    ] {
        seen.add(name, value);
    }
    seen.compare_outputs()?;
    let mut variables = params.vars();
    variables.retain(|(name, _)| name != STORED_CODEBOOK);
    variables.extend(codebook.get(CODEBOOK).map(|var| (STORED_CODEBOOK.into(), var)));
    variables.push(("features".into(), features));
    seen.compare_gradients(&loss, &variables, |_, gradient| Ok(gradient.clone()))
}

/// Pixels to loss, with the mean of a posterior between.
pub(crate) fn compare_variational(golden: &Golden, dtype: DType) -> Result<()> {
    let config = VariationalConfig {
        image: golden.int("resolution"),
        patch: golden.int("patch"),
        dim: golden.int("dim"),
        heads: golden.int("heads"),
        layers: golden.int("depth"),
        fdm_layers: golden.int("decoder_depth"),
        action_dim: golden.int("token_dim"),
        causal: golden.config()["causal_temporal"].as_bool().unwrap_or(true),
        rope_theta: golden.float("rope_theta"),
        kl_weight: golden.float("beta"),
    };
    let params = filled(golden, dtype)?;
    let model = VariationalActionModel::new(&config, params.trainable())?;
    golden.same_names("weight.", &params.vars());
    let mut seen = Seen::new(golden, dtype);

    let stored = golden.input_var("videos", dtype)?; // channels last
    let video = stored.permute((0, 1, 4, 2, 3))?;
    let posterior =
        model.posterior_with(&video, &mut |name, value| seen.add(&format!("enc.{name}"), value))?;
    let found = model.predict(&video, &posterior.mean)?;
    let losses = model.losses(&video, &posterior, &posterior.mean)?;
    let loss = losses.total(&config)?;
    for (name, value) in [
        ("z_mu", &posterior.mean),
        ("z_logvar", &posterior.log_variance),
        ("recon", &found.permute((0, 1, 3, 4, 2))?),
        ("mse", &losses.reconstruction),
        ("kl", &losses.divergence),
        ("loss", &loss),
    ] {
        seen.add(name, value);
    }
    seen.compare_outputs()?;
    let mut variables = params.vars();
    variables.push(("videos".into(), stored));
    seen.compare_gradients(&loss, &variables, |_, gradient| Ok(gradient.clone()))
}
