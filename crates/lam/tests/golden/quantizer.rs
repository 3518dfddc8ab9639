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
    let shape: Vec<usize> =
        shape.as_array().expect("a shape").iter().filter_map(|side| Some(side.as_u64()? as usize)).collect();
    // The last axis holds an action's tokens, unless there is only one.
    let (tokens, count) = match shape.split_last() {
        Some((tokens, leading)) if !leading.is_empty() => (*tokens, leading.iter().product()),
        _ => (1, shape.iter().product::<usize>()),
    };
    let entropy = &golden.config()["entropy"];
    if !entropy.is_null()
        && (entropy["eps"].as_f64(), entropy["type"].as_str()) != (Some(1e-5), Some("softmax"))
    {
        golden.fail(format!("the entropy penalty is {entropy}, here always softmax with an eps of 1e-5"));
    }
    let quantizer = QuantizerConfig {
        entropy_weight: entropy["ratio"].as_f64().unwrap_or(0.0),
        entropy_temperature: entropy["temperature"].as_f64().unwrap_or(1.0),
        ..QuantizerConfig::default()
    };
    let config = LamConfig {
        codes: golden.int("K"),
        code_dim: golden.int("D"),
        tokens,
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
    let tokens = z.reshape((count, 1, config.tokens, config.code_dim))?;
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
            let stored = format!("grad.{name}.{of}");
            let tolerance = match (name, dtype) {
                ("entropy", DType::F32) => {
                    // A softmax of distances over the temperature: their float32 rounding grows with the quotient. Where
                    // codes are far apart it cancels to nearly nothing, which cannot be held to its own size.
                    let most =
                        golden.tensor(&stored).abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
                    let ratio = config.quantizer.entropy_weight;
                    let steep = 1.0 + 0.05 * largest / config.quantizer.entropy_temperature;
                    Tolerance::Absolute(SINGLE * steep * most.max(ratio))
                }
                _ => own,
            };
            golden.compare(&stored, &gradient, tolerance)?;
        }
    }
    golden.all_compared();
    Ok(())
}
