//! The rotation trick.

use candle_core::{DType, Device, Result};
use cola_golden::{Golden, Tolerance};
use cola_lam::{CODEBOOK, LamConfig, LatentActionModel, QuantizerConfig, TokenGradient};
use cola_nn::Params;

use crate::{EXACT, TIGHT};

/// Ten times the absolute float32 deviation that the reference states for the gradient, whose
/// entries are about 1; it is proportional to |code| / |token|.
const SINGLE: Tolerance = Tolerance::Scaled(10.0 * 3.3e-7);

/// Values of the codes, gradients turned.
pub(crate) fn compare(golden: &Golden, dtype: DType) -> Result<()> {
    let (count, size) = (golden.int("N"), golden.int("D"));
    let quantizer = QuantizerConfig { gradient: TokenGradient::Rotation, ..QuantizerConfig::default() };
    let config =
        LamConfig { codes: golden.int("K"), code_dim: size, tokens: 1, quantizer, ..LamConfig::tiny() };
    let params = Params::seeded(0, dtype, &Device::Cpu);
    params.set(CODEBOOK, golden.tensor("weight.codebook"))?;
    let model = LatentActionModel::new(&config, params.trainable())?;
    let tolerance = if dtype == DType::F64 { TIGHT } else { SINGLE };

    let z = golden.input_var("z", dtype)?;
    let actions = model.quantize(&z.reshape((count, 1, 1, size))?)?;
    golden.compare("output.indices", &actions.codes, EXACT)?;
    golden.compare("output.z_q", &actions.embedding, tolerance)?;
    let upstream = golden.input("upstream", dtype)?.reshape(actions.embedding.shape())?;
    let grads = actions.embedding.mul(&upstream)?.sum_all()?.backward()?;
    golden.compare_gradient("downstream.z", z.as_tensor(), &grads, tolerance)?;
    golden.all_compared();
    Ok(())
}
