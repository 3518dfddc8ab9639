//! Whole transformer blocks, whose launches the emulated driver can count.

use candle_core::{Result, Tensor};
use cola_nn::{
    HeadNorm, Mlp, Params, Rope, SelfAttention, SelfAttentionConfig, gate_add, modulate, recompute,
};

use super::{agrees, operand};

const WIDTH: usize = 32;

/// Attention and feed-forward layer, each modulated before and gated after.
fn block(params: &Params, x: &[Tensor], over_time: bool) -> Result<Tensor> {
    let vb = params.trainable();
    let config = SelfAttentionConfig { dim: WIDTH, heads: 2, causal: over_time, silent: false };
    let rope = over_time.then(|| Rope::new(WIDTH / 2, 100.0)).transpose()?;
    let attention = SelfAttention::new(&config, HeadNorm::rms, rope, vb.pp("attention"))?;
    let mlp = Mlp::new(WIDTH, 4 * WIDTH, vb.pp("mlp"))?;
    let [x, shift, scale, gate, shift2, scale2, gate2] = x else { candle_core::bail!("seven operands") };
    let ready = modulate(x, shift, scale, 1e-6)?;
    let branch = if over_time { attention.forward_across(&ready)? } else { attention.forward(&ready)? };
    let x = gate_add(x, gate, &branch)?;
    gate_add(&x, gate2, &mlp.forward(&modulate(&x, shift2, scale2, 1e-6)?)?)
}

fn operands(length: usize) -> Vec<super::Operand> {
    let tables = ["shift", "scale", "gate", "shift2", "scale2", "gate2"];
    let tables = tables.map(|name| operand(name, &[2, 5, 1, WIDTH]));
    std::iter::once(operand("x", &[2, 5, length, WIDTH])).chain(tables).collect()
}

#[test]
fn block_over_time() -> Result<()> {
    agrees("block over time", &operands(6), 6.0, &|p, x| block(p, x, true))
}

#[test]
fn block_over_space() -> Result<()> {
    agrees("block over space", &operands(70), 6.0, &|p, x| block(p, x, false))
}

#[test]
fn recomputed_block() -> Result<()> {
    agrees("recomputed block", &[operand("x", &[3, 9, WIDTH])], 4.0, &|p, x| {
        let mlp = Mlp::new(WIDTH, 4 * WIDTH, p.trainable())?;
        recompute([&x[0]], move |[x]| mlp.forward(x))
    })
}
