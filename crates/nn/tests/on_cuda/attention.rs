//! Attention of short and long sequences, along every axis, with and without norms and positions.

use candle_core::Result;
use candle_nn::VarBuilder;
use cola_nn::{HeadNorm, Rope, SelfAttention, SelfAttentionConfig, attend, attend_tokens};

use super::{agrees, operand};

fn none(_: usize, _: VarBuilder) -> Result<HeadNorm> {
    Ok(HeadNorm::Identity)
}

#[test]
fn of_separate_operands() -> Result<()> {
    for (length, keys, causal) in
        [(12, 12, false), (12, 12, true), (7, 20, false), (80, 80, true), (5, 90, false)]
    {
        let operands = [
            operand("q", &[2, 3, length, 20]),
            operand("k", &[2, 3, keys, 20]),
            operand("v", &[2, 3, keys, 20]),
        ];
        let name = format!("attention of {length} to {keys}");
        agrees(&name, &operands, 3.0, &|_, x| attend(&x[0], &x[1], &x[2], causal))?;
    }
    Ok(())
}

#[test]
fn to_other_tokens() -> Result<()> {
    for keys in [20, 90] {
        for frozen in [false, true] {
            let operands = [operand("q", &[2, 5, 30]), operand("kv", &[2, keys, 60])];
            let name = format!("attention to {keys} other tokens, frozen norms: {frozen}");
            agrees(&name, &operands, 3.0, &|p, x| {
                let vb = p.builder(!frozen);
                let (q, k) = (HeadNorm::layer(10, vb.pp("q"))?, HeadNorm::layer(10, vb.pp("k"))?);
                attend_tokens(&x[0], &x[1], 3, &q, &k)
            })?;
            agrees(&format!("{name}, none on keys"), &operands, 3.0, &|p, x| {
                let q = HeadNorm::rms(10, p.builder(!frozen))?;
                attend_tokens(&x[0], &x[1], 3, &q, &HeadNorm::Identity)
            })?;
        }
    }
    Ok(())
}

#[test]
fn to_oneself_along_either_axis() -> Result<()> {
    type Norm = fn(usize, VarBuilder) -> Result<HeadNorm>;
    let norms: [(&str, Norm); 3] = [("no", none), ("rms", HeadNorm::rms), ("layer", HeadNorm::layer)];
    for (name, norm) in norms {
        for ((length, turned), causal) in
            [(6, true), (70, true), (70, false)].into_iter().zip([true, false, true])
        {
            let config = SelfAttentionConfig { dim: 32, heads: 2, causal, silent: false };
            let layer = |vb| {
                // Without positions a shift of the keys has no gradient, and what bf16 leaves of it is rounding.
                let turned = turned || name == "layer";
                let rope = turned.then(|| Rope::new(16, 10000.0)).transpose()?;
                SelfAttention::new(&config, norm, rope, vb)
            };
            let name = format!("self-attention of {length}, {name} norm, causal: {causal}");
            let operands = [operand("x", &[2, 3, length, 32])];
            agrees(&name, &operands, 4.0, &|p, x| layer(p.trainable())?.forward(&x[0]))?;
            let operands = [operand("x", &[2, length, 3, 32])];
            agrees(&format!("{name}, across"), &operands, 4.0, &|p, x| {
                layer(p.trainable())?.forward_across(&x[0])
            })?;
        }
    }
    Ok(())
}
