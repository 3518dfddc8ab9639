//! What a model computed, compared with everything that a file has.

use candle_core::{DType, Result, Tensor, Var};
use cola_golden::{Golden, Tolerance};
use cola_nn::Params;

use crate::{EXACT, NOISE_FACTOR};

/// Named results, and how far they may be off in the dtype they were computed in.
pub(crate) struct Seen<'a> {
    golden: &'a Golden,
    outputs: Tolerance,
    gradients: Tolerance,
    values: Vec<(String, Tensor)>,
}

impl<'a> Seen<'a> {
    /// f64 against the formulas, f32 against the reference's own f32 run.
    pub(crate) fn new(golden: &'a Golden, dtype: DType) -> Self {
        // A file that does not state its own noise has that of the noisiest stored one.
        let noise = |key: &str, otherwise: f64| {
            NOISE_FACTOR * golden.config()["measured_f32_vs_f64"][key].as_f64().unwrap_or(otherwise)
        };
        let (outputs, gradients) = match dtype {
            DType::F64 => (Tolerance::Absolute(1e-9), Tolerance::Absolute(1e-9)),
            _ => (
                Tolerance::Relative(noise("output_max_relative_to_tensor_max", 4.6e-6)),
                Tolerance::Absolute(noise("grad_max_absolute", 1.2e-6)),
            ),
        };
        Self { golden, outputs, gradients, values: Vec::new() }
    }

    /// A result that the file calls `output.<name>`.
    pub(crate) fn add(&mut self, name: &str, value: &Tensor) {
        self.values.push((name.to_string(), value.clone()));
    }

    /// Compares every result, and fails over an output of the file that is none of them.
    pub(crate) fn compare_outputs(&self) -> Result<()> {
        for (name, value) in &self.values {
            let tolerance = if name == "indices" { EXACT } else { self.outputs };
            self.golden.compare(&format!("output.{name}"), value, tolerance)?;
        }
        // The margins say how safe the indices are; nothing computes them.
        for name in self.golden.names("output.").filter(|name| *name != "output.index_margin") {
            if !self.values.iter().any(|(seen, _)| name["output.".len()..] == *seen) {
                self.golden.fail(format!("{name}: not compared"));
            }
        }
        Ok(())
    }

    /// Compares the gradients of a loss with respect to variables, called as in the file, each as `scaled` turns it into
    /// what the file has, and fails over a gradient of the file that is none of them.
    pub(crate) fn compare_gradients(
        &self,
        loss: &Tensor,
        variables: &[(String, Var)],
        scaled: impl Fn(&str, &Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        let grads = loss.backward()?;
        for (name, var) in variables {
            match grads.get(var.as_tensor()) {
                Some(gradient) => {
                    self.golden.compare(&format!("grad.{name}"), &scaled(name, gradient)?, self.gradients)?;
                }
                None => self.golden.fail(format!("grad.{name}: no gradient arrived")),
            }
        }
        for name in self.golden.names("grad.") {
            if !variables.iter().any(|(seen, _)| name["grad.".len()..] == *seen) {
                self.golden.fail(format!("{name}: not compared"));
            }
        }
        Ok(())
    }
}

/// Parameters with the values of the file's weights.
pub(crate) fn filled(golden: &Golden, dtype: DType) -> Result<Params> {
    let params = Params::seeded(0, dtype, &candle_core::Device::Cpu);
    for (name, weight) in golden.weights("weight.", dtype)? {
        params.set(&name, &weight)?;
    }
    Ok(params)
}
