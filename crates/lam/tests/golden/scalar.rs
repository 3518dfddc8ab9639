//! Finite scalar quantization.

use candle_core::{DType, Device, Result, Tensor};
use cola_golden::{Golden, Tolerance};
use cola_lam::{CodeInit, LamConfig, LatentActionModel, QuantizerConfig};
use cola_nn::Params;

use crate::{EXACT, TIGHT};

/// The reference's half-widths are float32.
const HALF_WIDTHS: Tolerance = Tolerance::Absolute(1e-6);

/// In f64: levels, codes, the way back from codes, the bound's gradient.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let listed = golden.config()["levels"].as_array().expect("a list of levels");
    let levels: Vec<usize> = listed.iter().filter_map(|level| Some(level.as_u64()? as usize)).collect();
    let (count, size) = (golden.int("N"), levels.len());
    if golden.float("eps") != 1e-3 {
        golden.fail(format!("the margin of the bound is {}, here always 1e-3", golden.float("eps")));
    }
    let config = LamConfig {
        codes: levels.iter().product(),
        code_dim: size,
        tokens: 1,
        code_init: CodeInit::Box,
        quantizer: QuantizerConfig { levels, ..QuantizerConfig::default() },
        ..LamConfig::tiny()
    };
    let params = Params::seeded(0, DType::F64, &Device::Cpu);
    let model = LatentActionModel::new(&config, params.trainable())?;

    let z = golden.input_var("z", DType::F64)?;
    let actions = model.quantize(&z.reshape((count, 1, 1, size))?)?;
    golden.compare("output.indices", &actions.codes, EXACT)?;
    golden.compare("output.z_q", &actions.embedding, TIGHT)?;
    golden.compare("output.z_q", &model.embed(&actions.codes)?, TIGHT)?;
    let head = golden.tensor("output.codebook_head").dim(0)? as u32;
    let codes = Tensor::arange(0u32, head, &Device::Cpu)?;
    // Divided by the half-width in float32 there, which shows for those that are no power of two.
    golden.compare("output.codebook_head", &model.quantizer().embed(&codes)?, HALF_WIDTHS)?;
    let upstream = golden.input("upstream", DType::F64)?.reshape(actions.embedding.shape())?;
    let grads = actions.embedding.mul(&upstream)?.sum_all()?.backward()?;
    golden.compare_gradient("downstream.z", z.as_tensor(), &grads, HALF_WIDTHS)?;
    golden.all_compared();
    Ok(())
}
