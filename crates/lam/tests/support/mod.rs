//! Videos and numbers for the tests.

use candle_core::{Device, Result, Shape, Tensor};
use cola_lam::{LamConfig, Readout};
use cola_random::{stream, uniforms};

pub(crate) const READOUTS: [Readout; 3] = [Readout::Mean, Readout::Difference, Readout::Prompt];

/// A random video `(clips, frames, 3, side, side)` for the configuration.
pub(crate) fn video(config: &LamConfig, clips: usize, frames: usize) -> Result<Tensor> {
    let shape = (clips, frames, 3, config.image, config.image);
    let count = Shape::from(shape).elem_count();
    Tensor::from_vec(uniforms(count, 0.0, 1.0, &mut stream(0, "video", 0, 0)), shape, &Device::Cpu)
}

pub(crate) fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}
