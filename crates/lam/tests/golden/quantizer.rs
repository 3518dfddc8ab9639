//! The plain quantizer.

use candle_core::{DType, Device, Result};
use cola_golden::Golden;
use cola_lam::{CODEBOOK, LamConfig, LatentActionModel};
use cola_nn::Params;

use crate::{EXACT, TIGHT};

/// Straight-through quantization with both losses, in f64.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let shape = &golden.config()["shape"];
    let size = |axis: usize| shape[axis].as_u64().unwrap_or(1) as usize;
    let config = LamConfig {
        codes: golden.int("K"),
        code_dim: golden.int("D"),
        tokens: size(1),
        codebook_weight: golden.float("codebook_weight"),
        commitment_weight: golden.float("beta"),
        ..LamConfig::tiny()
    };
    let params = Params::seeded(0, DType::F64, &Device::Cpu);
    params.set(CODEBOOK, golden.tensor("weight.codebook"))?;
    let model = LatentActionModel::new(&config, params.trainable())?;
    let codebook = model.quantizer().codebook();

    let z = golden.input_var("z", DType::F64)?;
    let tokens = z.reshape((size(0), 1, config.tokens, config.code_dim))?;
    let actions = model.quantize(&tokens)?;
    let vq = actions.losses.total(&config)?;
    let upstream = golden.input("upstream", DType::F64)?.reshape(actions.embedding.shape())?;
    let downstream = actions.embedding.mul(&upstream)?.sum_all()?;
    golden.compare("output.indices", &actions.codes, EXACT)?;
    golden.compare("output.z_q", &actions.embedding, TIGHT)?;
    for (name, loss) in [
        ("codebook_loss", actions.losses.codebook),
        ("commitment_loss", actions.losses.commitment),
        ("total", (&vq + &downstream)?),
        ("vq", vq),
        ("downstream", downstream),
    ] {
        let stored =
            if name.ends_with("loss") { format!("output.{name}") } else { format!("output.{name}_loss") };
        if golden.has(&stored) {
            golden.compare(&stored, &loss, TIGHT)?;
        }
        let grads = loss.backward()?;
        for (of, x) in [("z", z.as_tensor()), ("codebook", codebook)] {
            // What a loss does not depend on has no gradient here and a gradient of zero in the file.
            let gradient = grads.get(x).cloned().map_or_else(|| x.zeros_like(), Ok)?;
            golden.compare(&format!("grad.{name}.{of}"), &gradient, TIGHT)?;
        }
    }
    Ok(())
}
