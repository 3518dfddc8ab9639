//! The pooled reading, frames to loss.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_golden::{Golden, Tolerance};
use cola_lam::{CodeInit, Fdm, LamConfig, LatentActionModel, Pixels, QuantizerConfig, Readout};
use cola_nn::Params;

use crate::{EXACT, NOISE_FACTOR};

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
    let noise =
        |key: &str| NOISE_FACTOR * golden.config()["measured_f32_vs_f64"][key].as_f64().unwrap_or(0.0);
    let (outputs, gradients) = match dtype {
        DType::F64 => (Tolerance::Absolute(1e-9), Tolerance::Absolute(1e-9)),
        _ => (
            Tolerance::Relative(noise("output_max_relative_to_tensor_max")),
            Tolerance::Absolute(noise("grad_max_absolute")),
        ),
    };

    let device = Device::Cpu;
    let params = Params::seeded(0, dtype, &device);
    let weights = golden.weights("weight.", dtype)?;
    for (name, weight) in &weights {
        params.set(name, weight)?;
    }
    let model = LatentActionModel::new(&config, params.trainable())?;
    let fdm = Fdm::new(&config, params.trainable())?;
    assert_eq!(params.vars().len(), weights.len(), "the model has other parameters than the file");

    let video = Var::from_tensor(&(golden.input("clip_u8", dtype)? / 255.0)?)?;
    let mut seen: Vec<(String, Tensor)> = Vec::new();
    let tokens = model.idm().forward_with(video.as_tensor(), &mut |name, value| {
        seen.push((format!("enc.{name}"), value.clone()))
    })?;
    let actions = model.quantize(&tokens)?;
    let found = fdm.predict_with(video.as_tensor(), &actions.embedding, &mut |name, value| {
        seen.push((format!("dec.{name}"), value.clone()));
    })?;
    let mse = fdm.loss(video.as_tensor(), &actions.embedding, 0.0)?;
    let vq_loss = actions.losses.total(&config)?;
    let loss = (&mse + &vq_loss)?;
    let named = |name: &str, value: &Tensor| (name.to_string(), value.clone());
    seen.extend([
        named("tokens", &tokens),
        named("z_q", &actions.embedding),
        named("indices", &actions.codes),
        named("pixels_normalised", &Pixels::new(&config, dtype, &device)?.normalise(video.as_tensor())?),
        named("label_patches", &fdm.target(video.as_tensor())?),
        named("recon_patches", &found),
        named("mse", &mse),
        named("vq_loss", &vq_loss),
        named("loss", &loss),
    ]);
    for (name, value) in &seen {
        golden.compare(&format!("output.{name}"), value, if name == "indices" { EXACT } else { outputs })?;
    }
    for name in golden.names("output.").filter(|name| *name != "output.index_margin") {
        if !seen.iter().any(|(seen, _)| name["output.".len()..] == *seen) {
            golden.fail(format!("{name}: not compared"));
        }
    }

    let grads = loss.backward()?;
    // The file's gradient is that of the normalised pixels.
    let deviation = Tensor::new(&[0.229f64, 0.224, 0.225], &device)?.reshape((3, 1, 1))?.to_dtype(dtype)?;
    if let Some(gradient) = grads.get(video.as_tensor()) {
        golden.compare("grad.pixels", &gradient.broadcast_mul(&deviation)?, gradients)?;
    } else {
        golden.fail("grad.pixels: no gradient arrived".into());
    }
    for (name, var) in params.vars() {
        golden.compare_gradient(&name, var.as_tensor(), &grads, gradients)?;
    }
    assert_eq!(golden.names("grad.").count(), params.vars().len() + 1, "gradients in the file");
    Ok(())
}
