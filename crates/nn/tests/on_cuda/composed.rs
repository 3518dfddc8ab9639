//! What has no kernels of its own: candle's operations on the device against the loops on the CPU. The emulated driver
//! does not run these, since it knows few of candle's kernels.

use candle_core::Result;
use cola_nn::{CausalConv3d, GroupNorm, Rope, add_rows, attend, split_rows};

use super::{agrees, operand};

#[test]
fn composed_rows() -> Result<()> {
    let operands = [operand("x", &[4, 3, 20]), operand("table", &[3, 20])];
    agrees("added rows", &operands, 1.0, &|_, x| add_rows(&x[0], &x[1]))?;
    let operands = [operand("x", &[5, 60]), operand("table", &[3, 20])];
    agrees("cut rows", &operands, 1.0, &|_, x| {
        let parts = split_rows(&x[0], &x[1])?;
        (&parts[0] * &parts[1])? + &parts[2]
    })
}

#[test]
fn composed_rotation() -> Result<()> {
    let rope = Rope::new(10, 100.0)?;
    agrees("rotation", &[operand("x", &[2, 3, 7, 10])], 1.0, &|_, x| rope.apply(&x[0]))
}

#[test]
fn composed_attention_of_large_heads() -> Result<()> {
    let part = |name| operand(name, &[2, 3, 9, 160]);
    agrees("attention", &[part("q"), part("k"), part("v")], 3.0, &|_, x| attend(&x[0], &x[1], &x[2], true))
}

#[test]
fn composed_images() -> Result<()> {
    let x = operand("x", &[2, 6, 5, 6, 7]);
    agrees("group norm", &[x], 2.0, &|p, x| GroupNorm::new(2, 6, 1e-5, p.trainable())?.forward_silu(&x[0]))?;
    let x = operand("x", &[2, 6, 5, 6, 7]);
    agrees("convolution", &[x], 2.0, &|p, x| {
        CausalConv3d::new(6, 4, [3, 3, 3], p.trainable())?.forward(&x[0])
    })
}
