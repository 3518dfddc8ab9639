//! One linear layer, trained by AdamW on the mean absolute error.

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Result, Tensor, Var};

use crate::Error;
use crate::optim::{AdamW, Update};
use crate::study::StudyError;
use crate::study::recipe::Recipe;

/// `action = W z + b`.
#[derive(Clone, Debug)]
pub struct Head {
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    /// From `weight` `(A, D)` and `bias` `(A)`.
    ///
    /// # Errors
    /// A bias of another length than the weight has rows.
    pub fn new(weight: Tensor, bias: Tensor) -> Result<Self> {
        let (rows, _) = weight.dims2()?;
        if bias.dims() != [rows] {
            candle_core::bail!("a bias of shape {:?} for a weight of {:?}", bias.dims(), weight.dims());
        }
        Ok(Self { weight, bias })
    }

    /// Says zero to everything: `inputs` numbers to `outputs`, on the CPU.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn zero(inputs: usize, outputs: usize, dtype: DType) -> Result<Self> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, dtype, &Device::Cpu);
        Self::new(zeros(&[outputs, inputs])?, zeros(&[outputs])?)
    }

    /// `(A, D)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(A)`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// `(M, D)` to `(M, A)`, in the head's dtype.
    ///
    /// # Errors
    /// Another last dimension than `D`.
    pub fn predict(&self, z: &Tensor) -> Result<Tensor> {
        z.to_dtype(self.weight.dtype())?.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }

    /// The head after one step for each of `batches` (row numbers of `z` `(M, D)` and `y` `(M, A)`), and the mean absolute
    /// error of each batch before its step. The deterministic half of a training: nothing is drawn here, and
    /// `recipe`'s steps, batch and seed are not read.
    ///
    /// The gradient of `|r|` is `sign(r)`, 0 at 0, as in PyTorch; candle's own says 1 there.
    ///
    /// # Errors
    /// [`StudyError::NotFinite`] if the loss is no number; tensor arithmetic, e.g. a row that is not there.
    pub fn train(
        &self,
        z: &Tensor,
        y: &Tensor,
        batches: impl IntoIterator<Item = Vec<u32>>,
        recipe: &Recipe,
    ) -> std::result::Result<(Self, Vec<f64>), Error> {
        let (weight, bias) = (Var::from_tensor(&self.weight)?, Var::from_tensor(&self.bias)?);
        // Views of the variables: they see each update and record no history.
        let head = Self::new(weight.as_detached_tensor(), bias.as_detached_tensor())?;
        let (z, y) = (z.to_dtype(self.weight.dtype())?, y.to_dtype(self.weight.dtype())?);
        let mut optimizer = AdamW::new(&recipe.optimizer);
        let mut losses = Vec::new();
        for batch in batches {
            let rows = Tensor::new(batch, z.device())?;
            let (z, y) = (z.index_select(&rows, 0)?, y.index_select(&rows, 0)?);
            let residual = (head.predict(&z)? - y)?;
            let loss = residual.abs()?.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            StudyError::if_not_finite("the probe's loss", &[loss])?;
            losses.push(loss);
            let slope = (residual.sign()? / residual.elem_count() as f64)?;
            let mut grads = GradStore::default();
            grads.insert(weight.as_tensor(), slope.t()?.matmul(&z)?);
            grads.insert(bias.as_tensor(), slope.t()?.sum(D::Minus1)?);
            let update = |name, var| Update { name, var, rate: recipe.rate, decays: true, averaged: false };
            optimizer.step(&[update("weight", &weight), update("bias", &bias)], &grads)?;
        }
        Ok((head, losses))
    }
}
