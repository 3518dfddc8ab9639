//! I3D: what FVD knows of a video.

mod block;
mod plan;
mod pretrained;
mod unit;

use std::borrow::Borrow;
use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use cola_nn::{FixedConv3d, Padding, max_pool3d};
use serde::{Deserialize, Serialize};

use self::block::Block;
use self::plan::{Layer, STAGES, UnitShape};
use self::unit::{Folded, finite};

use crate::{Error, Fit, Result, Video};

/// The layer behind the pooled feature, with bias and without ReLU.
const LOGITS: (&str, UnitShape) = ("logits", UnitShape::new(1024, I3d::WIDTH, 1));

/// What may lie beyond `[-1, 1]` in a network's input: rounding of whoever made it.
const OVERSHOOT: f64 = 1e-3;

/// What is not in the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct I3dConfig {
    /// Added to the variances of batch norm. 1e-3 is the original TensorFlow model's; 1e-5, PyTorch's default, is what
    /// VideoGPT and its descendants compute with, and moves FVD by about a quarter of a percent.
    pub bn_eps: f64,
}

impl Default for I3dConfig {
    fn default() -> Self {
        Self { bn_eps: 1e-3 }
    }
}

impl I3dConfig {
    /// Whether a network can be built.
    ///
    /// # Errors
    /// [`Error::Setting`] for an epsilon that is negative, NaN or infinite.
    pub fn check(&self) -> Result<()> {
        if !self.bn_eps.is_finite() || self.bn_eps < 0.0 {
            return Err(Error::Setting {
                field: "bn_eps",
                found: self.bn_eps.to_string(),
                expected: "a small number from 0 up, 1e-3 or 1e-5",
            });
        }
        Ok(())
    }
}

/// Inception-v1 inflated to 3-D (Carreira and Zisserman 2017), RGB, 400 classes. Its feature is the vector of 400 logits
/// before softmax, which is what the Fréchet video distance of Unterthiner et al. (2018) is taken over; the 1024 pooled
/// numbers in front of them make another metric.
///
/// ```
/// use candle_core::Device;
/// use cola_metrics::{Fit, I3d, I3dConfig, Video};
///
/// # fn main() -> cola_metrics::Result<()> {
/// # #[cfg(feature = "kinetics")]
/// # {
/// let i3d = I3d::kinetics400(&I3dConfig::default(), &Device::Cpu)?;
/// let clip = Video::from_rgb8(9, 64, 64, &[0; 9 * 64 * 64 * 3])?;
/// let feature = i3d.feature(&clip, Fit::Crop)?;
/// assert_eq!(feature.len(), I3d::WIDTH);
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct I3d {
    stages: Vec<(&'static str, Built)>,
    logits: FixedConv3d,
    config: I3dConfig,
    dtype: DType,
    device: candle_core::Device,
}

/// A stage with its weights.
#[derive(Debug)]
enum Built {
    Unit(FixedConv3d),
    Pool { kernel: [usize; 3], stride: [usize; 3] },
    Block(Box<Block>),
}

impl I3d {
    /// Numbers of a feature.
    pub const WIDTH: usize = 400;

    /// The shortest clip: time is halved three times, rounded up, and two steps have to be left.
    pub const SHORTEST: usize = 9;

    /// Over tensors with the names of [`I3d::tensors`], computing in the builder's dtype, f32 or f64. Batch norm is folded
    /// into the convolutions in f64.
    ///
    /// # Errors
    /// A tensor that is absent or of another shape, weights that are not finite, a negative variance; a configuration that
    /// cannot be.
    pub fn new(config: &I3dConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let stages = STAGES
            .into_iter()
            .map(|(name, layer)| {
                let vb = vb.pp(name);
                let built = match layer {
                    Layer::Unit { shape, stride } => {
                        Built::Unit(Folded::new(shape, config.bn_eps, &vb)?.conv(stride)?)
                    }
                    Layer::Pool { kernel, stride } => Built::Pool { kernel, stride },
                    Layer::Block(shape) => Built::Block(Box::new(Block::new(shape, config.bn_eps, &vb)?)),
                };
                Ok((name, built))
            })
            .collect::<Result<_>>()?;
        let (name, shape) = LOGITS;
        let vb_logits = vb.pp(name).pp("conv3d");
        let weight = vb_logits.get((shape.output, shape.input, 1, 1, 1), "weight")?;
        let bias = vb_logits.get(shape.output, "bias")?;
        finite(&weight, &bias, name)?;
        Ok(Self {
            stages,
            logits: FixedConv3d::new(&weight, Some(&bias))?,
            config: *config,
            dtype: vb.dtype(),
            device: vb.device().clone(),
        })
    }

    /// Names and shapes of the 287 tensors, those of `i3d_pretrained_400.pt` without its counters.
    pub fn tensors() -> BTreeMap<String, Vec<usize>> {
        let mut tensors = BTreeMap::new();
        let mut add = |unit: String, shape: UnitShape| {
            tensors.extend(shape.tensors().map(|(name, shape)| (format!("{unit}.{name}"), shape)));
        };
        for (stage, layer) in STAGES {
            match layer {
                Layer::Unit { shape, .. } => add(stage.to_string(), shape),
                Layer::Pool { .. } => {}
                Layer::Block(block) => {
                    block.units().into_iter().for_each(|(unit, shape)| add(format!("{stage}.{unit}"), shape));
                }
            }
        }
        let (name, shape) = LOGITS;
        tensors.insert(format!("{name}.conv3d.weight"), vec![shape.output, shape.input, 1, 1, 1]);
        tensors.insert(format!("{name}.conv3d.bias"), vec![shape.output]);
        tensors
    }

    /// What it was built with.
    pub fn config(&self) -> &I3dConfig {
        &self.config
    }

    /// The 400 logits of one RGB clip of at least [`I3d::SHORTEST`] frames of any size.
    ///
    /// # Errors
    /// [`Error::TooSmall`] for a shorter clip, [`Error::Layout`] for one that is not RGB; tensor arithmetic.
    pub fn feature(&self, clip: &Video, fit: Fit) -> Result<Vec<f64>> {
        long_enough(clip.frames())?;
        let input = fit.input(clip)?.unsqueeze(0)?;
        let logits = self.forward(&self.placed(&input)?, |_, _| Ok(()))?;
        Ok(logits.squeeze(0)?.to_dtype(DType::F64)?.to_vec1()?)
    }

    /// [`I3d::feature`] of each clip, one after the other: memory is that of one clip.
    ///
    /// # Errors
    /// As [`I3d::feature`].
    pub fn features(&self, clips: impl IntoIterator<Item: Borrow<Video>>, fit: Fit) -> Result<Vec<Vec<f64>>> {
        clips.into_iter().map(|clip| self.feature(clip.borrow(), fit)).collect()
    }

    /// Logits of clips that are prepared already, one after the other.
    ///
    /// # Shapes
    /// - `input`: `(B, 3, T, 224, 224)`, RGB in `[-1, 1]`, `T >= 9`, any floating-point dtype
    /// - returns `(B, 400)` in the network's dtype
    ///
    /// # Errors
    /// Another shape or range, NaN, too few frames, an input that tracks gradients, which would end here; tensor arithmetic.
    pub fn logits(&self, input: &Tensor) -> Result<Tensor> {
        let clips = checked(input)?;
        let rows = (0..clips)
            .map(|clip| self.forward(&self.placed(&input.narrow(0, clip, 1)?)?, |_, _| Ok(())))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&rows, 0)?)
    }

    /// [`I3d::logits`] of one clip, `(1, 3, T, 224, 224)`, with a look at what each stage makes, in order: `Conv3d_1a_7x7`
    /// to `Mixed_5c`, `(1, C, T', H', W')`, then `avg_pool`, `(1, 1024, T'')`.
    ///
    /// # Errors
    /// As [`I3d::logits`], more than one clip, and those of `look`.
    pub fn stages(
        &self,
        input: &Tensor,
        look: impl FnMut(&'static str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        if checked(input)? != 1 {
            return Err(Error::Layout {
                found: format!("a tensor of shape {:?}", input.dims()),
                expected: "one clip, (1, 3, T, 224, 224)".into(),
            });
        }
        self.forward(&self.placed(input)?, look)
    }

    fn placed(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        input.to_dtype(self.dtype)?.to_device(&self.device)?.contiguous()
    }

    fn forward(
        &self,
        input: &Tensor,
        mut look: impl FnMut(&'static str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let mut x = input.clone();
        for (name, stage) in &self.stages {
            x = match stage {
                Built::Unit(conv) => conv.forward(&x)?,
                Built::Pool { kernel, stride } => max_pool3d(&x, *kernel, *stride, Padding::Same)?,
                Built::Block(block) => block.forward(&x)?,
            };
            look(name, &x)?;
        }
        // A window of two steps over all 7x7 pixels.
        let frames = x.flatten_from(3)?.mean(3)?;
        let steps = frames.dim(2)? - 1;
        let pooled = ((frames.narrow(2, 0, steps)? + frames.narrow(2, 1, steps)?)? * 0.5)?;
        look("avg_pool", &pooled)?;
        let logits = self.logits.forward(&pooled.unsqueeze(3)?.unsqueeze(4)?)?;
        Ok(logits.flatten_from(2)?.mean(2)?)
    }
}

