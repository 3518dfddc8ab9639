//! The moving-average codebook: several updates in a row, Euclidean and cosine.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_golden::{Golden, Tolerance};
use cola_lam::{
    CLUSTER_SIZE, CODEBOOK, CodeUpdate, Codebook, EMBED_AVG, LamConfig, LatentActionModel, QuantizerConfig,
};
use cola_nn::Params;

use crate::EXACT;

/// The reference keeps its statistics in float32 whatever it computes in, and everything depends on them: sums of
/// many tokens are off by more.
const STATISTICS: Tolerance = Tolerance::Scaled(1e-6);

/// In f64: quantize with the codebook of before, differentiate, then update.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let (count, size) = (golden.int("N"), golden.int("D"));
    let quantizer = QuantizerConfig {
        update: CodeUpdate::Ema,
        decay: golden.float("decay"),
        eps: golden.float("eps"),
        cosine: golden.config()["cosine"].as_bool().expect("the file says whether codes are unit vectors"),
        ..QuantizerConfig::default()
    };
    let config = LamConfig {
        codes: golden.int("K"),
        code_dim: size,
        tokens: 1,
        commitment_weight: golden.float("commitment_weight"),
        quantizer,
        ..LamConfig::tiny()
    };
    let params = Params::seeded(0, DType::F64, &Device::Cpu);
    let stored = [(CODEBOOK, "codebook"), (CLUSTER_SIZE, "cluster_size"), (EMBED_AVG, "embed_avg")];
    for (name, tensor) in stored {
        params.set(name, golden.tensor(&format!("weight.{tensor}")))?;
    }
    let model = LatentActionModel::new(&config, params.trainable())?;
    let codebook = Codebook::open(&config, &params)?.expect("a codebook");
    let (all, upstream) = (golden.input("z", DType::F64)?, golden.input("upstream", DType::F64)?);
    for step in 0..golden.int("steps") {
        let z = Var::from_tensor(&all.get(step)?.contiguous()?)?;
        let actions = model.quantize(&z.reshape((count, 1, 1, size))?)?;
        let output = |name: &str| format!("output.step{step}.{name}");
        golden.compare(&output("indices"), &actions.codes, EXACT)?;
        golden.compare(&output("z_q"), &actions.embedding, STATISTICS)?;
        golden.compare(&output("commitment_loss"), &actions.losses.commitment, STATISTICS)?;
        let downstream = actions.embedding.reshape((count, size))?.mul(&upstream)?.sum_all()?;
        let grads = (downstream + actions.losses.total(&config)?)?.backward()?;
        golden.compare_gradient(&format!("step{step}.z"), z.as_tensor(), &grads, STATISTICS)?;
        for (name, tensor) in stored {
            let var = params.get(name).expect("set above");
            if grads.get(var.as_tensor()).is_some() {
                golden.fail(format!("{tensor}: a gradient arrived"));
            }
        }
        codebook.follow(&actions.tokens, &actions.codes)?;
        for (name, tensor) in stored {
            let var: Tensor = params.get(name).expect("set above").as_detached_tensor();
            golden.compare(&output(tensor), &var, STATISTICS)?;
        }
    }
    golden.all_compared();
    Ok(())
}
