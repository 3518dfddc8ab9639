//! The network alone: no units, no codes.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Linear, silu};

/// `fc2(silu(fc1(a)))`: the paper's two-layer MLP, whose width and activation it leaves open.
#[derive(Clone, Debug)]
pub struct AdapterNet {
    first: Linear,
    second: Linear,
}

impl AdapterNet {
    /// Parameters `fc1.weight` `(hidden, inputs)`, `fc1.bias`, `fc2.weight` `(outputs, hidden)`, `fc2.bias`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(inputs: usize, hidden: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            first: Linear::new(inputs, hidden, vb.pp("fc1"))?,
            second: Linear::new(hidden, outputs, vb.pp("fc2"))?,
        })
    }

    /// Normalised actions `(M, inputs)` to `(M, outputs)`.
    ///
    /// # Errors
    /// Another last dimension than `inputs`.
    pub fn forward(&self, actions: &Tensor) -> Result<Tensor> {
        self.second.forward(&silu(&self.first.forward(actions)?)?)
    }
}
