//! Convolution, batch norm and ReLU as one convolution.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use cola_nn::{FixedConv3d, Padding};

use super::plan::UnitShape;

/// A convolution's weight and bias with the batch norm behind it in them.
pub(crate) struct Folded {
    weight: Tensor,
    bias: Tensor,
}

impl Folded {
    /// Folds in f64, so that the result is the builder's dtype's nearest.
    pub(crate) fn new(shape: UnitShape, bn_eps: f64, vb: &VarBuilder<'_>) -> Result<Self> {
        // Models are folded once, whatever device they run on: not every device computes in f64.
        let tensors = shape.tensors().map(|(name, shape)| vb.get(shape, name)?.to_device(&Device::Cpu));
        let [weight, scale, shift, mean, variance] = tensors;
        let wide = |tensor: Result<Tensor>| tensor?.detach().to_dtype(DType::F64);
        let scale = (wide(scale)? / (wide(variance)? + bn_eps)?.sqrt()?)?;
        let bias = (wide(shift)? - (wide(mean)? * &scale)?)?;
        let weight = wide(weight)?.broadcast_mul(&scale.reshape(((), 1, 1, 1, 1))?)?;
        finite(&weight, &bias, &vb.prefix())?;
        let narrow = |tensor: Tensor| tensor.to_dtype(vb.dtype())?.to_device(vb.device());
        Ok(Self { weight: narrow(weight)?, bias: narrow(bias)? })
    }

    /// Several units over one input as one with all their channels, in order.
    pub(crate) fn beside(units: &[Self]) -> Result<Self> {
        let weights: Vec<&Tensor> = units.iter().map(|unit| &unit.weight).collect();
        let biases: Vec<&Tensor> = units.iter().map(|unit| &unit.bias).collect();
        Ok(Self { weight: Tensor::cat(&weights, 0)?, bias: Tensor::cat(&biases, 0)? })
    }

    /// The convolution, ReLU behind it.
    pub(crate) fn conv(&self, stride: [usize; 3]) -> Result<FixedConv3d> {
        let conv = FixedConv3d::new(&self.weight, Some(&self.bias))?;
        Ok(conv.with_stride(stride)?.with_padding(Padding::Same).with_relu())
    }
}

/// Refuses what comes of a negative variance or of numbers that were none: ReLU would make zeros of it.
pub(crate) fn finite(weight: &Tensor, bias: &Tensor, name: &str) -> Result<()> {
    let sum = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>();
    if !(sum(weight)? + sum(bias)?).is_finite() {
        candle_core::bail!("`{name}`: weights that are NaN or infinite, or a negative variance");
    }
    Ok(())
}
