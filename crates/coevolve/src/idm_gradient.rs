//! Who moves the inverse dynamics model: the prediction or the quantizer.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use cola_nn::global_norm;

/// Gradient norms on some variables by source: that of the prediction, that of the quantizer's losses `vq`.
///
/// `grads` is the gradient of their sum. Gradients add up, so the prediction's share is the difference, and only the
/// quantizer's has to be found anew: a backward pass through the inverse dynamics model alone.
pub(crate) fn by_source<'a>(
    variables: impl Iterator<Item = &'a Var>,
    grads: &GradStore,
    vq: &Tensor,
) -> Result<(f64, f64)> {
    let of_vq = vq.backward()?;
    let (mut prediction, mut quantizer) = (Vec::new(), Vec::new());
    for var in variables {
        let (sum, part) = (grads.get(var.as_tensor()), of_vq.get(var.as_tensor()));
        if let Some(sum) = sum {
            prediction.push(part.map_or_else(|| Ok(sum.clone()), |part| sum.detach().sub(&part.detach()))?);
        }
        if let Some(part) = part {
            quantizer.push(part.clone());
        }
    }
    Ok((global_norm(prediction.iter())?, global_norm(quantizer.iter())?))
}
