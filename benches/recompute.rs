//! Four blocks that keep their activations beside four that compute them again on the way back: time in tokens per
//! second and, before it, the highest resident memory. The check is against blocks that keep theirs, for both.

use candle_core::{DType, Device, Result, Tensor};
use cola_benches::{Forward, Layer, Scene, Suite};
use cola_dit_world::{Axis, DitBlock, DitConfig, Modulation};
use cola_nn::recompute;
use cola_report::memory;

const DEPTH: usize = 4;
const WIDTH: usize = 384;
const HEADS: usize = 6;
const FRAMES: usize = 4;
const TOKENS: usize = 256;

fn blocks(scene: &Scene, tokens: usize, again: bool) -> Result<Forward> {
    let block = |index: usize| {
        let config = DitConfig { hidden_size: WIDTH, num_heads: HEADS, ..DitConfig::paper() };
        DitBlock::new(&config, Axis::Space, None, scene.params().trainable().pp(index))
    };
    let blocks: Vec<DitBlock> = (0..DEPTH).map(block).collect::<Result<_>>()?;
    let x = scene.tokens("x", (1, FRAMES, tokens, WIDTH))?;
    let rows = scene.rows("rows", (1, FRAMES, 6 * WIDTH))?;
    let again = again && !scene.is_plain();
    Ok(Box::new(move || {
        blocks.iter().try_fold(x.clone(), |x: Tensor, block| {
            if !again {
                return block.forward(&x, &Modulation::per_frame(&rows), None);
            }
            let block = block.clone();
            recompute([&x, &rows], move |[x, rows]| block.forward(x, &Modulation::per_frame(rows), None))
        })
    }))
}

/// The operations are those of a pass without repetition, so what `recomputed` does twice lowers its share.
fn layer(name: &str, again: bool) -> Layer {
    Layer::new(name, TOKENS, (FRAMES, "tokens"), move |scene, tokens| blocks(scene, tokens, again))
        .flops(DEPTH * FRAMES * (24 * WIDTH * WIDTH + 4 * TOKENS * WIDTH))
        .checked(4)
        .tolerance(1e-4)
}

/// The allocator keeps pages, so the one that needs fewer goes first.
fn say_memory() -> Result<()> {
    let scene = Scene::new(&Device::Cpu, DType::F32);
    let before = memory::resident();
    for (name, again) in [("recomputed", true), ("plain", false)] {
        let forward = blocks(&scene, TOKENS, again)?;
        memory::reset_peak();
        forward()?.backward()?;
        if let (Some(before), Some(peak)) = (before, memory::peak()) {
            println!("recompute/{name}/cpu: {:.0} MB more than before it was built", peak - before);
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--list") {
        say_memory()?;
    }
    Suite::layers("recompute", &[layer("plain", false), layer("recomputed", true)])
}
