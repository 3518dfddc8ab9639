//! The entropy penalty: every token certain of its code, the batch spread over all codes.

use candle_core::{D, Result, Tensor};

/// Keeps the logarithm of an unused code's share finite.
const EPS: f64 = 1e-5;

/// Mean entropy of the choices less the entropy of the mean choice (villa-X's quantizer, there switched off). With
/// `P = softmax(-distance² / temperature)` over the codes
///
/// ```text
/// mean over tokens of (- sum_k P_k ln P_k)  -  (- sum_k m_k ln(m_k + 1e-5)),    m = mean over tokens of P
/// ```
///
/// The reference adds 1e-5 to the first logarithm's logits, too, which a softmax does not notice. Codes that are far
/// apart on the scale of the temperature give choices without doubt, and a gradient of exactly zero.
///
/// # Shapes
/// Squared distances `(N, K)`; returns a scalar.
pub(super) fn entropy(distances: &Tensor, temperature: f64) -> Result<Tensor> {
    let logits = (distances / -temperature)?;
    // A softmax does not move with its logits' largest, so that one needs no gradient.
    let logits = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let log_choice = logits.broadcast_sub(&logits.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let choice = log_choice.exp()?;
    let certain = (&choice * log_choice)?.sum(D::Minus1)?.mean_all()?.neg()?;
    let mean = choice.mean(0)?;
    let spread = (&mean * (&mean + EPS)?.log()?)?.sum_all()?.neg()?;
    certain - spread
}
