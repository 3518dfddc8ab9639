//! From a file's weights, inputs and metadata to a model and its conditions.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_dit_world::{Captions, Conditions, DitConfig, DitWorld, TextConfig};
use cola_flow::Given;
use cola_golden::{Golden, Tolerance};
use cola_nn::Params;

/// Times the file's own float32 noise. The golden README allows 4 to 10.
pub(crate) const FACTOR: Tolerance = Tolerance::Noise(6.0);

/// The file's weights below a prefix.
pub(crate) fn params(golden: &Golden, prefix: &str) -> Result<Params> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    for (name, value) in golden.weights(prefix, DType::F32)? {
        params.set(&name, &value)?;
    }
    Ok(params)
}

/// An input as a variable, if the file has it.
pub(crate) fn var(golden: &Golden, name: &str) -> Result<Option<Var>> {
    golden.has(&format!("input.{name}")).then(|| golden.input_var(name, DType::F32)).transpose()
}

/// Sum of outputs times their cotangents.
fn pulled(golden: &Golden, outputs: &[(&str, &Tensor)]) -> Result<Tensor> {
    let mut sum = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    for (name, output) in outputs {
        let cotangent = golden.input(&format!("cotangent.{name}"), DType::F32)?;
        sum = (sum + (output.reshape(cotangent.shape())? * cotangent)?.sum_all()?)?;
    }
    Ok(sum)
}

/// Compares the outputs, then the gradients of these inputs and of the weights below the prefix. A loss is differentiated
/// alone; otherwise all outputs are that have a cotangent.
pub(crate) fn compare(
    golden: &Golden,
    outputs: &[(&str, &Tensor)],
    inputs: &[(&str, &Var)],
    prefix: &str,
    params: &Params,
) -> Result<()> {
    for (name, output) in outputs {
        golden.compare(&format!("output.{name}"), output, FACTOR)?;
    }
    for stored in golden.names("output.") {
        if !outputs.iter().any(|(name, _)| stored["output.".len()..] == **name) {
            golden.fail(format!("{stored}: not compared"));
        }
    }
    if golden.names("grad.").next().is_none() {
        return Ok(());
    }
    let pulled_back: Vec<(&str, &Tensor)> = outputs
        .iter()
        .filter(|(name, _)| golden.has(&format!("input.cotangent.{name}")))
        .filter(|(name, _)| *name == "loss" || !golden.has("output.loss"))
        .copied()
        .collect();
    let grads = pulled(golden, &pulled_back)?.backward()?;
    for stored in golden.names("grad.input.") {
        match inputs.iter().find(|(name, _)| stored["grad.input.".len()..] == **name) {
            Some((name, var)) => golden.compare_gradient(&format!("input.{name}"), var, &grads, FACTOR)?,
            None => golden.fail(format!("{stored}: not compared")),
        }
    }
    golden.compare_weight_gradients(prefix, &params.vars(), &grads, FACTOR)
}

/// The model that the metadata describe; published names of the fields.
pub(crate) fn config(golden: &Golden) -> DitConfig {
    let truth = |key: &str| golden.config()[key].as_bool() == Some(true);
    let reference = golden.config()["form"] == "reference";
    let text = TextConfig {
        caption_channels: golden.int("caption_channels"),
        model_max_length: golden.int("model_max_length"),
    };
    DitConfig {
        in_channels: golden.int("in_channels"),
        patch: golden.config()["patch_size"][2].as_u64().expect("patch_size") as usize,
        hidden_size: golden.int("hidden_size"),
        depth: golden.int("depth"),
        num_heads: golden.int("num_heads"),
        mlp_ratio: golden.float("mlp_ratio") as usize,
        pred_sigma: truth("pred_sigma"),
        input_sq_size: golden.int("input_sq_size"),
        qk_norm: truth("qk_norm"),
        causal: !reference,
        text: reference.then_some(text),
        action: DitConfig::tiny().action,
    }
}

/// A model over the file's weights, and no others.
pub(crate) fn model(golden: &Golden) -> Result<(DitWorld, Params)> {
    let params = params(golden, "weight.")?;
    let dit = DitWorld::new(&config(golden), params.trainable())?;
    golden.same_names("weight.", &params.vars());
    Ok((dit, params))
}

/// Frame rate and size of the file; the reference reads only the first clip's height and width.
pub(crate) fn conditions(golden: &Golden, action: Option<&Tensor>, y: Option<&Tensor>) -> Result<Conditions> {
    let numbers = |name| golden.input(name, DType::F64)?.to_vec1::<f64>();
    let (height, width) = (numbers("height")?[0] as usize, numbers("width")?[0] as usize);
    let captions = match y {
        Some(y) => Some(Captions::new(&y.squeeze(1)?, text_mask(golden))?),
        None => None,
    };
    Ok(Conditions { action: action.cloned(), captions, fps: numbers("fps")?, height, width })
}

pub(crate) fn text_mask(golden: &Golden) -> Option<&Tensor> {
    golden.has("input.text_mask").then(|| golden.tensor("input.text_mask"))
}

pub(crate) fn given(golden: &Golden) -> Result<Option<Given>> {
    golden.has("input.x_mask").then(|| Given::from_mask(&golden.input("x_mask", DType::F32)?)).transpose()
}
