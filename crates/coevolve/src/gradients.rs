//! The gradients of one optimizer step, gathered over the parts of its batch.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use cola_nn::global_norm;

/// Gradients by the name of their variable.
#[derive(Default)]
pub(crate) struct Gradients {
    found: BTreeMap<String, Tensor>,
}

impl Gradients {
    /// Adds what a backward pass left for these variables.
    pub(crate) fn add<'a>(
        &mut self,
        variables: impl IntoIterator<Item = (&'a str, &'a Var)>,
        grads: &GradStore,
    ) -> Result<()> {
        for (name, var) in variables {
            let Some(grad) = grads.get(var.as_tensor()) else { continue };
            // Without history: a gradient that kept its graph would keep the whole pass alive.
            let sum = match self.found.remove(name) {
                Some(before) => (before + grad.detach())?.detach(),
                None => grad.detach(),
            };
            self.found.insert(name.to_owned(), sum);
        }
        Ok(())
    }

    /// The gradient of a variable; `None` if no part had one.
    pub(crate) fn get(&self, name: &str) -> Option<&Tensor> {
        self.found.get(name)
    }

    /// Names of the variables whose gradient has a number that is not finite.
    pub(crate) fn not_finite(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (name, grad) in &self.found {
            if !global_norm([grad])?.is_finite() {
                names.push(name.clone());
            }
        }
        Ok(names)
    }
}
