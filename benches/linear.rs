//! Linear layers, trained and frozen, and pairs of them with GELU between, in tokens per second.

use candle_core::Result;
use cola_benches::{Layer, Suite};
use cola_nn::{Linear, Mlp};

/// Tokens and widths of a sequence of layers.
struct Size {
    name: &'static str,
    tokens: usize,
    width: usize,
    wide: usize,
}

/// The paper's feed-forward layer over five frames of 256 tokens.
const XL: Size = Size { name: "xl", tokens: 1280, width: 1152, wide: 4608 };
/// The `tiny` preset's, over 32 clips of two frames of 64 tokens.
const TINY: Size = Size { name: "tiny", tokens: 4096, width: 96, wide: 384 };

fn linear(size: &Size, trains: bool) -> Layer {
    let Size { name, tokens, width, wide } = *size;
    let kind = if trains { "trained" } else { "frozen" };
    let layer = Layer::new(&format!("{name}_{kind}"), tokens, (1, "tokens"), move |scene, tokens| {
        let layer = Linear::new(width, wide, scene.params().builder(trains).pp("linear"))?;
        let x = scene.tokens("x", (tokens, width))?;
        Ok(Box::new(move || layer.forward(&x)))
    })
    .flops(2 * width * wide);
    if trains { layer } else { layer.frozen() }
}

/// Up, GELU, down: the second layer reads the first one's result through the activation and does not keep that.
fn mlp(size: &Size, trains: bool) -> Layer {
    let Size { name, tokens, width, wide } = *size;
    let kind = if trains { "gelu" } else { "gelu_frozen" };
    let layer = Layer::new(&format!("{name}_{kind}"), tokens, (1, "tokens"), move |scene, tokens| {
        let mlp = Mlp::new(width, wide, scene.params().builder(trains).pp("mlp"))?;
        let x = scene.tokens("x", (tokens, width))?;
        Ok(Box::new(move || mlp.forward(&x)))
    })
    .flops(4 * width * wide);
    if trains { layer } else { layer.frozen() }
}

fn main() -> Result<()> {
    let mut layers = Vec::new();
    for size in [XL, TINY] {
        for trains in [true, false] {
            layers.extend([linear(&size, trains), mlp(&size, trains)]);
        }
        layers.extend([linear(&size, true).bf16(), mlp(&size, true).bf16()]);
    }
    Suite::layers("linear", &layers)
}
