//! Activations, norms, modulation and layers of weights.

use candle_core::{Result, Tensor};
use cola_nn::{
    GatedMlp, LayerNorm, Linear, Mlp, RmsNorm, gate_add, gelu, gelu_erf, layer_norm, modulate, rms_norm,
    silu, sum_leading,
};

use super::{agrees, operand};

#[test]
fn activations() -> Result<()> {
    let x = [operand("x", &[3, 5, 34])];
    agrees("gelu", &x, 1.0, &|_, x| gelu(&x[0]))?;
    agrees("gelu erf", &x, 1.0, &|_, x| gelu_erf(&x[0]))?;
    agrees("silu", &x, 1.0, &|_, x| silu(&x[0]))
}

#[test]
fn linear_layers() -> Result<()> {
    for (shape, dim, out) in [(&[2usize, 70, 24][..], 24, 40), (&[7, 5], 5, 3), (&[1, 16], 16, 8)] {
        let x = operand("x", shape);
        agrees("linear", &[x], 1.0, &|p, x| Linear::new(dim, out, p.trainable())?.forward(&x[0]))?;
        let x = operand("x", shape);
        agrees("frozen linear", &[x], 1.0, &|p, x| Linear::new(dim, out, p.frozen())?.forward(&x[0]))?;
        let x = operand("x", shape).fixed();
        agrees("first linear", &[x], 1.0, &|p, x| Linear::new(dim, out, p.trainable())?.forward(&x[0]))?;
        let x = operand("x", shape);
        agrees("feed-forward", &[x], 2.0, &|p, x| Mlp::new(dim, 2 * dim, p.trainable())?.forward(&x[0]))?;
        let x = operand("x", shape);
        agrees("gated feed-forward", &[x], 2.0, &|p, x| {
            let vb = p.trainable();
            GatedMlp::new(dim, out, vb.pp("a"), vb.pp("b"))?.forward(&x[0])
        })?;
    }
    let x = operand("x", &[2, 9, 12]);
    agrees("patches", &[x], 1.0, &|p, x| Linear::patch(&[3, 2, 2], 10, None, p.trainable())?.forward(&x[0]))
}

#[test]
fn a_part_of_a_tensor_goes_through_a_layer() -> Result<()> {
    agrees("linear of a part", &[operand("x", &[6, 9, 24])], 1.0, &|p, x| {
        Linear::new(24, 8, p.trainable())?.forward(&x[0].narrow(0, 1, 3)?)
    })?;
    agrees("gelu of a part", &[operand("x", &[6, 9, 24])], 1.0, &|_, x| gelu(&x[0].narrow(0, 1, 3)?))
}

#[test]
fn norms() -> Result<()> {
    for shape in [&[2usize, 3, 70, 40][..], &[9, 33], &[3, 1152]] {
        let dim = shape[shape.len() - 1];
        let x = || operand("x", shape);
        agrees("layer norm", &[x()], 1.0, &|_, x| layer_norm(&x[0], 1e-5))?;
        agrees("rms norm", &[x(), operand("weight", &[dim])], 1.0, &|_, x| rms_norm(&x[0], &x[1], 1e-6))?;
        agrees("layer norm with parameters", &[x()], 1.0, &|p, x| {
            LayerNorm::new(dim, 1e-5, p.trainable())?.forward(&x[0])
        })?;
        agrees("frozen layer norm", &[x()], 1.0, &|p, x| {
            LayerNorm::new(dim, 1e-5, p.frozen())?.forward(&x[0])
        })?;
        agrees("clamped rms norm", &[x()], 1.0, &|p, x| RmsNorm::new(dim, p.trainable())?.forward(&x[0]))?;
    }
    Ok(())
}

#[test]
fn modulation_and_gates() -> Result<()> {
    let shape = [4, 3, 70, 20];
    for table in [&[4usize, 3, 1, 20][..], &[4, 1, 1, 20], &[20], &[1, 3, 1, 20], &shape] {
        let (x, gate) = (|| operand("x", &shape), || operand("gate", table));
        for scale in [operand("scale", table), operand("scale", table).wide(), operand("scale", &[20])] {
            let operands = [x(), operand("shift", table), scale];
            agrees("modulate", &operands, 1.0, &|_, x| modulate(&x[0], &x[1], &x[2], 1e-6))?;
        }
        let add = |x: &[Tensor]| gate_add(&x[0], &x[1], &x[2]);
        agrees("gate", &[x(), gate(), operand("branch", &shape)], 1.0, &|_, x| add(x))?;
        agrees("wide gate", &[x(), gate().wide(), operand("branch", &shape)], 1.0, &|_, x| add(x))?;
        agrees("fixed gate", &[x(), gate().fixed(), operand("branch", &shape)], 1.0, &|_, x| add(x))?;
    }
    Ok(())
}

#[test]
fn sums_over_leading_dimensions() -> Result<()> {
    agrees("sum", &[operand("x", &[3, 70, 33])], 1.0, &|_, x| sum_leading(&x[0]))
}
