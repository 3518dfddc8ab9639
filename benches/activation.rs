//! Activations alone, in tokens per second (memory is their limit), and the gated feed-forward layer around one.

use candle_core::{Result, Tensor};
use cola_benches::{Layer, Suite};
use cola_nn::{GatedMlp, gelu, silu};

/// One activation over rows of `width` numbers.
fn alone(
    name: &str,
    tokens: usize,
    width: usize,
    activation: impl Fn(&Tensor) -> Result<Tensor> + Copy + 'static,
) -> Layer {
    Layer::new(name, tokens, (1, "tokens"), move |scene, tokens| {
        let x = scene.tokens("x", (tokens, width))?;
        Ok(Box::new(move || activation(&x)))
    })
}

/// `out(p silu(s))`: its gate has no name outside, so it is timed with the two layers that it sits between.
fn gated(name: &str, tokens: usize, width: usize, hidden: usize) -> Layer {
    Layer::new(name, tokens, (1, "tokens"), move |scene, tokens| {
        let mlp = GatedMlp::new(width, hidden, scene.trained("project"), scene.trained("out"))?;
        let x = scene.tokens("x", (tokens, width))?;
        Ok(Box::new(move || mlp.forward(&x)))
    })
    .flops(6 * width * hidden)
}

fn main() -> Result<()> {
    let layers = [
        alone("gelu_xl", 1280, 4608, gelu),
        alone("gelu_xl", 1280, 4608, gelu).bf16(),
        alone("gelu_tiny", 4096, 384, gelu),
        alone("silu_xl", 1280, 4608, silu),
        alone("silu_xl", 1280, 4608, silu).bf16(),
        alone("silu_tiny", 4096, 384, silu),
        gated("gated_lam", 512, 768, 3072),
        gated("gated_lam", 512, 768, 3072).bf16(),
        gated("gated_tiny", 4096, 64, 256),
    ];
    Suite::layers("activation", &layers)
}
