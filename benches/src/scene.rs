//! Where and in which type a layer is built: the same numbers for its fast form and for the plain one.

use std::cell::RefCell;

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::VarBuilder;
use cola_nn::Params;

use crate::cases::constant;

/// Hands out a layer's operands and remembers them.
pub struct Scene {
    device: Device,
    tokens: DType,
    params: Params,
    variables: RefCell<Vec<(String, Var)>>,
    constants: RefCell<Vec<Tensor>>,
}

impl Scene {
    /// Operands on `device`: `tokens` in this type, parameters in f32 or in f64 if the tokens are.
    pub fn new(device: &Device, tokens: DType) -> Self {
        let wide = if tokens == DType::F64 { DType::F64 } else { DType::F32 };
        let params = Params::seeded(0, wide, device);
        Self {
            device: device.clone(),
            tokens,
            params,
            variables: RefCell::default(),
            constants: RefCell::default(),
        }
    }

    /// Whether this is for the form that the fast one is checked against. In f64, the layers of `cola-nn` are composed of
    /// candle's operations by themselves; what has another plain form asks here.
    pub fn is_plain(&self) -> bool {
        self.tokens == DType::F64
    }

    fn numbers(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        constant(shape, name)?.to_dtype(dtype)?.to_device(&self.device)
    }

    fn remember(&self, name: &str, values: &Tensor) -> Result<Tensor> {
        let variable = Var::from_tensor(values)?;
        let tensor = variable.as_tensor().clone();
        self.variables.borrow_mut().push((name.to_string(), variable));
        Ok(tensor)
    }

    /// Standard normal tokens that a gradient reaches; each name has its own numbers.
    ///
    /// # Errors
    /// A device without memory for them.
    pub fn tokens(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
        self.remember(name, &self.numbers(name, shape, self.tokens)?)
    }

    /// [`Scene::tokens`] that a gradient does not reach.
    ///
    /// # Errors
    /// A device without memory for them.
    pub fn constant(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
        let tensor = self.numbers(name, shape, self.tokens)?;
        self.constants.borrow_mut().push(tensor.clone());
        Ok(tensor)
    }

    /// A few numbers for many tokens (gates, tables): in the type of the parameters.
    ///
    /// # Errors
    /// A device without memory for them.
    pub fn rows(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
        let wide = if self.is_plain() { DType::F64 } else { DType::F32 };
        self.remember(name, &self.numbers(name, shape, wide)?)
    }

    /// The parameters; the check compares the gradients of all.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Trained parameters under this name.
    pub fn trained(&self, name: &str) -> VarBuilder<'static> {
        self.params.trainable().pp(name)
    }

    /// All that a gradient can reach.
    pub(crate) fn variables(&self) -> Vec<(String, Var)> {
        let mut all = self.params.vars();
        all.extend(self.variables.borrow().iter().cloned());
        all
    }

    /// Bytes of all operands.
    pub(crate) fn bytes(&self) -> usize {
        let variables = self.variables();
        let constants = self.constants.borrow();
        variables.iter().map(|(_, var)| var.as_tensor()).chain(constants.iter()).map(bytes).sum()
    }
}

/// Bytes of a tensor's numbers.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}
