//! Who moves the inverse dynamics model: the prediction or the quantizer.

use candle_core::Result;
use cola_nn::global_norm;

use crate::gradients::Gradients;

/// Gradient norms on some variables by source: that of the prediction, that of the quantizer's losses.
///
/// `all` is the gradient of their sum. Gradients add up, so the prediction's share is the difference, and only the
/// quantizer's, `of_vq`, has to be found anew: a backward pass through the inverse dynamics model alone.
pub(crate) fn by_source<'a>(
    names: impl Iterator<Item = &'a str>,
    all: &Gradients,
    of_vq: &Gradients,
) -> Result<(f64, f64)> {
    let (mut prediction, mut quantizer) = (Vec::new(), Vec::new());
    for name in names {
        let (sum, part) = (all.get(name), of_vq.get(name));
        if let Some(sum) = sum {
            prediction.push(part.map_or_else(|| Ok(sum.clone()), |part| sum.sub(part))?);
        }
        if let Some(part) = part {
            quantizer.push(part.clone());
        }
    }
    Ok((global_norm(prediction.iter())?, global_norm(quantizer.iter())?))
}
