//! How a model computes, which is not part of what it is.

use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::recompute;

/// The type of activations between a model's input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// As the parameters.
    #[default]
    #[serde(rename = "f32")]
    Full,
    /// bf16 tokens over f32 parameters: half the memory, eight bits of significand. Sums, norms, softmax and losses are
    /// computed in f32.
    #[serde(rename = "bf16")]
    Bf16,
}

impl Precision {
    /// A model's input in this type. Differentiable.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn cast(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Full => Ok(x.clone()),
            Self::Bf16 => x.to_dtype(DType::BF16),
        }
    }
}

/// Switches between speed and memory. Stored with the configuration; parameters and checkpoints are the same for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compute {
    /// Type of the activations.
    pub dtype: Precision,
    /// Transformer blocks keep only their inputs and run a second time in the backward pass, see
    /// [`recompute`](crate::recompute()): the same gradients to the last bit, about a third more time.
    pub recompute: bool,
}

impl Compute {
    /// `forward(block, x)`, recomputed in the backward pass if so switched. Differentiable; see
    /// [`recompute`](crate::recompute()) for what `forward` may capture.
    ///
    /// # Errors
    /// The block's.
    pub fn run<B: Clone + Send + Sync + 'static>(
        self,
        block: &B,
        x: &Tensor,
        forward: impl Fn(&B, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        if !self.recompute {
            return forward(block, x);
        }
        let block = block.clone();
        recompute([x], move |[x]| forward(&block, x))
    }
}
