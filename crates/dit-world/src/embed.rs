//! Scalar embeddings (time, frame rate) and the fixed position table.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Linear, silu, sinusoid};

use crate::patch::Grid;

/// Number of sinusoidal features of a scalar.
const FEATURES: usize = 256;

/// `Linear(256, D), SiLU, Linear(D, D)` over sinusoidal features; parameters `mlp.0` and `mlp.2` (`TimestepEmbedder` and
/// `SizeEmbedder` of the reference).
#[derive(Clone, Debug)]
pub struct ScalarEmbed {
    first: Linear,
    second: Linear,
}

impl ScalarEmbed {
    /// The time embedder.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn time(hidden: usize, vb: VarBuilder) -> Result<Self> {
        let first = Linear::new(FEATURES, hidden, vb.pp("mlp.0"))?;
        Ok(Self { first, second: Linear::new(hidden, hidden, vb.pp("mlp.2"))? })
    }

    /// The frame-rate embedder; it starts silent.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn fps(hidden: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        let first = Linear::with_init(FEATURES, hidden, init, vb.pp("mlp.0"))?;
        Ok(Self { first, second: Linear::zero(hidden, hidden, vb.pp("mlp.2"))? })
    }

    /// Scalars `(N)`, e.g. times in `[0, 1000]`, to `(N, D)` of the given dtype. The sines' arguments are computed in f64.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, values: &Tensor, dtype: DType) -> Result<Tensor> {
        let features = sinusoid::scalar_features(values, FEATURES, dtype)?;
        self.second.forward(&silu(&self.first.forward(&features)?)?)
    }
}

/// SiLU and `Linear(D, 6 D)`: from the embedding of a time to the modulation rows that all blocks share (the reference's
/// `t_block`); parameters `1.weight` and `1.bias`.
#[derive(Clone, Debug)]
pub struct TimeRows {
    linear: Linear,
}

impl TimeRows {
    /// For tokens of width `hidden`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(hidden: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { linear: Linear::new(hidden, 6 * hidden, vb.pp("1"))? })
    }

    /// `(N, D)` to `(N, 6 D)`.
    ///
    /// # Errors
    /// Another width.
    pub fn forward(&self, embedding: &Tensor) -> Result<Tensor> {
        self.linear.forward(&silu(embedding)?)
    }
}

/// The fixed table `(h w, D)` that is added to every frame's tokens, sines first, columns in the first half of the
/// channels. Row `i` lies at `i base_size / (scale h)`: the same picture has the same positions at every resolution.
///
/// # Errors
/// A width that 4 does not divide.
pub fn position_table(
    grid: Grid,
    scale: f64,
    base_size: f64,
    hidden: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let line = |n: usize| -> Vec<f64> { (0..n).map(|i| i as f64 / scale * base_size / n as f64).collect() };
    sinusoid::grid_table(&line(grid.rows), &line(grid.columns), hidden, dtype, device)
}
