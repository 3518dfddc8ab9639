//! The vector quantizer's search for the nearest code, in tokens per second. The result is an index, so there is no way
//! back; the check wants every index to be that of the plain search in f64.

use candle_core::Result;
use cola_benches::{Layer, Suite};
use cola_nn::nearest_code;

/// `codes` rows of `size` numbers; a distance takes three operations for each number.
fn search(name: &str, tokens: usize, codes: usize, size: usize) -> Layer {
    Layer::new(name, tokens, (1, "tokens"), move |scene, tokens| {
        let x = scene.constant("x", (tokens, size))?;
        let codebook = scene.constant("codebook", (codes, size))?;
        Ok(Box::new(move || nearest_code(&x, &codebook)))
    })
    .flops(3 * codes * size)
    .tolerance(0.0)
    .forward_only()
}

fn main() -> Result<()> {
    let layers = [
        // The paper's codebook under a batch of two tokens a transition, and under many.
        search("paper_64", 64, 32, 32),
        search("paper_16384", 16_384, 32, 32),
        search("codes_1024", 4096, 1024, 32),
        search("size_256", 2048, 512, 256),
    ];
    Suite::layers("nearest", &layers)
}
