//! An Inception block: four branches side by side.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use cola_nn::{FixedConv3d, Padding};

use super::plan::BlockShape;
use super::unit::Folded;
use crate::pool::max_pool3d;

/// `b0 | b1b(b1a) | b2b(b2a) | b3b(largest of 3x3x3)`, channels in this order.
#[derive(Debug)]
pub(crate) struct Block {
    /// `b0`, `b1a` and `b2a` read the same numbers: one pass over them does for all.
    front: FixedConv3d,
    /// Channels of each of them.
    widths: [usize; 3],
    b1b: FixedConv3d,
    b2b: FixedConv3d,
    b3b: FixedConv3d,
}

impl Block {
    pub(crate) fn new(shape: BlockShape, bn_eps: f64, vb: &VarBuilder<'_>) -> Result<Self> {
        let [b0, b1a, b2a, b1b, b2b, b3b] = shape.units();
        let folded = |(name, shape)| Folded::new(shape, bn_eps, &vb.pp(name));
        Ok(Self {
            front: Folded::beside(&[folded(b0)?, folded(b1a)?, folded(b2a)?])?.conv([1; 3])?,
            widths: [b0.1.output, b1a.1.output, b2a.1.output],
            b1b: folded(b1b)?.conv([1; 3])?,
            b2b: folded(b2b)?.conv([1; 3])?,
            b3b: folded(b3b)?.conv([1; 3])?,
        })
    }

    /// `(B, I, T, H, W)` to `(B, O, T, H, W)`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let front = self.front.forward(x)?;
        let [b0, b1a, b2a] = self.widths;
        let first = front.narrow(1, 0, b0)?;
        let second = self.b1b.forward(&front.narrow(1, b0, b1a)?)?;
        let third = self.b2b.forward(&front.narrow(1, b0 + b1a, b2a)?)?;
        let fourth = self.b3b.forward(&max_pool3d(x, [3; 3], [1; 3], Padding::Same)?)?;
        Tensor::cat(&[first, second, third, fourth], 1)
    }
}
