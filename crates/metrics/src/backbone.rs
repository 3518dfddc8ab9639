//! Features of pictures at the depths that LPIPS compares.

pub(crate) mod steps;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::{DEFAULT_KAIMING_NORMAL, ZERO};
use cola_nn::{FixedConv3d, Padding, max_pool3d};

use crate::{Error, Network, Result};
use steps::{Conv, Step, ceil_zeros, steps};

/// The convolutional part of an ImageNet classifier (torchvision's `features`). It keeps no graph.
#[derive(Clone, Debug)]
pub(crate) struct Backbone {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
enum Layer {
    Conv(FixedConv3d),
    Fire(Box<[FixedConv3d; 3]>),
    Pool { side: usize, ceil: bool },
    Tap,
}

impl Backbone {
    /// Over tensors in torchvision's names, `features.N.weight` and so on.
    ///
    /// # Errors
    /// A tensor that is absent, of another shape, or not finite.
    pub(crate) fn new(network: Network, vb: &VarBuilder<'_>) -> Result<Self> {
        let layer = |step| -> Result<Layer> {
            Ok(match step {
                Step::Conv(conv) => Layer::Conv(convolution(&conv, vb)?),
                Step::Fire(fire) => {
                    let [squeeze, narrow, wide] = fire.convolutions();
                    let convolutions =
                        [convolution(&squeeze, vb)?, convolution(&narrow, vb)?, convolution(&wide, vb)?];
                    Layer::Fire(Box::new(convolutions))
                }
                Step::Pool { side, ceil } => Layer::Pool { side, ceil },
                Step::Tap => Layer::Tap,
            })
        };
        Ok(Self { layers: steps(network).into_iter().map(layer).collect::<Result<_>>()? })
    }

    /// Hands `visit` the features of `images` `(N, 3, H, W)`, normalised to the ImageNet mean and deviation, at each tap in
    /// turn: `(N, C, h, w)`. No tap is kept, so that memory is that of the widest layer.
    ///
    /// # Errors
    /// Pictures below the network's smallest side; those of `visit`.
    pub(crate) fn visit(
        &self,
        images: &Tensor,
        mut visit: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut tap = 0;
        let mut x = images.unsqueeze(2)?; // pictures are single frames
        for layer in &self.layers {
            x = match layer {
                Layer::Conv(conv) => conv.forward(&x)?,
                Layer::Fire(convolutions) => {
                    let [squeeze, narrow, wide] = &**convolutions;
                    x = squeeze.forward(&x)?;
                    Tensor::cat(&[narrow.forward(&x)?, wide.forward(&x)?], 1)?
                }
                Layer::Pool { side, ceil } => {
                    let (.., height, width) = x.dims5()?;
                    let zeros = [height, width].map(|n| [0, ceil_zeros(*ceil, n, *side)]);
                    // Behind a ReLU a zero is never larger than what it stands beside.
                    let around = Padding::Explicit([[0, 0], zeros[0], zeros[1]]);
                    max_pool3d(&x, [1, *side, *side], [1, 2, 2], around)?
                }
                Layer::Tap => {
                    visit(tap, &x.squeeze(2)?)?;
                    tap += 1;
                    x
                }
            };
        }
        Ok(())
    }
}

fn convolution(conv: &Conv, vb: &VarBuilder<'_>) -> Result<FixedConv3d> {
    let vb = vb.pp(&conv.name);
    let shape = (conv.to, conv.from, conv.kernel, conv.kernel);
    let weight = vb.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)?.detach();
    let bias = vb.get_with_hints(conv.to, "bias", ZERO)?.detach();
    check_finite(&weight)?;
    check_finite(&bias)?;
    let zeros = [conv.zeros; 2];
    Ok(FixedConv3d::new(&weight.unsqueeze(2)?, Some(&bias))?
        .with_stride([1, conv.stride, conv.stride])?
        .with_padding(Padding::Explicit([[0, 0], zeros, zeros]))
        .with_relu())
}

/// A ReLU may turn a NaN into a zero, and the distance would look like one: a weight that is none is refused here.
fn check_finite(weight: &Tensor) -> Result<()> {
    let values = weight.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    // Numbers of a model do not add up to infinity in f64.
    if values.sum_all()?.to_scalar::<f64>()?.is_finite() {
        return Ok(());
    }
    let values = values.to_vec1::<f64>()?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(place) => {
            Err(Error::NotFinite { what: "backbone weight", value: values[place], index: vec![place] })
        }
        None => Ok(()),
    }
}
