//! Norms and what adaptive layer norm does around a branch, in tokens or positions per second: memory is their limit.

use candle_core::Result;
use cola_benches::{Layer, Suite};
use cola_nn::{GroupNorm, LayerNorm, RmsNorm, gate_add, layer_norm, modulate};

const EPS: f64 = 1e-6;

/// Clips, frames, tokens of a frame, width.
#[derive(Clone, Copy)]
struct Size(&'static str, [usize; 4]);

const XL: Size = Size("xl", [1, 5, 256, 1152]);
const TINY: Size = Size("tiny", [32, 2, 64, 96]);

/// A norm over the last dimension of all tokens.
fn rows(size: Size, kind: &'static str) -> Layer {
    let Size(name, [clips, frames, tokens, width]) = size;
    let count = clips * frames * tokens;
    Layer::new(&format!("{kind}_{name}"), count, (1, "tokens"), move |scene, tokens| {
        let (x, params) = (scene.tokens("x", (tokens, width))?, scene.trained("norm"));
        Ok(match kind {
            "layer_affine" => {
                let norm = LayerNorm::new(width, EPS, params)?;
                Box::new(move || norm.forward(&x))
            }
            "rms" => {
                let norm = RmsNorm::new(width, params)?;
                Box::new(move || norm.forward(&x))
            }
            _ => Box::new(move || layer_norm(&x, EPS)),
        })
    })
}

/// Layer norm, then a scale and a shift of each frame.
fn modulated(size: Size) -> Layer {
    let Size(name, [clips, frames, tokens, width]) = size;
    Layer::new(&format!("modulate_{name}"), tokens, (clips * frames, "tokens"), move |scene, tokens| {
        let x = scene.tokens("x", (clips, frames, tokens, width))?;
        let row = |name| scene.rows(name, (clips, frames, 1, width));
        let (shift, scale) = (row("shift")?, row("scale")?);
        Ok(Box::new(move || modulate(&x, &shift, &scale, EPS)))
    })
}

/// The residual sum with a gate of each frame.
fn gated(size: Size) -> Layer {
    let Size(name, [clips, frames, tokens, width]) = size;
    Layer::new(&format!("gate_add_{name}"), tokens, (clips * frames, "tokens"), move |scene, tokens| {
        let operand = |name| scene.tokens(name, (clips, frames, tokens, width));
        let (x, branch) = (operand("x")?, operand("branch")?);
        let gate = scene.rows("gate", (clips, frames, 1, width))?;
        Ok(Box::new(move || gate_add(&x, &gate, &branch)))
    })
}

/// As in the video VAE: 32 groups over frames and space together, `with_silu` or alone.
fn group(name: &str, channels: usize, [frames, height, width]: [usize; 3], with_silu: bool) -> Layer {
    Layer::new(name, frames, (height * width, "positions"), move |scene, frames| {
        let norm = GroupNorm::new(32, channels, EPS, scene.trained("norm"))?;
        let x = scene.tokens("x", (1, channels, frames, height, width))?;
        Ok(Box::new(move || if with_silu { norm.forward_silu(&x) } else { norm.forward(&x) }))
    })
}

fn main() -> Result<()> {
    let mut layers = Vec::new();
    for size in [XL, TINY] {
        layers.extend(["layer", "layer_affine", "rms"].map(|kind| rows(size, kind)));
        layers.extend([modulated(size), modulated(size).bf16(), gated(size), gated(size).bf16()]);
    }
    layers.push(group("group_128_5x32x32", 128, [5, 32, 32], false));
    layers.push(group("group_silu_128_5x32x32", 128, [5, 32, 32], true));
    Suite::layers("norm", &layers)
}
