//! The pooled reading, frames to loss.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_golden::Golden;
use cola_lam::{CodeInit, Fdm, LamConfig, LatentActionModel, Pixels, QuantizerConfig, Readout};

use crate::seen::{Seen, filled};

/// The complete model: frames to loss.
pub(crate) fn compare(golden: &Golden, dtype: DType) -> Result<()> {
    let config = LamConfig {
        image: golden.int("resolution"),
        patch: golden.int("patch"),
        dim: golden.int("dim"),
        heads: golden.int("heads"),
        layers: golden.int("depth"),
        max_frames: golden.int("max_frames"),
        map_heads: golden.int("map_heads"),
        tokens: golden.int("tokens"),
        code_dim: golden.int("token_dim"),
        codes: golden.int("codes"),
        readout: Readout::Mean,
        causal: true,
        code_init: CodeInit::Box,
        codebook_weight: golden.float("codebook_weight"),
        commitment_weight: golden.float("beta"),
        fdm_layers: golden.int("decoder_depth"),
        fdm_heads: golden.int("decoder_heads"),
        fdm_residual: false,
        quantizer: QuantizerConfig::default(),
    };
    let device = Device::Cpu;
    let params = filled(golden, dtype)?;
    let model = LatentActionModel::new(&config, params.trainable())?;
    let fdm = Fdm::new(&config, params.trainable())?;
    golden.same_names("weight.", &params.vars());

    let video = Var::from_tensor(&(golden.input("clip_u8", dtype)? / 255.0)?)?;
    let mut seen = Seen::new(golden, dtype);
    let tokens =
        model.idm().forward_with(&video, &mut |name, value| seen.add(&format!("enc.{name}"), value))?;
    let actions = model.quantize(&tokens)?;
    let found = fdm.predict_with(&video, &actions.embedding, &mut |name, value| {
        seen.add(&format!("dec.{name}"), value);
    })?;
    let mse = fdm.loss(&video, &actions.embedding, 0.0)?;
    let vq_loss = actions.losses.total(&config)?;
    let loss = (&mse + &vq_loss)?;
    for (name, value) in [
        ("tokens", &tokens),
        ("z_q", &actions.embedding),
        ("indices", &actions.codes),
        ("pixels_normalised", &Pixels::new(&config, dtype, &device)?.normalise(&video)?),
        ("label_patches", &fdm.target(&video)?),
        ("recon_patches", &found),
        ("mse", &mse),
        ("vq_loss", &vq_loss),
        ("loss", &loss),
    ] {
        seen.add(name, value);
    }
    seen.compare_outputs()?;

    // The file's gradient is that of the normalised pixels.
    let deviation = Tensor::new(&[0.229f64, 0.224, 0.225], &device)?.reshape((3, 1, 1))?.to_dtype(dtype)?;
    let mut variables = params.vars();
    variables.push(("pixels".into(), video));
    seen.compare_gradients(&loss, &variables, |name, gradient| {
        if name == "pixels" { gradient.broadcast_mul(&deviation) } else { Ok(gradient.clone()) }
    })
}
