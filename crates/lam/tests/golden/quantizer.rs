//! The quantizer with its losses, plain and with the entropy penalty.

use candle_core::{D, DType, Device, Result, Tensor};
use cola_golden::{Golden, Tolerance};
use cola_lam::{CODEBOOK, LamConfig, LatentActionModel, Quantizer, QuantizerConfig, VqLosses};
use cola_nn::Params;

use crate::{EXACT, TIGHT};

/// The largest float32 deviation that the reference states for these files, relative to a tensor's largest entry, ten
/// times: other summation orders shift it.
const SINGLE: f64 = 10.0 * 5.1e-7;

/// Straight-through quantization with its losses, every gradient of each.
pub(crate) fn compare(golden: &Golden, dtype: DType) -> Result<()> {
    let shape = &golden.config()["shape"];
    let size = |axis: usize| shape[axis].as_u64().unwrap_or(1) as usize;
    let entropy = &golden.config()["entropy"];
    let quantizer = QuantizerConfig {
        entropy_weight: entropy["ratio"].as_f64().unwrap_or(0.0),
        entropy_temperature: entropy["temperature"].as_f64().unwrap_or(1.0),
        ..QuantizerConfig::default()
    };
    let config = LamConfig {
        codes: golden.int("K"),
        code_dim: golden.int("D"),
        tokens: size(1),
        codebook_weight: golden.float("codebook_weight"),
        commitment_weight: golden.float("beta"),
        quantizer,
        ..LamConfig::tiny()
    };
    let params = Params::seeded(0, dtype, &Device::Cpu);
    params.set(CODEBOOK, golden.tensor("weight.codebook"))?;
    let model = LatentActionModel::new(&config, params.trainable())?;
    let Quantizer::Vector(quantizer) = model.quantizer() else { unreachable!("no levels") };
    let near = |scale: f64| if dtype == DType::F64 { TIGHT } else { Tolerance::Absolute(SINGLE * scale) };
    let own = if dtype == DType::F64 { TIGHT } else { Tolerance::Relative(SINGLE) };

    let z = golden.input_var("z", dtype)?;
    let tokens = z.reshape((size(0), 1, config.tokens, config.code_dim))?;
    let distances = quantizer.distances(&tokens.detach())?;
    golden.compare("output.sq_distance", &distances, own)?;
    let (ordered, _) = distances.sort_last_dim(true)?;
    let rank = |at: usize| ordered.narrow(D::Minus1, at, 1);
    let largest = ordered.to_dtype(DType::F64)?.max_all()?.to_scalar::<f64>()?;
    golden.compare("output.margin", &(rank(1)? - rank(0)?)?, near(largest))?;

    let actions = model.quantize(&tokens)?;
    golden.compare("output.indices", &actions.codes, EXACT)?;
    golden.compare("output.z_q", &actions.embedding, own)?;
    let upstream = golden.input("upstream", dtype)?.reshape(actions.embedding.shape())?;
    let products = actions.embedding.mul(&upstream)?;
    // A sum in which most cancels is as uncertain as its parts.
    let parts = products.abs()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    let downstream = products.sum_all()?;
    let VqLosses { codebook, commitment, entropy } = actions.losses.clone();
    let vq = VqLosses { entropy: None, ..actions.losses.clone() }.total(&config)?;
    let mut losses = vec![
        ("codebook_loss", codebook, own),
        ("commitment_loss", commitment, own),
        ("total", (&vq + &downstream)?, near(parts)),
        ("vq", vq.clone(), own),
        ("downstream", downstream, near(parts)),
    ];
    if entropy.is_some() {
        losses.push(("entropy", (actions.losses.total(&config)? - vq)?, near(1.0)));
    }
    for (name, loss, tolerance) in losses {
        let stored =
            if name.ends_with("loss") { format!("output.{name}") } else { format!("output.{name}_loss") };
        if golden.has(&stored) {
            golden.compare(&stored, &loss, tolerance)?;
        }
        let grads = loss.backward()?;
        for (of, x) in [("z", z.as_tensor()), ("codebook", quantizer.codebook())] {
            // What a loss does not depend on has no gradient here and a gradient of zero in the file.
            let gradient: Tensor = grads.get(x).cloned().map_or_else(|| x.zeros_like(), Ok)?;
            golden.compare(&format!("grad.{name}.{of}"), &gradient, own)?;
        }
    }
    golden.all_compared();
    Ok(())
}
