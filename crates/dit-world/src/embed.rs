//! Scalar embeddings (time, frame rate) and the fixed position table.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Linear, silu, sinusoid};

/// Number of sinusoidal features of a scalar.
const FEATURES: usize = 256;

/// `Linear(256, D), SiLU, Linear(D, D)` over sinusoidal features; parameters `mlp.0` and `mlp.2`.
#[derive(Clone, Debug)]
pub(crate) struct ScalarEmbed {
    first: Linear,
    second: Linear,
}

impl ScalarEmbed {
    /// The time embedder.
    pub(crate) fn time(hidden: usize, vb: VarBuilder) -> Result<Self> {
        let first = Linear::new(FEATURES, hidden, vb.pp("mlp.0"))?;
        Ok(Self { first, second: Linear::new(hidden, hidden, vb.pp("mlp.2"))? })
    }

    /// The frame-rate embedder; it starts silent.
    pub(crate) fn fps(hidden: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        let first = Linear::with_init(FEATURES, hidden, init, vb.pp("mlp.0"))?;
        Ok(Self { first, second: Linear::zero(hidden, hidden, vb.pp("mlp.2"))? })
    }

    /// Scalars `(N)` to `(N, D)`.
    pub(crate) fn forward(&self, values: &Tensor, dtype: DType) -> Result<Tensor> {
        let features = sinusoid::scalar_features(values, FEATURES, dtype)?;
        self.second.forward(&silu(&self.first.forward(&features)?)?)
    }
}

/// The fixed table `(h w, D)` that is added to every frame's tokens: positions are scaled so that the same picture has
/// the same positions at every resolution.
pub(crate) fn position_table(
    grid: (usize, usize),
    pixels: (usize, usize),
    input_sq_size: usize,
    hidden: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let (h, w) = grid;
    let scale = ((pixels.0 * pixels.1) as f64).sqrt() / input_sq_size as f64;
    let base = ((h * w) as f64).sqrt().round();
    let line = |n: usize| -> Vec<f64> { (0..n).map(|i| i as f64 / scale * base / n as f64).collect() };
    sinusoid::grid_table(&line(h), &line(w), hidden, dtype, device)
}
