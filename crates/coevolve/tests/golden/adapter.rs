//! The adapter's network: logits, loss, gradients, accuracies.

use candle_core::{DType, Device, Result, Tensor};
use cola_coevolve::{Accuracy, AdapterNet, Choice, CodeLogits};
use cola_golden::{Golden, Tolerance};
use cola_nn::Params;

/// What the reference's own float32 run deviates by.
const LOGITS: f64 = 6.5e-7;
const GRADIENTS: f64 = 1.6e-8;

pub(crate) fn compare(golden: &Golden, dtype: DType) -> Result<()> {
    let outputs = ["logits", "cross_entropy", "argmax", "token_accuracy", "action_accuracy"]
        .map(|name| format!("output.{name}"));
    crate::all_known(golden, &["output."], |name| outputs.iter().any(|output| output == name));
    crate::all_known(golden, &["grad."], |name| golden.has(&format!("weight.{}", &name["grad.".len()..])));
    for (key, expected) in [("activation", "silu"), ("reduction", "mean over batch and positions")] {
        if golden.config()[key].as_str() != Some(expected) {
            golden.fail(format!("config.{key} is {}, expected {expected}", golden.config()[key]));
        }
    }
    let (positions, codes) = (golden.int("positions"), golden.int("K"));
    let params = Params::seeded(0, dtype, &Device::Cpu);
    for (name, weight) in golden.weights("weight.", dtype)? {
        params.set(&name, &weight)?;
    }
    let (inputs, hidden) = (golden.int("action_dim"), golden.int("hidden"));
    let net = AdapterNet::new(inputs, hidden, positions * codes, params.trainable())?;
    golden.same_names("weight.", &params.vars());

    let logits = CodeLogits::new(&net.forward(&golden.input("action", dtype)?)?, positions)?;
    let target = golden.input("target", DType::U32)?;
    let loss = logits.cross_entropy(&target)?;
    golden.compare("output.logits", logits.tensor(), crate::tolerance(dtype, LOGITS))?;
    golden.compare("output.cross_entropy", &loss, crate::tolerance(dtype, LOGITS))?;
    let likeliest = logits.choose(Choice::Argmax)?;
    golden.compare("output.argmax", &likeliest, crate::EXACT)?;
    let accuracy =
        Accuracy::of(&likeliest, &target).map_err(|error| candle_core::Error::Msg(error.to_string()))?;
    // A share of whole numbers; the reference may have divided elsewhere.
    for (name, share) in [("token_accuracy", accuracy.token), ("action_accuracy", accuracy.joint)] {
        let share = Tensor::new(&[share], &Device::Cpu)?;
        golden.compare(&format!("output.{name}"), &share, Tolerance::Absolute(1e-12))?;
    }
    let grads = loss.backward()?;
    // A softmax of large logits carries their rounding.
    let largest =
        golden.tensor("output.logits").abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    for (name, var) in params.vars() {
        let tolerance = crate::tolerance(dtype, GRADIENTS * largest.max(1.0));
        golden.compare_gradient(&name, &var, &grads, tolerance)?;
    }
    Ok(())
}
