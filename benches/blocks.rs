//! Whole transformer blocks, in tokens or frames per second: the paper's over space and time, and one block of its
//! inverse dynamics model with everything around it.

use candle_core::Result;
use cola_benches::cases::dit_block;
use cola_benches::{Layer, Suite};
use cola_dit_world::{Axis, DitConfig, Modulation};
use cola_lam::{Idm, LamConfig};

const FRAMES: usize = 5;
/// Rounding adds up over a block's ten operations.
const TOLERANCE: f64 = 1e-4;

/// Counted in tokens of a frame: 256 are a picture of 256 pixels a side.
fn dit(name: &str, axis: Axis) -> Layer {
    let tokens = 256;
    let width = DitConfig::paper().hidden_size;
    // Each token's products, then what it does with the tokens that it sees.
    let seen = if axis == Axis::Space { tokens } else { FRAMES.div_ceil(2) };
    Layer::new(name, tokens, (FRAMES, "tokens"), move |scene, tokens| {
        let block = dit_block(axis, scene.params(), true)?;
        let x = scene.tokens("x", (1, FRAMES, tokens, width))?;
        let modulation = Modulation::per_frame(&scene.rows("rows", (1, FRAMES, 6 * width))?);
        Ok(Box::new(move || block.forward(&x, &modulation, None)))
    })
    .flops(FRAMES * (24 * width * width + 4 * seen * width))
    .checked(4)
    .tolerance(TOLERANCE)
}

/// Clips of two frames through a model of one block: patches in front, pooling behind.
fn lam(name: &str, clips: usize, config: LamConfig) -> Layer {
    let config = LamConfig { layers: 1, ..config };
    let (patches, dim, frames) = (config.patches(), config.dim, 2);
    // Attention over space and time, then the feed-forward layer.
    let block = patches * (8 * dim * dim + 4 * patches * dim) + patches * (8 + 16) * dim * dim;
    Layer::new(name, clips, (frames, "frames"), move |scene, clips| {
        let idm = Idm::new(&config, scene.trained("idm"))?;
        let video = scene.constant("video", (clips, frames, 3, config.image, config.image))?;
        Ok(Box::new(move || idm.forward(&video)))
    })
    .flops(frames * block)
    .checked(1)
    .tolerance(TOLERANCE)
}

fn main() -> Result<()> {
    let layers = [
        dit("xl_space", Axis::Space),
        dit("xl_space", Axis::Space).bf16(),
        dit("xl_time", Axis::Time),
        dit("xl_time", Axis::Time).bf16(),
        lam("lam_paper", 2, LamConfig::paper()),
        lam("lam_tiny", 32, LamConfig::tiny()),
    ];
    Suite::layers("blocks", &layers)
}