fn long_enough(frames: usize) -> Result<()> {
    if frames < I3d::SHORTEST {
        return Err(Error::TooSmall {
            metric: "FVD",
            what: "frames",
            found: frames,
            least: I3d::SHORTEST,
            mend: "take longer clips, 16 frames where possible",
        });
    }
    Ok(())
}

/// How many clips. Not-a-number would go through: ReLU makes zero of it.
fn checked(input: &Tensor) -> Result<usize> {
    if input.track_op() {
        return Err(Error::Layout {
            found: "a tensor that tracks gradients".into(),
            expected: "a detached one: I3D passes no gradient on".into(),
        });
    }
    let shape = match input.dims5() {
        Ok((clips, 3, frames, 224, 224)) if clips > 0 && input.dtype().is_float() => Some((clips, frames)),
        _ => None,
    };
    let Some((clips, frames)) = shape else {
        return Err(Error::Layout {
            found: format!("a tensor {:?} of {:?}", input.dims(), input.dtype()),
            expected: "clips (B, 3, T, 224, 224) of floating-point numbers in [-1, 1]".into(),
        });
    };
    long_enough(frames)?;
    for clip in 0..clips {
        let values = input.get(clip)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        for (at, value) in values.into_iter().enumerate() {
            if !value.is_finite() {
                let index =
                    [clip, at / (frames * 224 * 224), at / (224 * 224) % frames, at / 224 % 224, at % 224];
                return Err(Error::NotFinite { what: "input of I3D", value, index: index.to_vec() });
            }
            if value.abs() > 1.0 + OVERSHOOT {
                return Err(Error::Layout {
                    found: format!("the value {value}"),
                    expected: "pixels in [-1, 1], as Fit::input makes them".into(),
                });
            }
        }
    }
    Ok(clips)
}
