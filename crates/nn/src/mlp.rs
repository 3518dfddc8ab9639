//! The two feed-forward layers.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;

use crate::kernel::activate::Activation;
use crate::linear::Linear;

/// `fc2(gelu(fc1(x)))`, with the tanh formula unless it is built by [`Mlp::exact`]; parameters `fc1` and `fc2`.
#[derive(Clone, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Mlp {
    /// `dim -> hidden -> dim`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(dim: usize, hidden: usize, vb: VarBuilder) -> Result<Self> {
        Self::between(dim, hidden, dim, vb)
    }

    /// `from -> hidden -> to`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn between(from: usize, hidden: usize, to: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            fc1: Linear::new(from, hidden, vb.pp("fc1"))?,
            fc2: Linear::new(hidden, to, vb.pp("fc2"))?,
            activation: Activation::Gelu,
        })
    }

    /// As [`Mlp::new`] with a zero last layer: a residual branch that starts silent.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn silent(dim: usize, hidden: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            fc1: Linear::new(dim, hidden, vb.pp("fc1"))?,
            fc2: Linear::zero(hidden, dim, vb.pp("fc2"))?,
            activation: Activation::Gelu,
        })
    }

    /// As [`Mlp::new`] with the exact GELU, [`gelu_erf`](crate::gelu_erf). Models that have it call the two layers by
    /// other names, so the caller hands in both builders.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn exact(dim: usize, hidden: usize, fc1: VarBuilder, fc2: VarBuilder) -> Result<Self> {
        Ok(Self {
            fc1: Linear::new(dim, hidden, fc1)?,
            fc2: Linear::new(hidden, dim, fc2)?,
            activation: Activation::GeluErf,
        })
    }

    /// `(..., from)` to `(..., to)`, which for most are the same.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.fc2.forward_after(Some(self.activation), &self.fc1.forward(x)?)
    }
}

/// `out(p * silu(s))` with `(p, s)` the two halves of one linear layer. The names of its two layers differ between
/// places of the reference, so the caller hands in both builders.
#[derive(Clone, Debug)]
pub struct GatedMlp {
    project: Linear,
    out: Linear,
}

impl GatedMlp {
    /// `dim -> 2 hidden -> dim`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(dim: usize, hidden: usize, project: VarBuilder, out: VarBuilder) -> Result<Self> {
        Ok(Self { project: Linear::new(dim, 2 * hidden, project)?, out: Linear::new(hidden, dim, out)? })
    }

    /// `(..., dim)` to the same shape.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.out.forward_after(Some(Activation::SiluGate), &self.project.forward(x)?)
    }
}
