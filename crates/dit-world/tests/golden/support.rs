//! From a file's weights, inputs and metadata to a model and its conditions.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_dit_world::{Captions, Conditions, DitConfig, DitWorld, Form, Pretrained};
use cola_flow::Given;
use cola_golden::Golden;
use cola_nn::Params;
use cola_weights::Hub;

/// The file's weights below a prefix.
pub(crate) fn params(golden: &Golden, prefix: &str) -> Result<Params> {
    let params = Params::seeded(0, golden.dtype(), &Device::Cpu);
    for (name, value) in golden.weights(prefix, golden.dtype())? {
        params.set(&name, &value)?;
    }
    Ok(params)
}

/// An input as a variable, if the file has it.
pub(crate) fn var(golden: &Golden, name: &str) -> Result<Option<Var>> {
    golden.has(&format!("input.{name}")).then(|| golden.input_var(name, golden.dtype())).transpose()
}

/// Sum of outputs times their cotangents.
fn pulled(golden: &Golden, outputs: &[(&str, &Tensor)]) -> Result<Tensor> {
    let mut sum = Tensor::zeros((), golden.dtype(), &Device::Cpu)?;
    for (name, output) in outputs {
        let cotangent = golden.input(&format!("cotangent.{name}"), golden.dtype())?;
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
        golden.compare(&format!("output.{name}"), output, golden.tolerance())?;
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
            Some((name, var)) => {
                golden.compare_gradient(&format!("input.{name}"), var, &grads, golden.tolerance())?
            }
            None => golden.fail(format!("{stored}: not compared")),
        }
    }
    golden.compare_weight_gradients(prefix, &params.vars(), &grads, golden.tolerance())
}

/// A model over the file's weights, and no others: written out as the checkpoint that the reference would save, whose
/// `config.json` the metadata are, and opened by its path.
pub(crate) fn model(golden: &Golden) -> Result<(DitWorld, Params)> {
    let form = match golden.config()["form"].as_str() {
        Some(form) if form.starts_with("reference") => Form::Stored,
        Some(form) if form.starts_with("paper") => Form::Paper(DitConfig::tiny().action),
        other => candle_core::bail!("a model in the form {other:?}"),
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("checkpoint");
    let weights = golden.weights("weight.", golden.dtype())?;
    cola_weights::save(&path, weights, golden.config(), u64::MAX).map_err(candle_core::Error::wrap)?;
    let path = path.to_string_lossy();
    let opened = Pretrained::from_pretrained(&path, &form, &Hub::from_env(), golden.dtype(), &Device::Cpu)
        .map_err(candle_core::Error::wrap)?;
    let dit = opened.dit(true)?;
    golden.same_names("weight.", &opened.backbone.vars());
    Ok((dit, opened.backbone))
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
    golden.has("input.x_mask").then(|| Given::from_mask(&golden.input("x_mask", golden.dtype())?)).transpose()
}
