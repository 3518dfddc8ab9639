//! Attention alone and with its two layers, at sizes of the paper and of the `tiny` preset, in tokens per second.

use candle_core::Result;
use cola_benches::{Layer, Suite};
use cola_nn::{HeadNorm, Rope, SelfAttention, SelfAttentionConfig, attend, attend_tokens};

/// Softmax attention over `(count, heads, length, size)`.
fn core(name: &str, [count, heads, length, size]: [usize; 4], causal: bool) -> Layer {
    let pairs = if causal { length * (length + 1) / 2 } else { length * length };
    Layer::new(name, count, (length, "tokens"), move |scene, count| {
        let operand = |name| scene.tokens(name, (count, heads, length, size));
        let (q, k, v) = (operand("q")?, operand("k")?, operand("v")?);
        Ok(Box::new(move || attend(&q, &k, &v, causal)))
    })
    .flops(4 * heads * pairs * size)
    .checked(1)
}

/// Two queries for each row of keys and values, as the latent action model pools its patches.
fn cross(name: &str, count: usize, [queries, keys, dim, heads]: [usize; 4]) -> Layer {
    Layer::new(name, count, (keys, "tokens"), move |scene, count| {
        let q = scene.tokens("q", (count, queries, dim))?;
        let kv = scene.tokens("kv", (count, keys, 2 * dim))?;
        let norm = |name: &str| HeadNorm::layer(dim / heads, scene.trained(name));
        let (q_norm, k_norm) = (norm("q_norm")?, norm("k_norm")?);
        Ok(Box::new(move || attend_tokens(&q, &kv, heads, &q_norm, &k_norm)))
    })
    .flops(4 * queries * keys * dim)
    .checked(1)
}

/// Within frames, with its layers and norms.
fn space(name: &str, frames: usize, [length, dim, heads]: [usize; 3]) -> Layer {
    Layer::new(name, frames, (length, "tokens"), move |scene, frames| {
        let config = SelfAttentionConfig { dim, heads, causal: false, silent: false };
        let attention = SelfAttention::new(&config, HeadNorm::rms, None, scene.trained("attention"))?;
        let x = scene.tokens("x", (frames, length, dim))?;
        Ok(Box::new(move || attention.forward(&x)))
    })
    .flops(length * (8 * dim * dim + 4 * length * dim))
    .checked(1)
}

/// Along time: causal, with its layers, norms and rotary positions. `count` sequences of `length` frames lie side by
/// side in each of `clips`.
fn time(name: &str, clips: usize, count: usize, [length, dim, heads]: [usize; 3]) -> Layer {
    Layer::new(name, count, (clips * length, "tokens"), move |scene, count| {
        let config = SelfAttentionConfig { dim, heads, causal: true, silent: false };
        let rope = Rope::new(dim / heads, 10_000.0)?;
        let attention = SelfAttention::new(&config, HeadNorm::rms, Some(rope), scene.trained("attention"))?;
        let x = scene.tokens("x", (clips, length, count, dim))?;
        Ok(Box::new(move || attention.forward_across(&x)))
    })
    .flops(clips * length * (8 * dim * dim + 2 * (length + 1) * dim))
    .checked(16)
}

fn main() -> Result<()> {
    let layers = [
        core("space", [5, 16, 256, 72], false),
        core("space", [5, 16, 256, 72], false).bf16(),
        core("short_causal", [256, 16, 5, 72], true),
        core("long", [1, 16, 1024, 72], false),
        core("lam_257", [8, 12, 257, 64], false),
        cross("cross", 16, [2, 256, 768, 12]),
        space("layer_space", 5, [256, 1152, 16]),
        space("layer_space_tiny", 64, [64, 96, 4]),
        time("layer_time", 1, 256, [5, 1152, 16]),
        time("layer_time", 1, 256, [5, 1152, 16]).bf16(),
        time("layer_time_tiny", 32, 64, [2, 96, 4]),
    ];
    Suite::layers("attention", &layers)
}
